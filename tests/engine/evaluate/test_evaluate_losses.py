"""Per-token losses equal a plain transformers forward pass, one window at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from engine.evaluate.losses import per_token_losses
from engine.models.build import build_model
from engine.spec.run import Architecture, Scheme
from store.errors import ConfigError, DataError

VOCABULARY, CONTEXT, BOS = 60, 16, 7
SCHEMES = [
    Scheme(kind="blocks", window=16),
    Scheme(kind="blocks", window=16, bos=True),
    Scheme(kind="strided", window=16, stride=5),
    Scheme(kind="strided", window=16, stride=5, bos=True),
    Scheme(kind="rolling", window=16),
]


def _model(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = build_model(
        Architecture(family=family, n_layer=2, n_embd=24, n_head=2, context=CONTEXT), VOCABULARY, seed=1
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return _model(request.param)


def _tokens(n: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, VOCABULARY, n).astype(np.int32)


@torch.no_grad()
def _plain(model: PreTrainedModel, inputs: list[int], targets: list[int]) -> list[float]:
    """Losses of ``targets``, predicted by the last positions of ``inputs``."""
    logits = model(input_ids=torch.tensor([inputs])).logits[0, -len(targets) :]
    return functional.cross_entropy(logits, torch.tensor(targets), reduction="none").tolist()


def _reference(model: PreTrainedModel, tokens: list[int], scheme: Scheme) -> list[float]:
    """The three schemes as their sources write them: M2D2's blocks, Hugging Face's stride, the harness's rolling."""
    n, window = len(tokens), scheme.window
    losses = [float("nan")] * n
    if scheme.kind == "blocks":
        size = window - 1 if scheme.bos else window
        for start in range(0, n, size):
            block = ([BOS] if scheme.bos else []) + tokens[start : start + size]
            if len(block) > 1:
                first = start + (0 if scheme.bos else 1)
                losses[first : first + len(block) - 1] = _plain(model, block[:-1], block[1:])
    elif scheme.kind == "strided":
        size, done = (window - 1, 0) if scheme.bos else (window, 1)
        for begin in range(0, n, scheme.stride):
            end = min(begin + size, n)
            inputs = ([BOS] if scheme.bos else []) + tokens[begin:end]
            if end > done:
                losses[done:end] = _plain(model, inputs[:-1], tokens[done:end])
            done = end
            if end == n:
                break
    else:
        losses[:window] = _plain(model, [BOS, *tokens[: window - 1]][:n], tokens[:window])
        for done in range(window, n, window):
            end = min(done + window, n)
            losses[done:end] = _plain(model, tokens[end - window - 1 : end - 1], tokens[done:end])
    return losses


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: f"{scheme.kind}{'+bos' if scheme.bos else ''}")
@pytest.mark.parametrize("n_tokens", [1, 2, 16, 17, 75])
def test_losses_equal_a_plain_forward_pass(model: PreTrainedModel, scheme: Scheme, n_tokens: int) -> None:
    tokens = _tokens(n_tokens)
    found = per_token_losses(model, tokens, scheme, bos_id=BOS, batch_tokens=40)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _reference(model, tokens.tolist(), scheme), atol=1e-5, equal_nan=True)


def test_the_size_of_batches_changes_nothing(model: PreTrainedModel) -> None:
    tokens = _tokens(200)
    one, many = (per_token_losses(model, tokens, SCHEMES[2], bos_id=BOS, batch_tokens=batch) for batch in (1, 100_000))
    np.testing.assert_allclose(one, many, atol=2e-6, equal_nan=True)


def test_pulses_add_up_to_the_predicted_tokens() -> None:
    pulses: list[int] = []
    losses = per_token_losses(_model("gpt2"), _tokens(75), SCHEMES[0], batch_tokens=32, pulse=pulses.append)
    assert sum(pulses) == np.isfinite(losses).sum() == 75 - 5
    assert len(pulses) == 3


def test_bfloat16_is_close_to_float32() -> None:
    model, tokens = _model("gpt2"), _tokens(300)
    exact = per_token_losses(model, tokens, Scheme(window=16))
    rough = per_token_losses(model, tokens, Scheme(window=16, precision="bf16"))
    difference = np.abs(exact - rough)[np.isfinite(exact)]
    assert 0 < difference.max() < 0.3
    assert difference.mean() < 0.03


def test_an_empty_stream_has_no_losses() -> None:
    assert per_token_losses(_model("gpt2"), _tokens(0), Scheme(kind="rolling", window=8), bos_id=BOS).shape == (0,)


def test_what_cannot_be_evaluated() -> None:
    model = _model("gpt2")
    with pytest.raises(ConfigError, match="a window of 32 tokens exceeds the model's context of 16"):
        per_token_losses(model, _tokens(40), Scheme(window=32))
    with pytest.raises(ConfigError, match="rolling needs a BOS token"):
        per_token_losses(model, _tokens(40), Scheme(kind="rolling", window=16))
    with pytest.raises(DataError, match="token 999, the model knows 60 tokens"):
        per_token_losses(model, np.array([1, 999, 3]), Scheme(window=16))
