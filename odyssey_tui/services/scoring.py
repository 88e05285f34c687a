"""A stand-alone evaluation from the outside: which model is meant, and the process that does the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.spec.run import Model
from odyssey_tui.services.asking import Hear, ask
from store.errors import DataError, WorkspaceError
from store.names import suggest

if TYPE_CHECKING:
    from engine.spec.scoring import Scoring
    from store.workspace import Workspace

FACTS = "odyssey.json"
"""In the folder of every saved state."""


def name_model(name: str, revision: str | None, workspace: Callable[[], Workspace]) -> tuple[Model, Workspace | None]:
    """The model meant by a folder, a hub id, or RUN@STATE (RUN may be shortened), and the workspace of such a state.

    ``workspace`` is called where the name may be that of a run. ``DataError`` when there is no such run or state, a run
    comes without its state, or a revision with what has none.
    """
    folder = Path(name).expanduser().exists()
    if revision is not None and (folder or "@" in name):
        raise DataError(f"{name} has no revisions", "Leave --revision out: it belongs to a hub id.")
    if not folder and "@" not in name and "/" not in name and (runs := _runs_called(name, workspace)):
        listed = f"{len(runs)} runs" if len(runs) > 1 else f"run {runs[0]}"
        raise DataError(
            f"{name!r} is {listed}, not a model", f"Add the state: {name}@STATE; `odyssey show` lists them."
        )
    if folder or "@" not in name:
        return Model(source=name, revision=revision), None
    run, _, state = name.rpartition("@")
    if "/" in run:
        raise DataError(
            f"there is no model {name!r}", f"Give a hub id's revision apart: --model {run} --revision {state}"
        )
    opened = workspace()
    run_id = _find_run(run, opened)
    folder = opened.run(run_id).checkpoint(state)
    if not (folder / FACTS).is_file():
        saved = sorted(path.parent.name for path in folder.parent.glob(f"*/{FACTS}"))
        listed = f"Its states: {', '.join(saved)}." if saved else "It has saved none (yet): `keep` says which it keeps."
        raise DataError(f"run {run_id} has no saved state {state!r}", suggest(state, saved, listed))
    return Model(run=run_id, state=state), opened


def _runs_called(name: str, workspace: Callable[[], Workspace]) -> list[str]:
    try:
        opened = workspace()
    except WorkspaceError:
        return []  # without a workspace it is a hub id
    return sorted(path.name for path in opened.runs.iterdir() if path.name.startswith(name))


def _find_run(name: str, workspace: Workspace) -> str:
    run_ids = sorted(path.name for path in workspace.runs.iterdir())
    found = [run_id for run_id in run_ids if run_id == name] or [r for r in run_ids if r.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{len(found)} runs begin with {name!r}", f"Write more of it: {', '.join(found[:4])} …")
    raise DataError(
        f"there is no run {name!r} in {workspace.root}", suggest(name, run_ids, "'odyssey runs' lists them.")
    )


def score(scoring: Scoring, hear: Hear) -> dict[str, Any]:
    """Have a process evaluate; errors and ``hear`` as of ``asking.ask``."""
    return ask(
        "engine.evaluate.standalone",
        scoring.model_dump_json(),
        hear,
        noun="evaluation",
        killed_hint="Lower --batch-tokens or --window, or use a smaller model.",
    )
