"""Composing a sweep: from an experiment and the axes typed over it to the runs that would be new.

Only the runs of the typed cells and what they need are launched. The experiment's own blocks stay in place while it is
expanded, so that corpora, tokenizer and base models keep their identity and nothing is computed twice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.composition import Composition, describe
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from engine.launch.submit import Submitted
    from engine.plan.plan import Plan
    from engine.spec.experiment import Experiment
    from engine.spec.run import RunSpec
    from store.workspace import Workspace

AXES = ("domain", "replay_ratio", "ptpp", "size", "atpp", "method", "rank", "lr")
FIELDS = (*AXES, "seeds")
PLACED = re.compile(r"^--set .*?: (?:adapt\.0(?:\.(?P<axis>\w+))?|(?P<field>\w+))(?:\.\d+)* (?P<text>.*)$")
"""Where the engine places a problem: in the typed block, or in another key that the form sets."""


@dataclass(frozen=True)
class Source:
    """An experiment to start from: a ready one, or one already launched in the workspace."""

    name: str
    path: Path
    launched: bool
    about: str = ""
    """A line about a ready one: the first of its file."""

    @property
    def title(self) -> str:
        return f"{self.name} (launched, {self.path.stem})" if self.launched else f"{self.name} (ready)"


class FieldError(ConfigError):
    """A typed value the engine refuses; ``field`` names the form's field ('' when none is at fault)."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


def sample_folder() -> Path:
    """Where the ready experiments are: in the installed package, or in a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "sample_configs"
    return installed if installed.is_dir() else package.parent / "sample_configs"


def list_sources(workspace: Workspace) -> list[Source]:
    """Experiments to start from: those launched here, newest first, then the ready ones."""
    from engine.launch.experiments import read_launches

    return [
        *(Source(launched.name, launched.document, True) for launched in read_launches(workspace)),
        *list_ready(),
    ]


def list_ready() -> list[Source]:
    """The ready experiments by name, each with its line."""
    files = sorted(sample_folder().glob("*.yaml"), key=lambda path: path.stem)
    return [Source(path.stem, path, False, _first_line(path)) for path in files]


def _first_line(path: Path) -> str:
    with open(path, encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()


def titles(sources: Sequence[Source]) -> list[str]:
    """A line for each in a list to choose from: names aligned, what ready ones are about."""
    width = max((len(source.name) for source in sources if not source.launched), default=0)
    return [source.title if source.launched else f"{source.name:<{width}}  {source.about}" for source in sources]


def find_config(name: str) -> Path:
    """The file a user means: a path, or the name of a ready experiment."""
    path = Path(name).expanduser()
    if os.path.exists(path) or path.suffix or len(path.parts) > 1:
        return path
    ready = {source.name: source.path for source in list_ready()}
    if name not in ready:
        listed = "`odyssey launch --list` names the ready ones; or give a YAML file."
        hint = f"{suggest(name, ready)} {listed}".strip()
        raise ConfigError(f"there is no experiment '{name}'", hint)
    return ready[name]


def read_form(path: Path) -> dict[str, str]:
    """The fields of the form, prefilled from the experiment's first block of adaptations."""
    from engine.spec.load import load_experiment

    experiment = load_experiment(path)
    if not experiment.adapt:
        return {**dict.fromkeys(FIELDS, ""), "seeds": _join(experiment.seeds)}
    block = experiment.adapt[0]
    form = {name: _join(getattr(block, name)) for name in AXES}
    if block.method == ("full",):
        form["rank"] = ""
    if block.lr is None or isinstance(block.lr, dict):
        form["lr"] = ""
    return {**form, "seeds": _join(experiment.seeds)}


def _join(values: Iterable[Any] | None) -> str:
    return "all" if values is None else ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def compose(workspace: Workspace, path: Path, form: Mapping[str, str]) -> Composition:
    """Expand the form over the experiment. Raises FieldError with the engine's message when a value is refused."""
    from engine.plan.expand import expand
    from engine.plan.known import look_up

    block = {name: _read(form.get(name, "")) for name in AXES if form.get(name, "").strip()}
    seeds = _read(form.get("seeds", "")) or [0]
    experiment = _experiment(path, block, seeds)
    try:
        plan = expand(experiment, look_up(experiment, workspace))
    except ConfigError as error:  # budgets of this sweep that fit no model
        raise FieldError("atpp" if "atpp" in error.message else "", error.message, error.hint) from error
    return describe(workspace, _only(plan, _cells(plan, block)))


def compose_whole(workspace: Workspace, path: Path, overrides: Sequence[str]) -> Composition:
    """Expand a whole experiment, as ``odyssey launch CONFIG`` does."""
    from engine.plan.expand import expand
    from engine.plan.known import look_up
    from engine.spec.load import load_experiment

    experiment = load_experiment(path, overrides)
    return describe(workspace, expand(experiment, look_up(experiment, workspace)))


def launch(workspace: Workspace, composition: Composition, level: float | None = None) -> Submitted:
    """Queue what is new and make sure that a scheduler runs.

    ``WorkspaceError`` when the disk cannot hold it, ``ConfigError`` when it is for a cluster out of reach.

    ``level`` is the priority that a person gives it: low -1, normal 0, high 1.
    """
    from engine.launch.scheduler import ensure_running
    from engine.launch.submit import submit

    composition.require_disk()
    composition.require_cluster()
    submitted = submit(workspace, composition.plan, level)
    ensure_running(workspace)
    return submitted


def _experiment(path: Path, block: Mapping[str, Any], seeds: Any) -> Experiment:
    """The experiment with the typed block in front of its own, without laws and similarity, at the seeds."""
    from engine.spec.load import load_experiment

    written = [entry.model_dump(mode="json", exclude_unset=True) for entry in load_experiment(path).adapt]
    # Rates by method have no place in the form: they stay as written.
    rest = {
        key: value
        for key, value in (written[0] if written else {}).items()
        if key not in AXES or (key == "lr" and isinstance(value, dict))
    }
    if "atpp" in block:
        rest.pop("adapt_tokens", None)
    typed = {**rest, **block}
    overrides = [f"adapt={_compact([typed, *written])}", f"seeds={_compact(seeds)}"]
    try:
        return load_experiment(path, [*overrides, "laws=null", "similarity=null"])
    except ConfigError as error:
        raise _field_error(error) from error


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _field_error(error: ConfigError) -> FieldError:
    """The first problem, in the words of the form."""
    first, *others = error.message.splitlines()
    match = PLACED.match(first)
    if match is None:
        return FieldError("", first, error.hint)
    field = match["axis"] or match["field"] or ""
    subject = field if field in FIELDS else "the sweep"
    return FieldError(field, f"{subject} {match['text']}", "" if others else error.hint)


def _read(text: str) -> Any:
    """``0, .1 0.5`` → numbers, words as they are; ``all`` alone stays a word."""
    items = [_value(item) for item in re.split(r"[,\s]+", text.strip(" ,")) if item]
    return "all" if items == ["all"] else items


def _value(item: str) -> Any:
    for kind in (int, float):
        try:
            return kind(item)
        except ValueError:
            continue
    return item


def _cells(plan: Plan, block: Mapping[str, Any]) -> list[RunSpec]:
    """The adaptations of the typed block: those whose labels lie on its axes and whose budgets cover its own; and what
    is measured of their states afterwards."""
    cells = [run for run in plan.runs if run.job.kind == "adapt" and _lies_on(run, block)]
    adapted = {run.run_id for run in cells}
    return [*cells, *(run for run in plan.runs if run.job.kind == "drift" and run.job.after.run in adapted)]


def _lies_on(run: RunSpec, block: Mapping[str, Any]) -> bool:
    wanted_atpp, along = set(block.get("atpp", ())), set(run.job.atpp)
    if not (wanted_atpp <= along or (along and along < wanted_atpp)):  # one of several separate runs holds a part
        return False
    for axis in ("domain", "replay_ratio", "ptpp", "size", "method", "rank", "lr"):
        value, wanted = run.labels.get(axis), block.get(axis)
        if wanted in (None, "all") or value is None:
            continue
        if value not in wanted:
            return False
    return True


def _only(plan: Plan, cells: Sequence[RunSpec]) -> Plan:
    """The plan cut to the cells and everything they need."""
    specs = {run.run_id: run for run in plan.runs}
    wanted: set[str] = set()
    waiting = [run.run_id for run in cells]
    while waiting:
        run_id = waiting.pop()
        if run_id not in wanted:
            wanted.add(run_id)
            waiting.extend(specs[run_id].needs)
    return replace(plan, runs=tuple(run for run in plan.runs if run.run_id in wanted))
