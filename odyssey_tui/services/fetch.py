"""Downloading what an experiment reads, in a process of its own: the libraries for it are heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey_tui.services.launch import compose_whole
from store.errors import OdysseyError

if TYPE_CHECKING:
    from store.workspace import Workspace

COMMAND = (sys.executable, "-P", "-m", "engine.fetch")


@dataclass(frozen=True)
class Fetched:
    """One model, tokenizer or corpus (see ``engine.fetch.Item``)."""

    kind: str
    name: str
    state: str
    revision: str | None
    commit: str | None
    n_bytes: int | None
    reason: str
    hint: str


def fetch_all(workspace: Workspace, path: Path, overrides: Sequence[str]) -> Iterator[Fetched]:
    """Fetch what the runs of an experiment read, item by item. OdysseyError when the process breaks down."""
    plan = compose_whole(workspace, path, overrides).plan
    content = json.dumps([run.model_dump(mode="json") for run in plan.runs])
    child = subprocess.Popen((*COMMAND, str(workspace.root)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        child.stdin.write(content)
        child.stdin.close()
        for line in child.stdout:
            yield Fetched(**json.loads(line))
        if status := child.wait():
            raise OdysseyError(f"fetching broke off (exit status {status})", "The lines above say why.")
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
