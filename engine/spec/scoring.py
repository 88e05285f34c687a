"""A stand-alone evaluation as one process describes it to another: a model, texts, a scheme; no run, no workspace."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from engine.spec.run import Model, Scheme
from engine.spec.strict import Strict


class Scoring(Strict):
    """Score ``model`` on the text of each of ``files``."""

    model: Model
    workspace: str | None = None
    """Where the run of ``model`` lives, if it is a state of one."""
    files: tuple[str, ...]
    scheme: Scheme
    shorten: bool = False
    """Whether the window may be shortened to the model's context."""
    batch_tokens: PositiveInt
    device: Literal["auto", "cpu", "cuda"] = "auto"
    per_token: str | None = None
    """A Parquet file to write, one row per token."""
