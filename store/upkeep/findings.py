"""What checks find, and what they look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from store.run_dir import RunDir
from store.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

Severity = Literal["problem", "warning", "info"]
NAMED = 3
"""How many names a sentence lists before it counts the rest."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be (problem), may need a look (warning), or takes room (info)."""

    severity: Severity
    what: str
    hint: str = ""


@dataclass(frozen=True)
class Scene:
    """What checks look at: a workspace and a read lease on its database."""

    workspace: Workspace
    con: duckdb.DuckDBPyConnection

    @cached_property
    def runs(self) -> tuple[RunDir, ...]:
        """Every run with a directory."""
        return tuple(self.workspace.run(run_id) for run_id in self.workspace.run_ids())

    def ask(self, query: str, *parameters: object) -> list[tuple]:
        """All rows of a query."""
        return self.con.execute(query, list(parameters)).fetchall()


@dataclass(frozen=True)
class Check:
    """One invariant. ``deep`` ones read every loss or every journal."""

    name: str
    find: Callable[[Scene], Iterable[Finding]]
    deep: bool = False


def names(found: Sequence[object]) -> str:
    """``a, b, c and 4 more``."""
    shown = ", ".join(str(name) for name in found[:NAMED])
    return shown if len(found) <= NAMED else f"{shown} and {len(found) - NAMED} more"
