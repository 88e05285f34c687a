"""Activation checkpointing and compilation change neither losses nor gradients, nor the names of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from engine.models.adapter import attach_method, set_dropout
from engine.models.attention import attending
from engine.models.build import build_model
from engine.models.compiled import CompiledDecoder, compile_decoder
from engine.models.decoder import Decoder
from engine.models.recompute import recompute_layers
from engine.spec.run import Architecture, Method
from store.errors import ConfigError

TOKENS = torch.arange(3 * 24).reshape(3, 24) % 50


def _decoder(family: str, method: str = "full", layers: int = 3) -> Decoder:
    torch.set_num_threads(1)
    shape = Architecture(family=family, n_layer=layers, n_embd=32, n_head=2, context=24)
    model = build_model(shape, 50, seed=0)
    torch.manual_seed(5)
    attach_method(model, Method(name=method, rank=2, dropout=0.3))
    set_dropout(model, True)
    return Decoder(model, plain=True)


def _work(decoder: Decoder) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor, int]:
    """A loss, its gradients, the generator's state afterwards, and the bytes kept for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(9)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = decoder.hidden(TOKENS).square().sum()
    weights = sum(p.untyped_storage().nbytes() for p in decoder.model.parameters() if p.data_ptr() in kept)
    loss.backward()
    gradients = {name: p.grad for name, p in decoder.model.named_parameters() if p.grad is not None}
    return loss.detach(), gradients, torch.get_rng_state(), sum(kept.values()) - weights


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_recomputing_layers_keeps_losses_and_gradients_but_not_activations(family: str, method: str) -> None:
    plain, recomputed = _decoder(family, method), _decoder(family, method)
    recompute_layers(recomputed.model)
    assert list(plain.model.state_dict()) == list(recomputed.model.state_dict())
    loss, gradients, random, kept = _work(plain)
    again, found, random_after, kept_less = _work(recomputed)
    assert torch.equal(loss, again)
    assert torch.equal(random, random_after)
    assert gradients.keys() == found.keys()
    assert all(torch.equal(gradients[name], found[name]) for name in gradients)
    assert kept_less < 0.35 * kept


def test_without_gradients_nothing_is_recomputed() -> None:
    decoder = _decoder("gpt2")
    passes = []
    decoder.model.transformer.h[0].ln_1.register_forward_hook(lambda *_: passes.append(1))
    recompute_layers(decoder.model)
    with torch.no_grad():
        decoder.hidden(TOKENS)
    assert len(passes) == 1
    decoder.hidden(TOKENS).sum().backward()
    assert len(passes) == 3


def test_a_model_without_known_blocks_is_refused() -> None:
    with pytest.raises(ConfigError, match="Linear does not say what its layers are"):
        recompute_layers(torch.nn.Linear(2, 2))


def test_only_whole_batches_that_are_trained_on_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = _decoder("gpt2")
    shapes = []

    def compiled(function: Callable[..., Any], *, dynamic: bool) -> Callable[..., Any]:
        assert dynamic is False

        def run(tokens: torch.Tensor, documents: torch.Tensor | None) -> torch.Tensor:
            shapes.append(tuple(tokens.shape))
            return function(tokens, documents)

        return run

    monkeypatch.setenv("CXX", "true")
    monkeypatch.setattr(torch, "compile", compiled)
    whole = compile_decoder(decoder, (3, 24))
    assert torch.equal(whole.hidden(TOKENS), decoder.hidden(TOKENS))
    whole.hidden(TOKENS[:2])
    with torch.no_grad():
        whole.hidden(TOKENS)
    assert shapes == [(3, 24)]
    assert whole.weight is decoder.weight


def test_a_missing_compiler_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"training\.compile: there is no compiler \(no-such-compiler\)") as failure:
        compile_decoder(_decoder("gpt2"), (3, 24))
    assert "apt-get install" in failure.value.hint


def test_a_model_that_cannot_be_compiled_is_one_message() -> None:
    from torch._dynamo.exc import Unsupported

    def failing(tokens: torch.Tensor, documents: torch.Tensor | None) -> torch.Tensor:
        raise Unsupported("a call\n  of something")

    decoder = _decoder("gpt2")
    with pytest.raises(ConfigError, match="cannot be compiled: a call of something"):
        CompiledDecoder(decoder.model, True, (3, 24), failing).hidden(TOKENS)


@pytest.mark.slow
@pytest.mark.slow
def test_a_compiled_model_computes_the_same() -> None:
    """Slow by the compiler's own time: half a minute and more on two cores."""
    plain, compiled = _decoder("gpt2", layers=1), _decoder("gpt2", layers=1)
    recompute_layers(compiled.model)
    names = list(compiled.model.state_dict())
    loss, gradients, *_ = _work(plain)
    again, found, *_ = _work(compile_decoder(compiled, (3, 24)))
    assert list(compiled.model.state_dict()) == names
    torch.testing.assert_close(again, loss)
    for name in gradients:
        # Sums in another order, of a loss of some thousands.
        torch.testing.assert_close(found[name], gradients[name], rtol=1e-3, atol=1e-3)


def test_attention_is_switched_for_as_long_as_asked() -> None:
    model = _decoder("llama").model
    before = model(TOKENS).logits
    with attending(model, "eager"):
        assert model.config._attn_implementation == "eager"
        torch.testing.assert_close(model(TOKENS).logits, before)
    assert model.config._attn_implementation == "sdpa"
    refused = r"training\.attention: flash_attention_2 cannot be used"
    with pytest.raises(ConfigError, match=refused) as failure, attending(model, "flash_attention_2"):
        raise AssertionError("flash attention runs on a CPU")
    assert "flash-attn" in failure.value.hint
    assert model.config._attn_implementation == "sdpa"
