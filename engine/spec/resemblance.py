"""A stand-alone comparison of texts as one process describes it to another: files, measures, encoders; no workspace."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from engine.spec.run import SENTENCE_MODEL, Model
from engine.spec.strict import Strict


class Side(Strict):
    """The files of one domain, or of the reference; together they are one text."""

    name: str
    files: tuple[str, ...]


class Resemblance(Strict):
    """How close each of ``domains`` is to ``reference``; empty ``measures`` and ``embedders`` are the usual ones."""

    reference: Side
    domains: tuple[Side, ...]
    measures: tuple[str, ...] = ()
    embedders: tuple[str, ...] = ()
    tokenizer: str | None = None
    """Hub id or folder; None: that of ``model``, or pieces by a rule where there is none."""
    model: Model | None = None
    workspace: str | None = None
    """Where the run of ``model`` lives, if it is a state of one."""
    sentence_model: str = SENTENCE_MODEL
    samples: PositiveInt = 256
    sample_tokens: PositiveInt | None = None
    """None: 64, or the model's context where that is shorter."""
    bootstrap: NonNegativeInt = 200
    seed: NonNegativeInt = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
