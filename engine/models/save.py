"""Model states on disk: folders that ``from_pretrained`` loads, complete or absent; their adapters in PEFT's format."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.models.adapter import merged_weights
from engine.models.load import ADAPTER_FOLDER, FACTS_FILE, ModelFacts
from store.files import cannot_write, temporary_name, write_json

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from engine.data.tokenizer import LoadedTokenizer


def save_state(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: LoadedTokenizer,
    facts: ModelFacts,
    *,
    adapter: PeftModel | None = None,
    save: Literal["merged", "adapter", "both"] = "merged",
) -> None:
    """Write weights (adapters merged), configuration, tokenizer and facts into ``folder``, replacing what is there.

    Of a model with an ``adapter``, ``save`` may ask for PEFT's own files in ``folder/adapter``, beside the merged
    weights or instead of them; such a state alone is loaded with the base it was trained on.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    temporary = folder.with_name(temporary_name(folder.name))
    try:
        temporary.mkdir(parents=True)
        if adapter is None or save != "adapter":
            model.save_pretrained(temporary, state_dict=merged_weights(model))
        if adapter is not None and save != "merged":
            _save_adapter(temporary / ADAPTER_FOLDER, adapter, model)
        for file in tokenizer.path.iterdir():
            if file.is_file() and file.name != FACTS_FILE:
                shutil.copyfile(file, temporary / file.name)
        write_json(temporary / FACTS_FILE, facts.content())
        _settle(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(temporary, folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save_adapter(folder: Path, adapter: PeftModel, model: PreTrainedModel) -> None:
    # Of sharded weights, the model at hand is a whole copy of the one the adapter is attached to.
    weights = {f"base_model.model.{name}": tensor for name, tensor in model.state_dict().items()}
    # The embeddings are never trained; whether they were resized would be asked of the hub.
    adapter.save_pretrained(str(folder), state_dict={**adapter.state_dict(), **weights}, save_embedding_layers=False)


def _settle(folder: Path) -> None:
    """Sync every file to disk, readable by whom the facts are (weights are written for their owner alone)."""
    mode = (folder / FACTS_FILE).stat().st_mode
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)
            with open(path, "rb") as file:
                os.fsync(file.fileno())
