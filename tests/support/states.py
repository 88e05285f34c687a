"""A saved model state without the run that would train it."""

from __future__ import annotations

from pathlib import Path

from engine.data.tokenizer import LoadedTokenizer
from engine.evaluate.canary import Canary
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.load import ModelFacts
from engine.models.save import save_state
from engine.spec.run import Architecture
from store.workspace import Workspace


def save_tiny_state(
    workspace: Workspace, tokenizer: LoadedTokenizer, run_id: str, state: str, *, seed: int = 3
) -> Path:
    """A random model of two layers and a context of 64 tokens, as a pretraining run saves it; returns its folder."""
    architecture = Architecture(n_layer=2, n_embd=32, n_head=2, context=64)
    eos = tokenizer.eos_id
    model = build_model(architecture, tokenizer.vocab_size, seed=seed, bos_token_id=eos, eos_token_id=eos)
    facts = ModelFacts(
        model_id=f"{run_id}@{state}",
        n_params=1,
        n_params_non_embedding=1,
        tokens_seen=1,
        ptpp=1.0,
        tokenizer_id=tokenizer.tokenizer_id,
        canary_loss=Canary.of(tokenizer).loss(Decoder.of(model)),
    )
    folder = workspace.run(run_id).checkpoint(state)
    save_state(folder, model, tokenizer, facts)
    return folder
