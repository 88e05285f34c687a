"""Memory stays bounded at vocabularies where the logits of a batch would not fit."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import json, resource
import numpy as np
from engine.evaluate.losses import per_token_losses
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.spec.run import Architecture, Scheme

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for vocabulary, precision in ((50_257, "fp32"), (262_144, "bf16")):
    architecture = Architecture(n_layer=1, n_embd=8, n_head=1, context=256)
    decoder = Decoder.of(build_model(architecture, vocabulary, seed=0))
    tokens = np.random.default_rng(0).integers(0, vocabulary, 1024)
    before = peak()
    losses = per_token_losses(decoder, tokens, Scheme(kind="rolling", window=256, precision=precision), bos_id=0)
    print(json.dumps([vocabulary, len(losses), float(losses.mean()), peak() - before]))
"""
BOUNDS_MIB = (100, 400)
"""All float32 logits of the batch would take 1,024 · V · 4 bytes: 196 MiB and 1,024 MiB."""


def test_the_logits_never_exist_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for line, bound_mib in zip(done.stdout.splitlines(), BOUNDS_MIB, strict=True):
        vocabulary, predicted, loss, grown_mib = json.loads(line)
        assert predicted == 1024
        assert loss == pytest.approx(math.log(vocabulary), rel=0.01)
        assert grown_mib < bound_mib
