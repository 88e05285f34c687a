"""lm-evaluation-harness's rolling log-likelihood, as a plain script. ``SETTING.json BATCH_SIZE``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from setting import Setting


def main() -> None:
    setting = Setting.read(sys.argv[1])
    size = sys.argv[2] if sys.argv[2] == "auto" else int(sys.argv[2])
    options = {} if size == 1 else {"batch_size": size}
    model = HFLM(pretrained=setting.model, device=setting.device, max_length=setting.window, **options)
    text = setting.text.read_text()
    request = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
    began, began_cpu = time.perf_counter(), time.process_time()
    (likelihood,) = model.loglikelihood_rolling([request], disable_tqdm=True)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    tokens = len(model.tok_encode(text))
    result = {"tokens": tokens, "seconds": seconds, "cpu_seconds": cpu_s, "sum_loss": -likelihood}
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
