"""All checks, in the order in which they are reported."""

from __future__ import annotations

from collections.abc import Iterator

from store.database import DamagedDatabase, lease
from store.errors import OdysseyError, WorkspaceError
from store.ingest import ingest
from store.upkeep import check_files, check_rows
from store.upkeep.findings import Check, Finding, Scene
from store.workspace import Workspace

CHECKS: tuple[Check, ...] = (*check_rows.CHECKS, *check_files.CHECKS)
READABLE = "the database can be read"


def run_checks(workspace: Workspace, *, deep: bool = False) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """Every check by name with what it found, after what the files have to say is in the database.

    A database that cannot be opened is a finding, and the end.
    """
    try:
        news = tuple(_bring_in(workspace))
        with lease(workspace) as con:
            scene, damage = Scene(workspace, con), set[str]()
            yield READABLE, news
            for check in CHECKS:
                if deep or not check.deep:
                    yield check.name, _found_by(check, scene, damage)
    except OdysseyError as error:
        yield READABLE, (Finding("problem", error.message, error.hint),)


def _bring_in(workspace: Workspace) -> Iterator[Finding]:
    try:
        ingest(workspace)
    except DamagedDatabase:
        raise
    except WorkspaceError as error:
        yield Finding("warning", f"what came since the last look is not in it: {error.message}", error.hint)


def _found_by(check: Check, scene: Scene, damage: set[str]) -> tuple[Finding, ...]:
    """What a check finds. ``damage`` remembers what DuckDB said: one broken block stops many checks."""
    import duckdb

    try:
        return tuple(check.find(scene))
    except duckdb.Error as error:
        words = str(error).splitlines()[0]
        if words in damage:
            return (Finding("warning", "not looked at, because of the damage above"),)
        damage.add(words)
        return (Finding("problem", f"the database is damaged: {words}", check_rows.REBUILD),)
    except OdysseyError as error:
        return (Finding("problem", error.message, error.hint),)
