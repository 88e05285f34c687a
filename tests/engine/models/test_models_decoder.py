"""A model cut into body and output layer gives the losses of the whole."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.head import row_losses, summed_loss
from engine.spec.run import Architecture


def _granite() -> PreTrainedModel:
    """A family that divides its logits by a constant."""
    from transformers import GraniteConfig, GraniteForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0}
    config = GraniteConfig(vocab_size=40, **shape, **ids, num_key_value_heads=2, logits_scaling=3.0)
    return GraniteForCausalLM(config).eval()


def _built(family: str) -> PreTrainedModel:
    return build_model(Architecture(family=family, n_layer=2, n_embd=16, n_head=2, context=16), 40, seed=0)


@pytest.mark.parametrize(
    ("model", "plain"),
    [(_built("gpt2"), True), (_built("llama"), True), (_granite(), False)],
    ids=["gpt2", "llama", "granite"],
)
def test_losses_equal_the_models_own(model: PreTrainedModel, plain: bool) -> None:
    torch.manual_seed(1)
    tokens = torch.randint(0, 40, (3, 12))
    with torch.no_grad():
        logits = model(tokens).logits[:, :-1].flatten(0, 1)
    targets = tokens[:, 1:].flatten()
    expected = functional.cross_entropy(logits, targets, reduction="none")
    decoder = Decoder.of(model)
    assert decoder.plain is plain
    hidden = decoder.hidden(tokens[:, :-1]).flatten(0, 1)
    rows = row_losses(hidden.detach(), decoder.weight, decoder.bias, targets)
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=1e-5)
    loss = summed_loss(hidden, decoder.weight, decoder.bias, targets) / len(targets)
    torch.testing.assert_close(loss, expected.mean(), atol=1e-5, rtol=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
