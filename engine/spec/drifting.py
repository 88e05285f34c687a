"""A stand-alone comparison of two models as one process describes it to another: no run, no database."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from engine.spec.run import Model, Scheme
from engine.spec.strict import Strict


class Drifting(Strict):
    """What moved from ``before`` to ``after`` on the text of ``files`` together."""

    before: Model
    after: Model
    workspace: str | None = None
    """Where the runs of the models live, if they are states of some."""
    files: tuple[str, ...]
    scheme: Scheme
    shorten: bool = False
    """Whether the window may be shortened to the models' context."""
    batch_tokens: PositiveInt
    max_tokens: PositiveInt
    device: Literal["auto", "cpu", "cuda"] = "auto"
