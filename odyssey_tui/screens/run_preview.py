"""Curves below a list of runs: read apart from the list, so that moving the cursor reads nothing but them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message

from odyssey_tui.screens.base import OdysseyScreen
from odyssey_tui.widgets.preview import Preview

if TYPE_CHECKING:
    from odyssey_tui.services.curves import Curve
    from odyssey_tui.services.overlays import Subject

MOST_PREVIEWED = 8


class RunPreview(OdysseyScreen):
    """One read is in flight at a time; what is wanted when it ends is read next, whatever was wanted meanwhile."""

    @dataclass
    class Previewed(Message):
        """Curves were read, or could not be."""

        subjects: tuple[Subject, ...]
        curves: tuple[Curve, ...] = ()
        note: str = ""
        error: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self._previewed: tuple[Subject, ...] | None = None
        """What is drawn or being read; None before the first."""
        self._reading_preview = False
        self._stale_preview = False

    def subjects(self) -> tuple[Subject, ...]:
        """What to draw now; nothing where there is no room."""
        raise NotImplementedError

    def ask_preview(self, *, anew: bool = False) -> None:
        """Draw what is wanted now, unless that is drawn already; ``anew``: there may be more of it."""
        wanted = self.subjects()
        if wanted == self._previewed and not anew:
            return
        self._previewed = wanted
        if self._reading_preview:
            self._stale_preview = True
            return
        self._reading_preview, self._stale_preview = True, False
        self.run_worker(partial(self._read_preview, wanted), group="preview", thread=True, exit_on_error=False)

    def _read_preview(self, subjects: tuple[Subject, ...]) -> None:
        from odyssey_tui.services.overlays import read_overlay

        shown = subjects[:MOST_PREVIEWED]
        left_out = [f"first {len(shown)} of {len(subjects)} curves"] if len(subjects) > len(shown) else []
        try:
            curves, note = read_overlay(self.odyssey.workspace, shown, "loss", "tokens")
        except Exception as error:
            self.post_message(self.Previewed(subjects, error=error))
        else:
            told = ", ".join([*left_out, *([note] if note else [])])
            self.post_message(self.Previewed(subjects, curves, told))

    @on(Previewed)
    def receive_preview(self, message: Previewed) -> None:
        """Draw what was read if it is still wanted; else read what is."""
        self._reading_preview = False
        if message.error is not None:
            self.show_trouble("preview", message.error)
        else:
            self.clear_trouble("preview")
            if message.subjects == self._previewed:
                lasting = bool(self.odyssey.marked)
                self.query_one(Preview).show(message.curves, message.note, lasting=lasting)
        if self._stale_preview:
            self.ask_preview(anew=True)
