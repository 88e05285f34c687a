"""The same training by LitGPT: its model, its loss and Lightning Fabric, in the order of its pretraining loop.

Its commands offer neither a constant rate nor batches in a given order, so this script is the loop that its own
``litgpt/pretrain.py`` has, without validation, saving and ``torch.compile``. ``SETTING.json``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import lightning as L
import numpy as np
import torch
from litgpt.model import GPT, Config
from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama
from litgpt.utils import chunked_cross_entropy
from safetensors.torch import load_file
from setting import Setting
from torch.utils.data import DataLoader, TensorDataset


def load(setting: Setting) -> GPT:
    written = json.loads(Path(setting.model, "config.json").read_text())
    config = Config(
        name="llama",
        block_size=setting.sequence,
        vocab_size=setting.vocabulary,
        padded_vocab_size=setting.vocabulary,
        n_layer=setting.n_layer,
        n_head=setting.n_head,
        n_embd=setting.n_embd,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=written["rms_norm_eps"],
        mlp_class_name="LLaMAMLP",
        intermediate_size=written["intermediate_size"],
    )
    model = GPT(config)
    weights: dict[str, torch.Tensor] = {}
    copy_weights_hf_llama(config, {}, weights, load_file(Path(setting.model, "model.safetensors")))
    model.load_state_dict(weights)
    return model


def main() -> None:
    setting = Setting.read(sys.argv[1])
    torch.set_num_threads(setting.threads)
    precision = {"fp32": "32-true", "bf16": "bf16-mixed"}[setting.precision]
    fabric = L.Fabric(accelerator=setting.device, devices=1, precision=precision)
    model = fabric.setup(load(setting))
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": setting.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = fabric.setup_optimizers(
        torch.optim.AdamW(groups, lr=setting.lr, betas=(setting.beta1, setting.beta2), fused=True)
    )
    # As LitGPT's data modules cut text: one token more than the model is fed.
    loader = fabric.setup_dataloaders(
        DataLoader(TensorDataset(torch.from_numpy(np.load(setting.batches))), batch_size=setting.batch)
    )
    times, losses = [], []
    for _, (tokens,) in zip(range(setting.steps), loader, strict=False):
        logits = model(tokens[:, :-1].contiguous().long())
        loss = chunked_cross_entropy(logits, tokens[:, 1:].contiguous().long())
        fabric.backward(loss)
        # Its own step clips in place, which Fabric refuses for fused optimizers under autocast.
        torch.nn.utils.clip_grad_norm_(model.parameters(), setting.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        times.append(time.time())
    step, every = setting.batch * setting.sequence, setting.log_every
    result = {
        "times": times[every - 1 :: every],
        "tokens": [step * (n + 1) for n in range(len(times))][every - 1 :: every],
        "losses": [torch.stack(losses[i : i + every]).mean().item() for i in range(0, len(losses), every)],
    }
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
