"""The same training by ``transformers.Trainer``, as a plain script. ``SETTING.json [allocations]``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from allocations import peak_mib
from setting import Setting
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments


class Sequences(Dataset):
    def __init__(self, path: str) -> None:
        self.tokens = torch.from_numpy(np.load(path))

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        # Trainer divides by all labels, though the first token is nobody's target: not marked, its losses and
        # gradients come out (length - 1) / length of what they are.
        labels = self.tokens[index].clone()
        labels[0] = -100
        return {"input_ids": self.tokens[index], "labels": labels}


class Watch(TrainerCallback):
    """Notes when each step ended, and its loss where that is logged."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.times.append(time.time())

    def on_log(self, args, state, control, logs, **kwargs) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


def train(setting: Setting, watch: Watch) -> None:
    model = AutoModelForCausalLM.from_pretrained(setting.model, dtype=torch.float32)
    if setting.rank:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=setting.rank,
            lora_alpha=2 * setting.rank,
            lora_dropout=0.0,
            target_modules="all-linear",
            fan_in_fan_out=setting.family == "gpt2",
            task_type="CAUSAL_LM",
        )
        torch.manual_seed(0)
        model = get_peft_model(model, config)
    arguments = TrainingArguments(
        output_dir="out",
        max_steps=setting.steps,
        per_device_train_batch_size=setting.batch,
        learning_rate=setting.lr,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        adam_beta1=setting.beta1,
        adam_beta2=setting.beta2,
        weight_decay=setting.weight_decay,
        max_grad_norm=setting.clip,
        bf16=setting.precision == "bf16",
        use_cpu=setting.device == "cpu",
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=setting.log_every,
    )
    Trainer(model=model, args=arguments, train_dataset=Sequences(setting.batches), callbacks=[watch]).train()


def main() -> None:
    setting = Setting.read(sys.argv[1])
    torch.set_num_threads(setting.threads)
    watch = Watch()
    if "allocations" in sys.argv[2:]:
        result = {"allocated_mib": peak_mib(lambda: train(setting, watch))}
    else:
        imported_mib = resident("VmRSS")
        began = time.perf_counter()
        train(setting, watch)
        peak = resident("VmHWM")
        cuda = setting.device == "cuda"
        step = setting.batch * setting.sequence
        result = {
            "times": watch.times[setting.log_every - 1 :: setting.log_every],
            "tokens": [step * (n + 1) for n in range(len(watch.times))][setting.log_every - 1 :: setting.log_every],
            "losses": watch.losses,
            "run_s": time.perf_counter() - began,
            "imported_mib": imported_mib,
            "peak_mib": peak,
            "above_imports_mib": peak - imported_mib,
            "device_mib": torch.cuda.max_memory_allocated() / (1 << 20) if cuda else None,
        }
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))


def resident(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


if __name__ == "__main__":
    main()
