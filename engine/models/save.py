"""Model states on disk: folders that ``from_pretrained`` loads, complete or absent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from engine.models.adapter import merged_weights
from engine.models.load import FACTS_FILE, ModelFacts
from store.files import cannot_write, temporary_name, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from engine.data.tokenizer import LoadedTokenizer


def save_state(folder: Path, model: PreTrainedModel, tokenizer: LoadedTokenizer, facts: ModelFacts) -> None:
    """Write weights (adapters merged), configuration, tokenizer and facts into ``folder``, replacing what is there."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    temporary = folder.with_name(temporary_name(folder.name))
    try:
        temporary.mkdir(parents=True)
        model.save_pretrained(temporary, state_dict=merged_weights(model))
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


def _settle(folder: Path) -> None:
    """Sync every file to disk, readable by whom the configuration is (weights are written for their owner alone)."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)
        with open(path, "rb") as file:
            os.fsync(file.fileno())
