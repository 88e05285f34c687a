"""True fits in the synthetic workspace: the fit job itself, run on its measured points."""

from __future__ import annotations

from typing import Any

from engine.jobs.fit import execute
from engine.report import JobContext, Report
from engine.spec.run import FitJob, RunSpec
from store.ingest import ingest
from store.run_dir import create_run
from store.workspace import Workspace
from tests.support import synthetic_law as law

FORMS = ("chinchilla", "dcpt", "ptpp_gated_floor", "zero_shot")


def fit_for_real(
    workspace: Workspace,
    *,
    anchors: int = 0,
    forms: tuple[str, ...] = FORMS,
    fit_ptpp: tuple[float, ...] = law.FIT_PTPP,
    definitions: tuple[dict[str, Any], ...] = (),
) -> str:
    """Fit the laws to the workspace's ``docs`` runs (full fine-tuning) and ingest them; returns the fit's run_id."""
    own = tuple(definition["name"] for definition in definitions)
    job = FitJob(
        forms=(*forms, *own),
        definitions=definitions,
        fit_ptpp=fit_ptpp,
        score_ptpp=law.SCORE_PTPP,
        domain="docs",
        starts=40,
        bootstrap=20,
        anchors=anchors,
    )
    adapted = [run for run in workspace.run_ids() if run.startswith("adapt-docs") and "lora" not in run]
    bases = [run for run in workspace.run_ids() if run.startswith("pretrain")]
    spec = RunSpec(
        run_id=f"fit-docs-real{anchors}{'-'.join(('', *own))}",
        name="fit-docs",
        experiment="demo",
        needs=(*bases, *adapted),
        labels={"domain": "docs"},
        job=job,
    )
    run = create_run(workspace, spec.model_dump(mode="json"))
    with Report(run.new_attempt()) as report:
        execute(job, JobContext(workspace, spec, run, report, "cpu", 1))
        report.emit("done", seconds=1.0)
    ingest(workspace)
    return spec.run_id
