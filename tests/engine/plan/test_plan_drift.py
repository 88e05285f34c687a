"""Drift runs are planned after adaptations, where asked for, and are the same when a person asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.plan.drift import make_drift_run
from engine.plan.estimate import estimate_run
from engine.plan.expand import expand
from engine.plan.plan import Plan
from engine.spec.load import load_experiment
from engine.spec.run import RunSpec
from store.errors import ConfigError, DataError
from tests.support.tiny import write_experiment


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("plan-drift"))


def plan(config: Path, *overrides: str) -> Plan:
    return expand(load_experiment(config, overrides))


def of_kind(found: Plan, kind: str) -> list[RunSpec]:
    return [run for run in found.runs if run.job.kind == kind]


def test_nothing_changes_unless_it_is_asked_for(config: Path) -> None:
    without, asked = plan(config), plan(config, "evaluate.drift=true")
    assert not of_kind(without, "drift")
    assert [run.run_id for run in without.runs] == [run.run_id for run in asked.runs if run.job.kind != "drift"]


def test_one_run_for_the_last_state_of_each_adaptation(config: Path) -> None:
    found = plan(config, "evaluate.drift=true", "adapt.0.replay_ratio=[0,0.5]", "adapt.0.lr=[1e-3,2e-3]")
    adaptations = {run.run_id: run for run in of_kind(found, "adapt")}
    drifts = of_kind(found, "drift")
    assert len(drifts) == len(adaptations) == 4
    for run in drifts:
        adaptation = adaptations[run.job.after.run]
        assert run.job.after.state == "atpp1"
        assert run.job.before == adaptation.job.base
        assert [chosen.role for chosen in run.job.evaluation.sets] == ["target"]
        assert run.job.evaluation.scheme == adaptation.job.evaluation.scheme
        assert set(run.needs) == {adaptation.run_id, adaptation.job.base.run}
        assert run.labels == adaptation.labels
        assert run.name == f"{adaptation.name.replace('adapt-', 'drift-', 1)}-atpp1"
        assert run.cost_flops == pytest.approx(2 * 2 * 2000 * found.work[run.run_id].n_params)
    places = {run.run_id: place for place, run in enumerate(found.runs)}
    assert all(places[run.run_id] > places[need] for run in drifts for need in run.needs)


def test_who_asks_makes_no_difference(config: Path) -> None:
    found = plan(config, "evaluate.drift=true", "adapt.0.lr=[1e-3,2e-3]")
    for planned in of_kind(found, "drift"):
        (adaptation,) = [run for run in found.runs if run.run_id == planned.job.after.run]
        asked = make_drift_run(adaptation)
        assert asked.model_dump(exclude={"cost_flops"}) == planned.model_dump(exclude={"cost_flops"})
    alone = plan(config, "evaluate.drift=true", "adapt.0.lr=[1e-3]")
    assert {run.run_id for run in of_kind(alone, "drift")} < {run.run_id for run in of_kind(found, "drift")}


def test_another_state_set_or_bound_is_another_run(config: Path) -> None:
    (adaptation,) = of_kind(plan(config, "adapt.0.keep=all"), "adapt")
    runs = [
        make_drift_run(adaptation),
        make_drift_run(adaptation, state="atpp0.5"),
        make_drift_run(adaptation, on="base"),
        make_drift_run(adaptation, max_tokens=500),
    ]
    assert len({run.run_id for run in runs}) == 4
    assert [run.name.removeprefix("drift-poems-r0-p2-xs-") for run in runs] == [
        "atpp1",
        "atpp0.5",
        "atpp1-on-base",
        "atpp1",
    ]
    assert make_drift_run(adaptation, max_tokens=100_000).run_id == runs[0].run_id
    assert make_drift_run(adaptation, on="poems").run_id == runs[0].run_id


@pytest.mark.parametrize(
    ("overrides", "arguments", "error", "words"),
    [
        ((), {"state": "atpp0.5"}, DataError, ("weights of atpp0.5", "only atpp1 was", "keep: all")),
        (("adapt.0.keep=none",), {}, DataError, ("weights of atpp1", "none was", "keep: final")),
        ((), {"state": "atpp2"}, DataError, ("no state 'atpp2'", "Did you mean 'atpp1'")),
        ((), {"state": "atpp1+wise0.5"}, DataError, ("interpolated", "never saved")),
        ((), {"on": "poem"}, ConfigError, ("not scored on 'poem'", "'poems'")),
    ],
)
def test_what_cannot_be_measured_says_what_to_do(config: Path, overrides, arguments, error, words) -> None:
    (adaptation,) = of_kind(plan(config, *overrides), "adapt")
    with pytest.raises(error) as caught:
        make_drift_run(adaptation, **arguments)
    for word in words:
        assert word in f"{caught.value.message} {caught.value.hint}"


def test_a_run_that_adapts_nothing_has_no_drift(config: Path) -> None:
    (base,) = of_kind(plan(config), "pretrain")
    with pytest.raises(DataError, match="is no adaptation"):
        make_drift_run(base)


def test_an_experiment_without_kept_weights_is_refused(config: Path) -> None:
    with pytest.raises(ConfigError, match="keep is none, and evaluate"):
        plan(config, "evaluate.drift=true", "adapt.0.keep=none")


def test_two_models_are_in_memory_and_no_losses_are_kept(config: Path) -> None:
    found = plan(config, "evaluate.drift=true")
    (drift,), (scored,) = of_kind(found, "drift"), of_kind(found, "evaluate")
    twice, once = (estimate_run(run, found.work[run.run_id], gpu=False) for run in (drift, scored))
    assert twice.memory.weights == 2 * once.memory.weights
    assert twice.memory.total - once.memory.total == once.memory.weights
    assert twice.disk.kept == 0
