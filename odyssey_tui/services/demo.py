"""The demo: a miniature odyssey, queued once per workspace and then only looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.launch import compose_whole, launch
from odyssey_tui.services.progress import ACTIVE, PulseReader
from odyssey_tui.services.starts import find_config

if TYPE_CHECKING:
    from odyssey_tui.services.composition import Composition
    from odyssey_tui.services.progress import Pulse
    from store.queries.evaluations import StateEvaluation
    from store.workspace import Workspace

CONFIG = "demo"


@dataclass(frozen=True)
class Demo:
    """The demo's runs in this workspace; ``started`` of them were queued by this call."""

    run_ids: tuple[str, ...]
    started: int


def plan_demo(workspace: Workspace) -> Composition:
    """The demo's runs and which of them exist."""
    return compose_whole(workspace, find_config(CONFIG), ())


def start_demo(workspace: Workspace) -> Demo:
    """Queue whatever of the demo is not there, and make sure that a scheduler works on what is unfinished."""
    from engine.launch.scheduler import ensure_running

    composition = plan_demo(workspace)
    run_ids = tuple(run.run_id for run in composition.runs)
    if composition.new:
        launch(workspace, composition)
    elif any(run.state != "done" for run in composition.runs):
        ensure_running(workspace)
    return Demo(run_ids, len(composition.new))


@dataclass(frozen=True)
class Watched:
    """The demo's runs at one moment: how many there are in each state, and which failed or wait for a failed one."""

    pulse: Pulse
    finished: bool
    done: int
    failed: tuple[str, ...]
    """``name: reason`` of each run that ended badly."""


class DemoWatch:
    """Looks at the demo's runs again and again, and keeps somebody working on them."""

    def __init__(self, workspace: Workspace, run_ids: Sequence[str]) -> None:
        self._workspace = workspace
        self._runs = [workspace.run(run_id) for run_id in run_ids]
        self._reader = PulseReader(workspace)

    def look(self) -> Watched:
        """How it goes now; starts a scheduler where the last one died over its work."""
        from engine.launch.requests import list_retrying
        from engine.launch.scheduler import ensure_running

        retrying = list_retrying(self._workspace)
        states = [run.state() for run in self._runs]
        pulse = self._reader.read()
        moving = any(state.state in ACTIVE for state in states) or any(run.run_id in retrying for run in self._runs)
        if moving and not pulse.works:
            ensure_running(self._workspace)
        failed = tuple(
            f"{run.name()}: {state.reason or state.state}"
            for run, state in zip(self._runs, states, strict=True)
            if state.finished and state.state != "done"
        )
        return Watched(pulse, not moving, sum(state.state == "done" for state in states), failed)


@dataclass(frozen=True)
class CorpusLine:
    """A corpus of the workspace: documents, bytes and training tokens."""

    name: str
    source: str
    documents: int
    groups: int | None
    duplicates: int | None
    bytes: int
    test_bytes: int
    train_tokens: int | None


def list_corpora(workspace: Workspace) -> list[CorpusLine]:
    """The corpora of the workspace by name."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries import corpora

    ingest(workspace)
    with lease(workspace) as con:
        found = corpora.list_corpora(con)
    return [
        CorpusLine(
            name=corpus.name,
            source=corpus.source,
            documents=corpus.n_documents,
            groups=corpus.n_groups,
            duplicates=corpus.duplicates,
            bytes=sum(corpus.bytes.values()),
            test_bytes=corpus.bytes.get("test", 0),
            train_tokens=corpus.tokens.get("train"),
        )
        for corpus in found
    ]


def final_evaluations(workspace: Workspace, run_ids: Sequence[str]) -> list[StateEvaluation]:
    """The most adapted state of each run on its target and on the base set, in the order of ``run_ids``."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries.evaluations import list_evaluations

    ingest(workspace)
    with lease(workspace) as con:
        found = list_evaluations(con, list(run_ids))
    finals = {(line.run_id, line.role): line for line in found if line.atpp and line.delta is not None}
    return [finals[key] for run_id in run_ids for key in ((run_id, "target"), (run_id, "base")) if key in finals]


def most_worsened(evaluations: Sequence[StateEvaluation]) -> StateEvaluation | None:
    """The target evaluation with the largest ΔL: where adaptation did most harm, or least good."""
    targets = [line for line in evaluations if line.role == "target" and line.has_ledger]
    return max(targets, key=lambda line: line.delta or 0.0, default=None)
