"""Adaptations that treat newlines apart, through the queue and a real worker: what their journals say."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.launch.queue_state import queue_state
from odyssey_tui.cli.main import run
from store.journal import read_events
from store.workspace import Workspace
from tests.support.queue import wait_for_all
from tests.support.tiny import write_experiment

pytestmark = pytest.mark.slow

DEADLINE_S = 120.0
TARGETS = 8 * 31
"""Of one step."""
TRAINING = "adapt_training: {lr: 3e-3, sequence: 32, batch_sequences: 8, log_every: 1"
VARIANTS = {
    "plain": "",
    "exclude": ', masks: [{tokens: ["\\n"]}]',
    "weight": ", masks: [{classes: [newline], treat: weight, weight: 0.25}]",
    "kl": ", masks: [{classes: [newline], treat: kl, weight: 2}]",
    "apart": ", cross_document: false",
    "joined": ", separator: newline",
}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The metrics of one adaptation a variant; the base is trained once."""
    folder = tmp_path_factory.mktemp("masks")
    config = write_experiment(folder, documents=40)
    text, at = config.read_text(), str(folder / "workspace")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("ODYSSEY_SLOTS", "1"), ("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1")):
            environment.setenv(name, value)
        for name, options in VARIANTS.items():
            content = text.replace("name: tiny", f"name: {name}").replace(
                "adapt:\n", f"{TRAINING}{options}}}\nadapt:\n"
            )
            (folder / f"{name}.yaml").write_text(content)
            assert run(["launch", str(folder / f"{name}.yaml"), "-w", at]) == 0
    workspace = Workspace.open(Path(at))
    try:
        wait_for_all(workspace, DEADLINE_S)
    finally:
        if (pid := queue_state(workspace).scheduler_pid) is not None:
            os.kill(pid, signal.SIGTERM)
    return {
        workspace.run(run_id).spec()["experiment"]: [
            event["values"]
            for event in read_events(workspace.run(run_id).attempt(1).events)[0]
            if event["event"] == "metric"
        ]
        for run_id in workspace.run_ids()
        if run_id.startswith("adapt")
    }


def test_the_first_step_holds_the_newlines_as_asked(metrics: dict[str, list[dict[str, Any]]]) -> None:
    # Of the same sequences under the same weights, with n targets of which o are no newlines and their sums of losses:
    # plain (O + N) / n, exclude O / o, weight (O + N / 4) / n, kl O / n, the divergence from the base being 0 as yet.
    assert set(metrics) == set(VARIANTS)
    plain, exclude, weight, kl = (metrics[name][0]["loss"] for name in ("plain", "exclude", "weight", "kl"))
    assert weight == pytest.approx(kl + 0.25 * (plain - kl), rel=1e-5)
    others = TARGETS * kl / exclude
    assert others == pytest.approx(round(others), abs=1e-3)
    assert 0 < TARGETS - others < TARGETS / 4


def test_only_what_is_held_to_the_base_diverges_from_it(metrics: dict[str, list[dict[str, Any]]]) -> None:
    divergence = [values["divergence"] for values in metrics["kl"]]
    assert divergence[0] == pytest.approx(0, abs=1e-6)
    assert divergence[-1] > 1e-4
    for name in VARIANTS.keys() - {"kl"}:
        assert not any("divergence" in values for values in metrics[name])


def test_documents_apart_and_joined_by_line_ends_are_other_trainings(metrics: dict[str, list[dict[str, Any]]]) -> None:
    losses = {name: [values["loss"] for values in metrics[name]] for name in ("plain", "apart", "joined")}
    assert losses["plain"] != losses["apart"] != losses["joined"] != losses["plain"]
