"""The drift job on states that real runs saved: what it records, and what the database makes of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.evaluate.canary import CanaryError
from engine.jobs import drift as drift_job
from engine.plan.drift import make_drift_run
from engine.plan.expand import expand
from engine.report import JobContext, Report, StopRequested
from engine.spec.load import load_experiment
from engine.spec.run import Model, RunSpec, Tokenizer
from store.database import lease
from store.errors import DataError
from store.ingest import ingest
from store.queries.drift import DriftRow, drifts_of_run, find_drift, read_type_drifts
from store.queries.evaluations import list_evaluations
from store.queries.tokens import open_pair, read_ledger
from store.run_dir import create_run
from store.upkeep.check import run_checks
from store.upkeep.deletion import count_rows_of, set_aside
from store.upkeep.findings import Finding
from store.upkeep.rebuild import rebuild
from store.workspace import Workspace
from tests.support.inline import execute
from tests.support.tiny import write_experiment

OVERRIDES = (
    "evaluate.drift=true",
    'adapt.0.method=["full","lora"]',
    "adapt.0.rank=[2]",
    "adapt.0.lr=[3e-2]",
    "adapt.0.save=adapter",
)


@dataclass(frozen=True)
class World:
    """A workspace in which the tiny experiment was executed: adapted in full and by LoRA (saved as an adapter alone),
    with the drift of both."""

    workspace: Workspace
    specs: dict[str, RunSpec]
    events: dict[str, list[dict]]

    def find(self, kind: str, method: str = "full") -> RunSpec:
        (found,) = [s for s in self.specs.values() if s.job.kind == kind and s.labels.get("method") == method]
        return found

    def drift(self, method: str = "full") -> DriftRow:
        with lease(self.workspace) as con:
            (found,) = drifts_of_run(con, self.find("drift", method).run_id)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("drift")
    plan = expand(load_experiment(write_experiment(folder), OVERRIDES))
    workspace = Workspace.create(folder / "workspace")
    events = execute(workspace, plan.runs)
    ingest(workspace)
    return World(workspace, {run.run_id: run for run in plan.runs}, events)


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """A copy that a test may change."""
    shutil.copytree(world.workspace.root, tmp_path / "workspace")
    return World(Workspace.open(tmp_path / "workspace"), world.specs, world.events)


def problems(workspace: Workspace) -> list[Finding]:
    """What ``odyssey store check --deep`` would call a problem."""
    return [one for _, found in run_checks(workspace, deep=True) for one in found if one.severity == "problem"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_contributions_are_those_of_the_ledger(world: World, method: str) -> None:
    drift = world.drift(method)
    assert drift.positions == drift.predicted
    with lease(world.workspace) as con:
        ledger = read_ledger(con, open_pair(con, drift.evaluation_before, drift.evaluation_after))
        types = read_type_drifts(con, drift.drift_id)
        assert find_drift(con, drift.evaluation_before, drift.evaluation_after) == drift
        assert find_drift(con, drift.evaluation_after, drift.evaluation_before) is None
    assert ledger.positions == drift.positions
    order, own_order = np.argsort(ledger.token_id), np.argsort(types["token_id"])
    assert ledger.token_id[order].tolist() == types["token_id"][own_order].tolist()
    assert ledger.text[order].tolist() == types["text"][own_order].tolist()
    contribution = (types["sum_after"] - types["sum_before"]) / drift.positions
    assert contribution[own_order] == pytest.approx(ledger.contribution[order], abs=1e-6)
    assert abs(ledger.delta) > 1e-4
    assert contribution.sum() == pytest.approx(drift.loss_after - drift.loss_before, abs=1e-9)
    assert contribution.sum() == pytest.approx(ledger.delta, abs=1e-5)
    for name in ("before", "after", "output", "hidden"):
        assert types[f"sum_{name}"].sum() / drift.positions == pytest.approx(getattr(drift, f"loss_{name}"), abs=1e-9)


def test_a_body_adapter_leaves_the_embeddings_alone(world: World) -> None:
    full, lora = world.drift("full"), world.drift("lora")
    assert full.tied
    assert lora.tied
    assert full.input_drift == full.output_drift > 0
    assert lora.input_drift == lora.output_drift == 0
    assert lora.hidden_drift > 0
    assert lora.loss_output == lora.loss_before
    assert lora.loss_hidden == pytest.approx(lora.loss_after, abs=1e-9)
    with lease(world.workspace) as con:
        types = read_type_drifts(con, lora.drift_id)
    assert (types["input_drift"] == 0).all()
    assert types["output_cosine"] == pytest.approx(np.ones(len(types["n"])))


def test_a_bound_and_another_state_are_runs_of_their_own(own: World) -> None:
    adaptation = own.find("adapt")
    bounded = make_drift_run(adaptation, max_tokens=200, on="base")
    events = execute(own.workspace, [bounded])[bounded.run_id]
    (running,) = [event for event in events if event["event"] == "running"]
    (found,) = [event for event in events if event["event"] == "drift"]
    assert running["total"] == found["positions"] <= 200 < found["predicted"]
    assert [event["done"] for event in events if event["event"] == "progress"][-1] == found["positions"]
    assert found["role"] == "base"
    ingest(own.workspace)
    with lease(own.workspace) as con:
        (row,) = drifts_of_run(con, bounded.run_id)
        assert (row.max_tokens, row.positions, row.eval_set) == (200, found["positions"], "base")
        assert read_type_drifts(con, row.drift_id)["n"].sum() == row.positions


def test_the_wider_of_two_drifts_stands_for_a_pair(own: World) -> None:
    bounded = make_drift_run(own.find("adapt"), max_tokens=200)
    execute(own.workspace, [bounded])
    ingest(own.workspace)
    whole = own.drift()
    with lease(own.workspace) as con:
        assert find_drift(con, whole.evaluation_before, whole.evaluation_after) == whole


def test_a_run_that_was_killed_is_repeated_whole(own: World) -> None:
    """The first attempt's shard is there, its event is not."""
    spec = make_drift_run(own.find("adapt"), on="base")
    run = create_run(own.workspace, spec.model_dump(mode="json"))

    class Dies(Report):
        def emit(self, event: str, **fields: object) -> None:
            if event == "drift":
                raise KeyboardInterrupt
            super().emit(event, **fields)

    with pytest.raises(KeyboardInterrupt), Dies(run.new_attempt()) as report:
        drift_job.execute(spec.job, JobContext(own.workspace, spec, run, report, device="cpu", threads=1))
    ingest(own.workspace)
    execute(own.workspace, [spec])
    report = ingest(own.workspace)
    assert report.shards == 1
    with lease(own.workspace) as con:
        (row,) = drifts_of_run(con, spec.run_id)
        assert row.positions == read_type_drifts(con, row.drift_id)["n"].sum()
    assert problems(own.workspace) == []


def test_a_wish_to_stop_is_heard(own: World) -> None:
    spec = make_drift_run(own.find("adapt"), on="base")
    run = create_run(own.workspace, spec.model_dump(mode="json"))

    class Asks(Report):
        def progress(self, done: float, phase: str = "") -> None:
            if phase == "comparing":
                self.request_stop("asked by the test")

    with pytest.raises(StopRequested), Asks(run.new_attempt()) as report:
        drift_job.execute(spec.job, JobContext(own.workspace, spec, run, report, device="cpu", threads=1))


def test_reading_twice_and_rebuilding_change_nothing(own: World) -> None:
    def content() -> list[list[tuple]]:
        with lease(own.workspace) as con:
            return [
                con.execute("SELECT * FROM drifts ORDER BY drift_id").fetchall(),
                con.execute("SELECT * FROM type_drifts ORDER BY drift_id, token_id").fetchall(),
            ]

    before = content()
    assert [len(rows) > 0 for rows in before] == [True, True]
    ingest(own.workspace)
    assert content() == before
    made = rebuild(own.workspace)
    assert not made.damaged
    assert content() == before
    assert problems(own.workspace) == []


def test_a_drift_goes_with_its_run(own: World) -> None:
    spec = own.find("drift")
    with lease(own.workspace) as con:
        counted = count_rows_of(con, [spec.run_id])
        types = len(read_type_drifts(con, own.drift().drift_id)["n"])
    assert (counted["drifts"], counted["type_drifts"]) == (1, types)
    assert "evaluations" not in counted
    set_aside(own.workspace, spec.run_id, keep_results=False)
    ingest(own.workspace)
    with lease(own.workspace) as con:
        assert not drifts_of_run(con, spec.run_id)
        (left,) = con.execute("SELECT count(DISTINCT drift_id) FROM type_drifts").fetchall()[0]
        assert left == 1
        assert list_evaluations(con, [own.find("adapt").run_id])


def test_a_state_that_is_gone_says_what_to_do(own: World) -> None:
    adaptation = own.find("adapt")
    shutil.rmtree(own.workspace.run(adaptation.run_id).checkpoint("atpp1"))
    spec = make_drift_run(adaptation, on="base")
    with pytest.raises(DataError, match="has no saved state 'atpp1'") as caught:
        execute(own.workspace, [spec])
    assert "keep: final" in caught.value.hint


def test_weights_that_are_not_what_was_saved_are_refused(own: World) -> None:
    adaptation = own.find("adapt")
    facts = own.workspace.run(adaptation.run_id).checkpoint("atpp1") / "odyssey.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "canary_loss": 1.0}))
    with pytest.raises(CanaryError, match="have a loss of"):
        execute(own.workspace, [make_drift_run(adaptation, on="base")])


def test_another_tokenizer_is_refused(own: World) -> None:
    spec = make_drift_run(own.find("adapt"), on="base")
    corpora = spec.job.evaluation.sets[0].corpora
    job = spec.job.model_copy(update={"tokenizer": Tokenizer(train_on=corpora, vocab_size=280)})
    with pytest.raises(CanaryError, match="was trained with tokenizer"):
        execute(own.workspace, [spec.model_copy(update={"job": job, "run_id": "drift-other"})])


def test_models_of_two_shapes_are_refused(own: World) -> None:
    config = write_experiment(own.workspace.root.parent)
    plan = expand(load_experiment(config, [*OVERRIDES, "base.sizes.xs.n_layer=2"]))
    (other,) = [run for run in plan.runs if run.job.kind == "pretrain"]
    needed = [run for run in plan.runs if run.run_id in other.needs and not own.workspace.run(run.run_id).exists()]
    execute(own.workspace, [*needed, other])
    spec = make_drift_run(own.find("adapt"))
    job = spec.job.model_copy(update={"before": Model(run=other.run_id, state="ptpp2")})
    with pytest.raises(DataError, match="no states of one model"):
        execute(own.workspace, [spec.model_copy(update={"job": job, "run_id": "drift-shapes"})])
