"""How to make a run again: the configuration it came from and the commands, checked by planning them anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from store.errors import OdysseyError

if TYPE_CHECKING:
    from engine.spec.run import DriftJob, FitJob, RunSpec
    from store.workspace import Workspace


@dataclass(frozen=True)
class File:
    """A file that the commands read."""

    name: str
    text: str


@dataclass(frozen=True)
class Recipe:
    """``commands`` make the run again, given ``files``; without commands ``note`` says why there are none."""

    commands: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Planned:
    """A configuration here, and all runs that it gives now."""

    file: File
    run_ids: frozenset[str]


def find_recipe(workspace: Workspace, spec: RunSpec) -> Recipe:
    """The commands that plan exactly this run: they were planned again, and its identifier came out."""
    if spec.job.kind == "imported":
        return Recipe((join(("odyssey", "import", spec.job.source)),), note="Another tool recorded it.")
    planned, fault = _plan_again(workspace, spec)
    if planned is not None:
        name = planned.file.name
        whole = f"{join(('odyssey', 'launch', name))}    # the whole experiment, by the queue"
        alone = f"{join(('odyssey', 'adapt', name, '--run', spec.run_id))}    # or this run with what it needs, here"
        return Recipe((whole, alone) if spec.job.kind == "adapt" else (whole,), (planned.file,))
    if spec.job.kind == "fit":
        return _of_fit(workspace, spec, spec.job)
    if spec.job.kind == "drift":
        return _of_drift(workspace, spec, spec.job)
    return Recipe(note=fault or f"No configuration of {spec.experiment!r} that gives this run is left here.")


def _plan_again(workspace: Workspace, spec: RunSpec) -> tuple[Planned | None, str]:
    """The newest configuration here that still gives the run; or why one that gave it does not."""
    from engine.plan.expand import expand
    from engine.spec.load import load_experiment

    fault = ""
    for document in _documents(workspace, spec):
        try:
            plan = expand(load_experiment(document))
            text = document.read_text()
        except (OdysseyError, OSError) as error:
            fault = fault or f"Its configuration cannot be planned here any more: {error}"
            continue
        run_ids = frozenset(run.run_id for run in plan.runs)
        if spec.run_id in run_ids:
            return Planned(File(f"{plan.name}.yaml", text), run_ids), ""
    return None, fault


def _documents(workspace: Workspace, spec: RunSpec) -> Iterator[Path]:
    """Configurations that may have given the run: launched ones, then those that `odyssey adapt` left."""
    from engine.launch.experiments import read_launches

    launches = read_launches(workspace)
    yield from (launched.document for launched in launches if spec.run_id in launched.runs)
    known = {launched.document for launched in launches}
    yield from sorted(set(workspace.experiments.glob(f"{spec.experiment}-*.yaml")) - known)


def _before(workspace: Workspace, run_ids: Sequence[str]) -> tuple[tuple[str, ...], tuple[File, ...]]:
    """What has to be launched first: the configurations of the runs that one by hand rests on."""
    files: dict[str, File] = {}
    covered: set[str] = set()
    for run_id in run_ids:
        spec = read_spec(workspace, run_id) if run_id not in covered else None
        planned = _plan_again(workspace, spec)[0] if spec is not None else None
        if planned is not None:
            files[planned.file.name] = planned.file
            covered |= planned.run_ids
    return tuple(join(("odyssey", "launch", name)) for name in files), tuple(files.values())


def _of_fit(workspace: Workspace, spec: RunSpec, job: FitJob) -> Recipe:
    """``odyssey fit`` with every option said, as long as it still means the same points."""
    import yaml

    from engine.spec.run import FitJob as Plain
    from odyssey_tui.services.fitting import make_spec
    from odyssey_tui.services.scatter_cells import Wanted

    wanted = Wanted(**{name: spec.labels.get(name) for name in ("method", "variant", "newlines")})
    options: dict[str, Any] = {
        name: getattr(job, name) for name in ("forms", "fit_ptpp", "score_ptpp", "anchors", "starts", "bootstrap")
    }
    if job.definitions:
        options["definitions"] = [form.content() for form in job.definitions]
    usual = Plain(forms=job.forms, fit_ptpp=(), score_ptpp=(), domain=job.domain)
    if (job.roles, job.delta) != (usual.roles, usual.delta):
        return Recipe(note="Its experiment set roles or delta, which `odyssey fit` does not, and is not recorded here.")
    for experiment in (None, spec.experiment):
        try:
            again, _ = make_spec(workspace, job.domain, experiment, options, wanted)
        except OdysseyError:
            continue
        if again.run_id == spec.run_id:
            break
    else:
        return Recipe(note="More has been measured since it was fitted: the same command would fit other points now.")
    own = {form.name: f"{form.name}.yaml" for form in job.definitions}
    dumped = [File(own[form.name], yaml.safe_dump(form.content(), sort_keys=False)) for form in job.definitions]
    words = ["odyssey", "fit", "--domain", job.domain]
    words += [part for form in job.forms for part in ("--form", own.get(form, form))]
    words += ["--experiment", experiment] if experiment else []
    for name, values in (("--fit-ptpp", job.fit_ptpp), ("--score-ptpp", job.score_ptpp)):
        words += [name, ",".join(f"{value:g}" for value in values)] if values else []
    words += ["--anchors", str(job.anchors), "--starts", str(job.starts), "--bootstrap", str(job.bootstrap)]
    for name in ("method", "variant", "newlines"):
        words += [f"--{name}", str(getattr(wanted, name))] if getattr(wanted, name) else []
    before, files = _before(workspace, spec.needs)
    return Recipe((*before, join(words)), (*files, *dumped))


def _of_drift(workspace: Workspace, spec: RunSpec, job: DriftJob) -> Recipe:
    from engine.plan.drift import make_drift_run

    adaptation = read_spec(workspace, job.after.run or "")
    if adaptation is None:
        return Recipe(note="The run it looked at is gone.")
    on = job.evaluation.sets[0].name
    try:
        again = make_drift_run(adaptation, state=job.after.state, on=on, max_tokens=job.max_tokens)
    except OdysseyError as error:
        return Recipe(note=error.message)
    if again.run_id != spec.run_id:
        return Recipe(note="Its experiment planned it, and is not recorded here.")
    before, files = _before(workspace, [adaptation.run_id])
    words = ["odyssey", "drift", job.after.model_id, "--on", on, "--max-tokens", str(job.max_tokens)]
    return Recipe((*before, join(words)), files)


def read_spec(workspace: Workspace, run_id: str) -> RunSpec | None:
    """A run's specification; None where it is gone, or of another version."""
    from pydantic import ValidationError

    from engine.spec.run import RunSpec
    from store.errors import DataError

    try:
        return RunSpec.model_validate(workspace.run(run_id).spec())
    except (DataError, ValidationError, OSError):
        return None
