"""The demo: a miniature odyssey, queued once per workspace and then only looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.launch import compose_whole, find_config, launch

if TYPE_CHECKING:
    from odyssey_tui.services.launch import Composition
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
