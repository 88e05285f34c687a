"""What could keep odyssey from working here: the terminal, the machine, the libraries, the workspace, with fixes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["ok", "info", "warning", "problem"]


@dataclass(frozen=True)
class Verdict:
    """One thing that was looked at. ``fix`` says what to do about it, where ``what`` does not."""

    area: str
    check: str
    severity: Severity
    what: str
    fix: str = ""


def examine(workspace: Path) -> Iterator[Verdict]:
    """Every verdict, as it becomes known. A check that fails by itself is a problem, and the others go on."""
    from odyssey_tui.services import doctor_machine, doctor_terminal, doctor_workspace

    yield from _guarded("terminal", doctor_terminal.examine_terminal)
    yield from _guarded("settings", doctor_terminal.examine_settings)
    yield from _guarded("libraries", doctor_machine.examine_libraries)
    yield from _guarded("gpu", doctor_machine.examine_gpus)
    yield from _guarded("disk", lambda: doctor_machine.examine_disks(workspace))
    yield from _guarded("workspace", lambda: doctor_workspace.examine_workspace(workspace))


def _guarded(area: str, look: Callable[[], Iterator[Verdict]]) -> Iterator[Verdict]:
    from store.errors import OdysseyError

    try:
        yield from look()
    except OdysseyError as error:
        yield Verdict(area, "look", "problem", error.message, error.hint)
    except Exception as error:  # whatever broke this check, the others still say what they know
        what = f"could not be looked at: {type(error).__name__}: {error}"
        yield Verdict(area, "look", "problem", what, "Report it: this is a bug, or a damaged installation.")
