"""The perplexity of Hugging Face ``evaluate``, as a plain script. ``SETTING.json METRIC``.

``METRIC`` is what ``evaluate.load`` takes: ``perplexity`` (fetched from the hub) or a folder that holds the script.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
import time
from pathlib import Path

import evaluate
from setting import Setting
from transformers import AutoTokenizer


def main() -> None:
    setting, name = Setting.read(sys.argv[1]), sys.argv[2]
    metric = evaluate.load(name) if os.path.exists(name) else evaluate.load(name, module_type="metric")
    pieces = json.loads(setting.pieces.read_text())
    # The module was published as a metric and as a measurement, which name the texts differently.
    texts = "predictions" if "predictions" in inspect.signature(metric._compute).parameters else "data"
    options = {texts: pieces, "model_id": setting.model, "max_length": setting.window, "device": setting.device}
    began, began_cpu = time.perf_counter(), time.process_time()
    found = metric.compute(**options)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    tokenizer = AutoTokenizer.from_pretrained(setting.model)
    lengths = [len(ids) for ids in tokenizer(pieces, add_special_tokens=False)["input_ids"]]
    losses = [math.log(ppl) * n for ppl, n in zip(found["perplexities"], lengths, strict=True)]
    tokens = sum(lengths)
    result = {"tokens": tokens, "seconds": seconds, "cpu_seconds": cpu_s, "sum_loss": sum(losses)}
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
