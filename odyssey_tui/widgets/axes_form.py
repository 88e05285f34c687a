"""The axes of one adaptation block side by side: what sweeps are usually made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Input

from engine.spec.located import KeyPath
from odyssey_tui.services.axes import LABELS, Axis
from odyssey_tui.widgets.axis_field import AxisField

FIRST = "replay_ratio"


class AxesForm(Container):
    """A grid of fields; each posts ``FieldTyped`` and ``FieldKept``."""

    def compose(self) -> ComposeResult:
        for name in LABELS:
            yield AxisField(name)

    def show(self, axes: Sequence[Axis], words: Mapping[str, Sequence[str]], troubles: Mapping[KeyPath, str]) -> None:
        """Every axis with what completes it and what is wrong with it."""
        for axis in axes:
            field = self.query_one(f"#field-{axis.name}", AxisField)
            field.show(axis, words.get(axis.name, ()), troubles.get(axis.path, ""))

    def begin(self) -> None:
        """Type into the first field, over what is there."""
        line = self.query_one(f"#{FIRST}", Input)
        line.focus()
        line.select_all()
