"""The fit job on real journals: the points it collects, what it emits, what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.jobs import fit as fit_job
from engine.jobs.points import adaptation_sample, read_records, zero_shot_points
from engine.laws.errors import LawError
from engine.laws.forms import REGISTRY
from engine.laws.law import law_from_record
from engine.laws.points import Points
from engine.report import JobContext, Report, StopRequested
from engine.spec.run import FitJob, RunSpec
from store.database import lease
from store.ingest import ingest
from store.journal import read_events
from store.run_dir import create_run
from store.shards import read_shard
from store.workspace import Workspace

SCHEME = {"kind": "blocks", "window": 64, "stride": None, "bos": False, "precision": "fp32"}
SIZES, PTPPS, RATIOS, ATPPS = (20_000, 60_000, 150_000), (8, 16, 64), (0.0, 0.1, 0.25, 0.5), (1, 2, 4, 8)
SETS = {"target": "set-domain", "base": "set-base"}
PREDICTED = 30_000
BASE_TEXT, DOMAIN_TEXT = 1_000_000, 250_000
"""Tokens of the training texts."""


def zero_shot(n: float, p: float, role: str) -> float:
    return (3.2 if role == "target" else 2.4) + 60 / n**0.45 + 40 / (n * p) ** 0.4


def adapted(n: float, p: float, d: float, rho: float, role: str) -> float:
    if role == "target":
        return 1.5 + 40 / n**0.4 + 30 / (n * p) ** 0.35 + 8 * (1 - rho) ** 0.4 / d**0.2 + 0.02 / (1 - rho + 0.1) ** 0.5
    start = zero_shot(n, p, role)
    return start + (0.4 / (rho + 0.2) - 0.3) * (1 - (1 + d / (0.8 * n)) ** -0.4)


def write_run(
    workspace: Workspace, run_id: str, job: dict[str, Any], events: list[dict[str, Any]], **spec: Any
) -> None:
    run = create_run(workspace, {"run_id": run_id, "name": run_id, "experiment": "e", "labels": {}, "job": job, **spec})
    report = Report(run.new_attempt())
    for event in events:
        report.emit(**event)
    report.emit("done", seconds=1.0)
    report.close()


def evaluation(model_id: str, role: str, loss: float) -> dict[str, Any]:
    return {
        "event": "evaluation",
        "evaluation_id": f"{model_id}/{SETS[role]}",
        "model_id": model_id,
        "eval_set_id": SETS[role],
        "role": role,
        "scheme": SCHEME,
        "predicted": PREDICTED,
        "sum_loss": loss * PREDICTED,
        "n_bytes": 90_000,
        "seconds": 0.1,
    }


def mixture(replayed: float, adapted_to: float = 0.0) -> dict[str, Any]:
    return {
        "event": "mixture",
        "target_tokens": round(adapted_to),
        "replay_tokens": round(replayed),
        "target_epochs": adapted_to / DOMAIN_TEXT,
        "replay_epochs": replayed / BASE_TEXT,
    }


@dataclass(frozen=True)
class Sweep:
    workspace: Workspace
    needs: tuple[str, ...]


def write_sweep(root: Path) -> Sweep:
    """Three pretrained sizes with three states each; a grid of adapt runs, and one run by LoRA."""
    workspace = Workspace.create(root)
    needs = []
    for n in SIZES:
        events = []
        for p in PTPPS:
            model_id = f"base-{n}@ptpp{p}"
            model = {"model_id": model_id, "run_id": f"base-{n}", "n_params": n, "tokens_seen": n * p, "ptpp": float(p)}
            events += [mixture(n * p), {"event": "model", **model, "parent": None}]
            # The base run does not know which set will be a target: it says "other".
            events += [
                evaluation(model_id, role, zero_shot(n, p, role)) | {"role": "other" if role == "target" else role}
                for role in SETS
            ]
        write_run(workspace, f"base-{n}", {"kind": "pretrain"}, events)
        needs.append(f"base-{n}")
    for n in SIZES:
        for p in PTPPS:
            for rho in RATIOS:
                needs.append(write_adaptation(workspace, f"adapt-{n}-{p}-{rho}", n, p, rho, "full"))
    needs.append(write_adaptation(workspace, "adapt-lora", SIZES[0], 8, 0.1, "lora", shift=0.5))
    return Sweep(workspace, tuple(needs))


def write_adaptation(
    workspace: Workspace, run_id: str, n: int, p: float, rho: float, method: str, shift: float = 0.0
) -> str:
    events = []
    for a in ATPPS:
        model_id = f"{run_id}@atpp{a}"
        model = {"model_id": model_id, "run_id": run_id, "n_params": n, "tokens_seen": n * (p + a), "ptpp": float(p)}
        model |= {"parent": f"base-{n}@ptpp{p}", "atpp": float(a), "adapt_tokens": n * a, "replay_ratio": rho}
        events += [mixture(rho * n * a, (1 - rho) * n * a), {"event": "model", **model, "domain": "tests"}]
        events[-1]["method"] = method
        events += [evaluation(model_id, role, adapted(n, p, n * a, rho, role) + shift) for role in SETS]
    write_run(workspace, run_id, {"kind": "adapt"}, events, experiment="e")
    return run_id


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return write_sweep(tmp_path_factory.mktemp("laws") / "workspace")


def run_job(sweep: Sweep, run_id: str, **job: Any) -> tuple[list[dict[str, Any]], JobContext]:
    chosen = {"forms": ("ptpp_additive",), "fit_ptpp": (8, 16), "score_ptpp": (64,), "starts": 100, "bootstrap": 20}
    spec = RunSpec(
        run_id=run_id,
        name=run_id,
        experiment="e",
        needs=sweep.needs,
        job=FitJob(domain="tests", **{**chosen, **job}),
    )
    run = create_run(sweep.workspace, spec.content())
    attempt = run.new_attempt()
    with Report(attempt) as report:
        context = JobContext(sweep.workspace, spec, run, report, "cpu", 1)
        try:
            fit_job.execute(spec.job, context)
        finally:
            report.close()
    return read_events(attempt.events)[0], context


def fits(events: list[dict[str, Any]]) -> dict[tuple[str, str, int], dict[str, Any]]:
    return {(e["role"], e["form"], e["scores"]["anchors"]): e for e in events if e["event"] == "fit"}


def test_points_agree_with_the_database_view(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "workspace")
    ingest(sweep.workspace)
    records = read_records(sweep.workspace, sweep.needs)
    with lease(sweep.workspace) as con:
        for role in ("target", "base"):
            points = adaptation_sample(records, "tests", role).points
            rows = con.execute(
                "SELECT run_id, n_params, ptpp, atpp, adapt_tokens, replay_ratio, loss, zero_shot_loss, base_epochs,"
                " target_epochs, replay_epochs FROM adaptation_points WHERE domain = 'tests' AND role = ?"
                " ORDER BY run_id, atpp",
                [role],
            ).fetchall()
            columns = ("run", "n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "loss", "zero_shot_loss")
            columns += ("base_epochs", "target_epochs", "replay_epochs")
            mine = sorted(
                zip(*(getattr(points, name).tolist() for name in columns), strict=True), key=lambda r: (r[0], r[3])
            )
            assert len(rows) == len(mine) == (len(SIZES) * len(PTPPS) * len(RATIOS) + 1) * len(ATPPS)
            for theirs, ours in zip(rows, mine, strict=True):
                assert theirs[0] == ours[0]
                assert theirs[1:] == pytest.approx(ours[1:], rel=1e-12)


def test_points_know_how_often_their_texts_were_read(sweep: Sweep) -> None:
    points = adaptation_sample(read_records(sweep.workspace, sweep.needs), "tests", "target").points
    np.testing.assert_allclose(points.base_epochs, points.n_params * points.ptpp / BASE_TEXT, rtol=1e-6)
    np.testing.assert_allclose(points.target_epochs, (1 - points.replay_ratio) * points.adapt_tokens / DOMAIN_TEXT)
    np.testing.assert_allclose(points.replay_epochs, points.replay_ratio * points.adapt_tokens / BASE_TEXT)


def test_a_fit_says_that_texts_were_read_too_often(sweep: Sweep) -> None:
    events, _ = run_job(sweep, "fit-epochs", roles=("target",))
    (sentence,) = [one for one in fits(events)["target", "ptpp_additive", 0]["identifiability"] if "epochs" in one]
    # Base text: the largest size at PTPP 64 alone. The domain: 150,000 · 8 · (1 − ρ) of 250,000 tokens up to ρ = 0.1.
    over = len(ATPPS) * len(RATIOS) + 2 * 2
    assert sentence.startswith(f"{over} of {9 * len(ATPPS) * len(RATIOS)} points come after more than 4 epochs")
    assert "up to 9.6 of the base text before adaptation, up to 4.8 of the domain's text" in sentence


def test_sample_has_the_right_share_quality_and_exclusions(sweep: Sweep) -> None:
    records = read_records(sweep.workspace, sweep.needs)
    target, base = (adaptation_sample(records, "tests", role).points for role in ("target", "base"))
    np.testing.assert_allclose(target.share, 1 - target.replay_ratio)
    np.testing.assert_allclose(base.share, base.replay_ratio)
    np.testing.assert_allclose(target.quality, base.zero_shot_loss)
    lora = target.run == "adapt-lora"
    assert set(target.split[lora]) == {"excluded"}
    assert "lora" in target.reason[lora][0]
    assert set(target.split[~lora]) == {"fit"}


def test_fits_are_scored_at_the_held_out_ptpp(sweep: Sweep) -> None:
    events, _ = run_job(sweep, "fit-a", forms=("dcpt", "ptpp_additive", "zero_shot"))
    found = fits(events)
    assert set(found) == {(role, form, 0) for role in SETS for form in ("dcpt", "ptpp_additive", "zero_shot")}
    additive, blind = found["target", "ptpp_additive", 0], found["target", "dcpt", 0]
    held_out = len(SIZES) * len(RATIOS) * len(ATPPS)
    assert additive["n_points"] == 2 * held_out
    assert additive["scores"]["n"] == blind["scores"]["n"] == held_out
    # The losses follow the additive form without noise.
    assert additive["scores"]["mae_rel_mean"] < 1e-3
    assert additive["scores"]["mae_rel_mean"] < 0.1 * blind["scores"]["mae_rel_mean"]
    assert blind["scores"]["l0_shift"]["mae_rel_mean"] < blind["scores"]["mae_rel_mean"]
    assert additive["scores"]["extrapolation"]["P"] == pytest.approx(4.0)
    assert additive["n_excluded"] == len(ATPPS)
    assert additive["identifiability"]
    assert additive["P0"] == pytest.approx(np.sqrt(8 * 16))
    assert [e["event"] for e in events if e["event"] == "warning"] == []
    progress = [e for e in events if e["event"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 6


def test_shards_rebuild_the_law(sweep: Sweep) -> None:
    events, context = run_job(sweep, "fit-b")
    event = fits(events)["target", "ptpp_additive", 0]
    spool = context.run.latest_attempt().spool
    points, draws = (
        read_shard(spool / event[key], kind) for key, kind in (("shard", "fit_points"), ("shard_draws", "fit_draws"))
    )
    rows = points.to_pylist()
    assert {row["split"] for row in rows} == {"fit", "score", "excluded"}
    assert all(row["reason"] for row in rows if row["split"] == "excluded")
    columns = ("n_params", "ptpp", "adapt_tokens", "atpp", "replay_ratio", "share", "loss", "zero_shot_loss")
    table = Points.from_columns({name: [row[name] for row in rows] for name in columns})
    fitted = np.array([row["split"] == "fit" for row in rows])
    params = dict(sorted(event["params"].items()))  # the order of the keys does not matter
    law = law_from_record(
        REGISTRY[event["form"]],
        "target",
        params,
        np.array(draws["params"].to_pylist()),
        event["P0"],
        table.select(fitted),
    )
    np.testing.assert_allclose(law.predict(table), [row["predicted"] for row in rows], rtol=1e-9)
    assert law.draws.shape == (20, len(REGISTRY["ptpp_additive"].names))
    spread = law.predict_draws(table)[:, ~fitted] / law.predict(table)[~fitted] - 1
    assert np.abs(np.median(spread)) < 0.01


def test_anchors_and_scores_share_no_run(sweep: Sweep) -> None:
    events, context = run_job(sweep, "fit-c", forms=("dcpt",), roles=("target",), anchors=6)
    found = fits(events)
    blind, anchored = found["target", "dcpt", 0], found["target", "dcpt", 6]
    spool = context.run.latest_attempt().spool
    rows = {key: read_shard(spool / e["shard"], "fit_points").to_pylist() for key, e in (("0", blind), ("6", anchored))}
    anchors = [row for row in rows["6"] if row["split"] == "anchor"]
    scored = [row for row in rows["6"] if row["split"] == "score"]
    assert len(anchors) == 6
    assert {row["n_params"] for row in anchors} == {SIZES[0]}
    assert not {row["run_id"] for row in anchors} & {row["run_id"] for row in scored}
    where = [(row["run_id"], row["adapt_tokens"]) for row in scored]
    assert where == [(row["run_id"], row["adapt_tokens"]) for row in rows["0"] if row["split"] == "score"]
    assert not any(row["split"] == "anchor" for row in rows["0"])
    assert anchored["scores"]["saw"] == "6 anchors"
    assert blind["scores"]["saw"] == "nothing"
    assert anchored["fit_id"] != blind["fit_id"]


def test_pretraining_forms_are_fitted_to_the_base_states(sweep: Sweep) -> None:
    records = read_records(sweep.workspace, sweep.needs)
    curve = zero_shot_points(records, adaptation_sample(records, "tests", "target"))
    assert len(curve) == len(SIZES) * len(PTPPS)
    np.testing.assert_allclose(
        curve.loss, [zero_shot(n, p, "target") for n, p in zip(curve.n_params, curve.ptpp, strict=True)]
    )
    np.testing.assert_allclose(curve.adapt_tokens, curve.ptpp * curve.n_params)
    events, _ = run_job(sweep, "fit-d", forms=("chinchilla",), roles=("target",), anchors=4)
    (event,) = fits(events).values()
    assert event["scores"]["n"] == len(SIZES)
    assert event["scores"]["mae_rel_mean"] < 0.01


@pytest.mark.slow
def test_a_form_of_ones_own_is_fitted_like_the_others(sweep: Sweep) -> None:
    own = {
        "name": "mine",
        "formula": "E + A*N**-alpha + F*(P*N)**-phi + B*r**eta*D**-beta + C/(r + eps)**gamma",
        "parameters": {"eps": {"bounds": [1e-3, 1], "start": [0.01, 0.7]}},
    }
    events, _ = run_job(sweep, "fit-own", forms=("mine", "ptpp_additive"), roles=("target",), definitions=(own,))
    found = fits(events)
    assert found["target", "mine", 0]["objective"] == pytest.approx(
        found["target", "ptpp_additive", 0]["objective"], rel=0.05, abs=1e-6
    )
    assert found["target", "mine", 0]["scores"]["mae_rel_mean"] < 2e-3


def test_a_form_that_cannot_be_fitted_is_a_warning(sweep: Sweep) -> None:
    """Two trajectories, eight points: enough for the four parameters of one form, not for the ten of the other."""
    few = Sweep(sweep.workspace, (*sweep.needs[:3], "adapt-20000-8-0.1", "adapt-20000-16-0.25"))
    events, _ = run_job(few, "fit-e", forms=("forgetting_pinned", "zero_shot"), roles=("base",))
    assert set(fits(events)) == {("base", "forgetting_pinned", 0)}
    (warning,) = [e["message"] for e in events if e["event"] == "warning"]
    assert "zero_shot on the base loss left out: zero_shot needs at least 11 points, and 8 can be used" in warning


def test_nothing_to_fit_is_an_error(sweep: Sweep) -> None:
    nothing = Sweep(sweep.workspace, sweep.needs[:3])
    with pytest.raises(LawError, match="No law could be fitted to tests: 0 points"):
        run_job(nothing, "fit-f")


def test_runs_that_were_deleted_are_left_out_with_a_warning(sweep: Sweep) -> None:
    partly = Sweep(sweep.workspace, (*sweep.needs, "adapt-gone"))
    events, _ = run_job(partly, "fit-h", forms=("dcpt",), roles=("target",))
    assert fits(events)["target", "dcpt", 0]["n_points"] == 96
    (warning,) = [e["message"] for e in events if e["event"] == "warning"]
    assert warning == f"1 of {len(partly.needs)} runs are deleted and left out: adapt-gone"


def test_the_job_stops_when_asked(sweep: Sweep) -> None:
    spec = RunSpec(
        run_id="fit-g",
        name="fit-g",
        experiment="e",
        needs=sweep.needs,
        job=FitJob(domain="tests", forms=("dcpt",), fit_ptpp=(8, 16), score_ptpp=(64,)),
    )
    run = create_run(sweep.workspace, spec.content())
    with Report(run.new_attempt()) as report:
        report.request_stop("cancelled")
        with pytest.raises(StopRequested):
            fit_job.execute(spec.job, JobContext(sweep.workspace, spec, run, report, "cpu", 1))
