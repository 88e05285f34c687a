"""What the format audit says of a plan's texts, in a line or two; and making one, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import on
from textual.message import Message
from textual.widgets import Static

from odyssey_tui.services.audit import GLYPHS
from odyssey_tui.services.format import cut

if TYPE_CHECKING:
    from collections.abc import Sequence
    from subprocess import Popen

    from engine.spec.run import RunSpec
    from odyssey_tui.services.audit_sources import Known
    from store.workspace import Workspace


class AuditLine(Static):
    """Hidden while nothing is known of the texts."""

    @dataclass
    class Heard(Message):
        """How far the audit is; without a phase it has ended."""

        phase: str
        error: Exception | None = None

    @dataclass
    class Ended(Message):
        """The audit is in the cache, or failed."""

        error: Exception | None

    def __init__(self, **options: str) -> None:
        super().__init__("", markup=False, **options)
        self.phase = ""
        """What the audit is at; empty while there is none."""
        self._known: Known | None = None
        self._processes: list[Popen[str]] = []

    def show(self, known: Known | None) -> None:
        """Say what is known."""
        self._known = known
        self.display = known is not None
        worst = known.warnings[0].finding.level if known is not None and known.warnings else ""
        self.set_class(worst == "serious", "-serious")
        if known is not None:
            width = (self.parent.size.width if self.parent is not None else self.app.size.width) - 2  # type: ignore[union-attr]
            self.update(f"format audit: {self.phase}" if self.phase else audit_text(known, max(20, width)))

    def begin(self, runs: Sequence[RunSpec], workspace: Workspace) -> None:
        """Audit the texts; ``Ended`` says when that is done."""
        from odyssey_tui.services.audit_sources import audit_runs

        self.phase = "reading the texts …"
        self.show(self._known)

        def hear(progress: dict[str, Any]) -> None:
            self.post_message(self.Heard(f"{progress['phase']} ({progress['done']} of {progress['total']}) …"))

        def work() -> None:
            try:
                audit_runs(runs, workspace, hear=hear, started=self._processes.append)
            except Exception as error:
                self.post_message(self.Heard("", error))
            else:
                self.post_message(self.Heard(""))

        self.run_worker(work, group="audit", thread=True, exclusive=True, exit_on_error=False)

    @on(Heard)
    def follow(self, message: Heard) -> None:
        """How far it is."""
        message.stop()
        self.phase = message.phase
        self.show(self._known)
        if not message.phase:
            self.post_message(self.Ended(message.error))

    def on_unmount(self) -> None:
        """An audit that nobody will see ends with the screen, which a thread would wait for."""
        for process in self._processes:
            process.terminate()


def audit_text(known: Known, width: int) -> str:
    """What the audit says in a line or two, the worst first, and how to have one."""
    text = f"format audit: {known.summary}"
    if known.missing:
        text += " · a: audit the texts"
    if known.warnings:
        first = known.warnings[0]
        text += f" · {GLYPHS[first.finding.level]} {first.audits[0].name}: {first.finding.message}"
    return cut(text, 2 * width)
