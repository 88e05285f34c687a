"""The canary passes for every sound model, however bad, and fails for each mistake it is there for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from engine.data.tokenizer import LoadedTokenizer
from engine.evaluate import canary as module
from engine.evaluate import losses
from engine.evaluate.canary import TEXT, Canary, CanaryError
from engine.evaluate.losses import per_token_losses
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.head import row_losses
from engine.spec.run import Architecture, Scheme
from store.errors import ConfigError

SCHEMES = [
    Scheme(kind="blocks", window=32),
    Scheme(kind="blocks", window=512, bos=True),
    Scheme(kind="strided", window=128, stride=8),
    Scheme(kind="strided", window=64, stride=60, bos=True),
    Scheme(kind="rolling", window=512),
]
CONTEXT = 512


@pytest.fixture(scope="module")
def canary(tokenizer: LoadedTokenizer) -> Canary:
    return Canary.of(tokenizer)


def _model(family: str, vocabulary: int, scale: float) -> PreTrainedModel:
    """Random weights, ``scale`` times as large as they are initialised: confidently wrong when large."""
    architecture = Architecture(family=family, n_layer=2, n_embd=32, n_head=2, context=CONTEXT)
    model = build_model(architecture, vocabulary, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    return model


@pytest.fixture(scope="module")
def decoder(tokenizer: LoadedTokenizer) -> Decoder:
    return Decoder.of(_model("gpt2", tokenizer.vocab_size, 5))


def _check(canary: Canary, decoder: Decoder, scheme: Scheme, bos_id: int | None = None) -> None:
    canary.check_losses(decoder, scheme, canary.tokenizer.eos_id if bos_id is None else bos_id, batch_tokens=512)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("scale", [0, 1, 5, 40])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_sound_model_passes_however_bad_it_is(canary: Canary, family: str, scale: float, precision: str) -> None:
    decoder = Decoder.of(_model(family, canary.tokenizer.vocab_size, scale))
    for scheme in SCHEMES:
        _check(canary, decoder, scheme.model_copy(update={"precision": precision}))


def test_a_context_shorter_than_the_text(canary: Canary) -> None:
    architecture = Architecture(n_layer=1, n_embd=16, n_head=2, context=8)
    decoder = Decoder.of(build_model(architecture, canary.tokenizer.vocab_size, seed=0))
    _check(canary, decoder, Scheme(window=8))
    with pytest.raises(ConfigError, match="a window of 100 tokens exceeds the model's context of 8"):
        _check(canary, decoder, Scheme(window=100))
    assert canary.loss(decoder) == pytest.approx(np.log(canary.tokenizer.vocab_size), rel=0.1)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: f"{scheme.kind}{'+bos' if scheme.bos else ''}")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scale", [1, 5])
def test_shifted_labels(
    canary: Canary, scheme: Scheme, precision: str, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder.of(_model("gpt2", canary.tokenizer.vocab_size, scale))
    monkeypatch.setattr(losses, "row_losses", lambda *given: row_losses(*given[:3], given[3].roll(1)))
    with pytest.raises(CanaryError, match=r"the loss of token \d+ is .* of \d+ tokens differ"):
        _check(canary, decoder, scheme.model_copy(update={"precision": precision}))


def test_losses_in_the_place_of_their_neighbours_are_named(
    canary: Canary, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "per_token_losses", lambda *given, **more: np.roll(per_token_losses(*given, **more), 1))
    with pytest.raises(CanaryError, match="as if each were that of its neighbour one token later"):
        _check(canary, decoder, SCHEMES[1])


def test_no_losses_at_all(canary: Canary, decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "per_token_losses", lambda _, tokens, *__, **___: np.full(len(tokens), np.nan))
    with pytest.raises(CanaryError, match="there are no losses at all"):
        _check(canary, decoder, SCHEMES[0])


def test_dropout_left_on(canary: Canary) -> None:
    model = _model("gpt2", canary.tokenizer.vocab_size, 5)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.1
    decoder = Decoder.of(model)
    model.train()
    with pytest.raises(CanaryError, match="tokens differ"):
        _check(canary, decoder, SCHEMES[0])


def test_another_bos(canary: Canary, decoder: Decoder) -> None:
    for scheme in SCHEMES[1], SCHEMES[4]:
        with pytest.raises(
            CanaryError, match=r"token 7 stands before the text, the BOS of the tokenizer .* is token 0"
        ):
            _check(canary, decoder, scheme, bos_id=7)
    _check(canary, decoder, SCHEMES[0], bos_id=7)


def test_perturbed_weights(canary: Canary) -> None:
    decoder = Decoder.of(_model("gpt2", canary.tokenizer.vocab_size, 5))
    saved = canary.loss(decoder)
    canary.check_weights(decoder, saved, "run@ptpp2")
    canary.check_weights(decoder, None, "gpt2@main")
    with torch.no_grad():
        weight = decoder.model.transformer.h[0].mlp.c_proj.weight
        weight[:4] = weight[:4].flip(0)
    with pytest.raises(CanaryError, match=r"weights of run@ptpp2 have a loss of .* when they were saved"):
        canary.check_weights(decoder, saved, "run@ptpp2")


def test_another_tokenizer(canary: Canary, tokenizer: LoadedTokenizer, tmp_path: Path) -> None:
    canary.check_tokenizer_id(None, "gpt2@main")
    canary.check_tokenizer_id(tokenizer.tokenizer_id, "run@ptpp2")
    with pytest.raises(CanaryError, match=r"run@ptpp2 was trained with tokenizer abc, the one given"):
        canary.check_tokenizer_id("abc", "run@ptpp2")
    canary.check_own_tokens(str(tokenizer.path), None, trust_remote_code=False)
    canary.check_own_tokens(str(tmp_path), None, trust_remote_code=False)
    other = replace(canary, tokens=np.append(canary.tokens[:9], [8, 9]))
    with pytest.raises(CanaryError, match=r"differ: token 9 of the canary text is 8 with the one and \d+ with the"):
        other.check_own_tokens(str(tokenizer.path), None, trust_remote_code=False)


def test_a_damaged_tokenizer_of_the_model(canary: Canary, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(CanaryError, match="cannot be loaded to compare"):
        canary.check_own_tokens(str(tmp_path), None, trust_remote_code=False)


def test_tokens_that_do_not_spell_the_text(tokenizer: LoadedTokenizer) -> None:
    content = list(tokenizer.token_bytes)
    swapped = replace(tokenizer)
    content[40], content[41] = content[41], content[40]
    object.__setattr__(swapped, "token_bytes", tuple(content))
    (tokens,) = tokenizer.encode([TEXT])
    assert {40, 41} & set(tokens.tolist())
    with pytest.raises(CanaryError, match="not the text they were made from"):
        Canary.of(swapped)
