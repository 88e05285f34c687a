"""Launched experiments: the configuration as resolved, and which runs it asked for."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import DataError
from store.files import write_atomic, write_json
from store.records import read_record
from store.workspace import Workspace

if TYPE_CHECKING:
    from engine.plan.plan import Plan


@dataclass(frozen=True)
class Launched:
    """One experiment as launched last."""

    name: str
    key: str
    launched: float
    """Unix seconds."""
    runs: tuple[str, ...]
    """In dependency order, shared ones included."""
    document: Path
    """The configuration, ready to be launched again."""


def record_launch(workspace: Workspace, plan: Plan) -> Path:
    """Write ``NAME-HASH.yaml`` (the configuration) and ``NAME-HASH.json`` (its runs, with those of earlier launches of
    other parts of it); returns the former."""
    document = keep_configuration(workspace, plan)
    before: tuple[str, ...] = ()
    with contextlib.suppress(FileNotFoundError, DataError):
        before = _read(document.with_suffix(".json")).runs
    content = {
        "name": plan.name,
        "key": plan.key,
        "launched": time.time(),
        "runs": list(dict.fromkeys((*before, *(run.run_id for run in plan.runs)))),
    }
    write_json(document.with_suffix(".json"), content)
    return document


def keep_configuration(workspace: Workspace, plan: Plan) -> Path:
    """Write the configuration alone: of a command that executes some of its runs, and launches none."""
    document = workspace.experiments / f"{plan.name}-{plan.key}.yaml"
    write_atomic(document, plan.document)
    return document


class Wanting:
    """Which experiments asked for a run, as launched; read again when one is launched."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._version: int | None = None
        self._names: dict[str, set[str]] = {}

    def names(self, run_id: str) -> frozenset[str]:
        """Names of the experiments that were launched with the run among their runs, as far as there are records."""
        try:
            version = self._workspace.experiments.stat().st_mtime_ns
        except FileNotFoundError:
            return frozenset()
        if version != self._version:
            self._version, self._names = version, {}
            for launched in read_launches(self._workspace):
                for wanted in launched.runs:
                    self._names.setdefault(wanted, set()).add(launched.name)
        return frozenset(self._names.get(run_id, ()))


def read_launches(workspace: Workspace) -> list[Launched]:
    """All launched experiments, the newest first; a damaged record is left out (``find_damaged_launches``)."""
    found = []
    for file in _records(workspace):
        with contextlib.suppress(FileNotFoundError, DataError):
            found.append(_read(file))
    return sorted(found, key=lambda launched: -launched.launched)


def find_damaged_launches(workspace: Workspace) -> list[DataError]:
    """Records of launches that cannot be read: each says which file and what to do."""
    found = []
    for file in _records(workspace):
        try:
            _read(file)
        except DataError as error:
            found.append(error)
    return found


def _records(workspace: Workspace) -> list[Path]:
    return sorted(workspace.experiments.glob("[!.]*.json"))


def _read(file: Path) -> Launched:
    document = file.with_suffix(".yaml")
    return read_record(file, Launched, f"Launch {document} again, which writes it anew.", document=document)
