"""Points that another table of the same experiment has brought already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.importers.keep import identify
from engine.importers.recorded import Recorded, Unread
from engine.spec.strict import content_key
from store.errors import DataError
from store.journal import read_events
from store.workspace import Workspace

_PLACE = frozenset({"seq", "t", "event", "place"})


def without_known(
    workspace: Workspace, recorded: Recorded, experiment: str | None
) -> tuple[tuple[Mapping[str, Any], ...], list[Unread]]:
    """The points of ``recorded`` that no other table of its experiment holds, and the others as not imported."""
    own = identify(workspace, recorded, experiment)
    experiment = experiment or recorded.project
    known: dict[str, str] = {}
    for run_id in workspace.run_ids():
        run = workspace.run(run_id)
        if run_id != own and _is_table_of(run, experiment):
            points = (event for event in read_events(run.attempt(1).events)[0] if event["event"] == "point")
            known |= {_content(point): f"{run_id}, {point.get('place', '')}" for point in points}
    fresh, doubled = [], []
    for point in recorded.points:
        held = known.get(_content(point))
        if held is None:
            fresh.append(point)
        else:
            doubled.append(Unread(recorded.source, str(point["place"]), f"known already, from {held}"))
    return tuple(fresh), doubled


def _is_table_of(run: Any, experiment: str) -> bool:
    try:
        spec = run.spec()
    except DataError:
        return False
    job = spec.get("job") if isinstance(spec, dict) else None
    return isinstance(job, dict) and job.get("tool") == "table" and spec.get("experiment") == experiment


def _content(point: Mapping[str, Any]) -> str:
    return content_key({name: value for name, value in point.items() if name not in _PLACE}, 16)
