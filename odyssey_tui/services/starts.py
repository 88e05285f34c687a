"""What a sweep can start from: a ready experiment, one launched here, a past run, or any file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from odyssey_tui.services.draft import Draft, open_file
from odyssey_tui.services.runs import find_run_ids, list_runs
from store.errors import ConfigError, OdysseyError
from store.names import suggest

if TYPE_CHECKING:
    from engine.launch.experiments import Launched
    from engine.spec.run import RunSpec
    from store.workspace import Workspace

AXES_OF_A_RUN = ("domain", "replay_ratio", "ptpp", "size", "method")
"""Labels of an adaptation that are written into the block it starts, whatever the block has."""


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

    def open(self) -> Draft:
        """A draft of it: of a launched one its first block, which is what is usually swept on."""
        draft = open_file(self.path, self.title, self.path.stem if self.launched else self.name)
        return replace(draft, block=0) if self.launched and draft.blocks else draft


def sample_folder() -> Path:
    """Where the ready experiments are: in the installed package, or in a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "sample_configs"
    return installed if installed.is_dir() else package.parent / "sample_configs"


def list_sources(workspace: Workspace) -> list[Source]:
    """Experiments to start from: those launched here, newest first, then the ready ones."""
    return [*list_launched(workspace), *list_ready()]


def list_launched(workspace: Workspace) -> list[Source]:
    """Experiments launched here, the newest first."""
    from engine.launch.experiments import read_launches

    return [Source(launched.name, launched.document, True) for launched in read_launches(workspace)]


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
    if is_path(name):
        return path
    ready = {source.name: source.path for source in list_ready()}
    if name not in ready:
        raise _unknown(name, ready)
    return ready[name]


def is_path(name: str) -> bool:
    """Whether a user means a file: one that is there, or something that looks like one."""
    path = Path(name).expanduser()
    return os.path.isfile(path) or path.suffix[1:].isalpha() or len(path.parts) > 1


def is_config(name: str) -> bool:
    """Whether ``find_config`` knows it: a file or a ready experiment, no run."""
    return is_path(name) or any(name == source.name for source in list_ready())


def open_start(workspace: Workspace | None, name: str) -> Draft:
    """A draft of what a user calls ``name``: a file, a ready experiment, one launched here, or a run.

    ``ConfigError`` with the nearest name where there is none.
    """
    if is_path(name):
        return open_file(Path(name), source=name)
    ready = {source.name: source for source in list_ready()}
    if name in ready:
        return ready[name].open()
    launched = list_launched(workspace) if workspace is not None else []
    for source in launched:
        if name in (source.path.stem, source.name):
            return replace(open_file(source.path, source.title, source.path.stem), block=None)
    known = [*ready, *(source.name for source in launched)]
    if workspace is None or not workspace.run_ids():
        raise _unknown(name, known)
    try:
        (run_id,) = find_run_ids(workspace, [name])
    except OdysseyError as error:
        message = f"there is no experiment '{name}', and {error.message}"
        raise ConfigError(message, f"{suggest(name, known)} {error.hint}".strip()) from error
    return open_run(workspace, run_id)


def open_run(workspace: Workspace, run_id: str) -> Draft:
    """A draft of the experiment that asked for a run; of an adaptation, its block narrowed to that one cell.

    ``ConfigError`` when no launched experiment asked for it.
    """
    from engine.launch.experiments import read_launches

    asking = [launched for launched in read_launches(workspace) if run_id in launched.runs]
    if not asking:
        raise ConfigError(f"{run_id}: no experiment launched here asked for it", "Start from an experiment instead.")
    draft = open_file(asking[0].document, f"{run_id} (run)", run_id)
    spec = _read_spec(workspace, run_id)
    block = _find_block(workspace, asking[0], draft, spec)
    if block is None:
        return draft
    narrowed = draft.set(("adapt", block), narrow(draft.blocks[block], spec)).set(("seeds",), [spec.seed])
    return replace(narrowed, block=block)


def narrow(block: dict[str, Any], spec: RunSpec) -> dict[str, Any]:
    """An adaptation block with the axes of one of its runs; what else the block says stays."""
    job = spec.job
    axes = [axis for axis in AXES_OF_A_RUN if axis in block or axis not in ("ptpp", "size", "method")]
    axes += [axis for axis in ("rank", "lr", "newlines") if axis in block]
    labels = {"newlines": "keep", **{key: value for key, value in spec.labels.items() if value is not None}}
    own = {axis: labels[axis] for axis in axes if axis in labels}
    own |= {key: list(found) for key in ("atpp", "adapt_tokens", "wise_ft") if (found := getattr(job, key))}
    rest = {key: value for key, value in block.items() if key not in ("atpp", "adapt_tokens", "wise_ft")}
    if job.keep != rest.get("keep", "final"):
        own["keep"] = job.keep
    return {**rest, **own}


def _find_block(workspace: Workspace, launched: Launched, draft: Draft, spec: RunSpec) -> int | None:
    """The block of the experiment that an adaptation is a cell of; None for other runs."""
    from engine.plan.expand import expand
    from engine.plan.known import look_up

    if spec.job.kind != "adapt":
        return None
    experiment = draft.examine().require()
    blocks = expand(experiment, look_up(experiment, workspace)).blocks.get(spec.run_id, ())
    return next((block for block in blocks if block < len(draft.blocks)), None)


def _read_spec(workspace: Workspace, run_id: str) -> RunSpec:
    from pydantic import ValidationError

    from engine.spec.run import RunSpec

    try:
        return RunSpec.model_validate(workspace.run(run_id).spec())
    except ValidationError as error:
        raise ConfigError(f"{run_id}: its spec.json cannot be read", "Start from its experiment instead.") from error


def _unknown(name: str, known: Iterable[str]) -> ConfigError:
    listed = "`odyssey launch --list` names the ready ones; or give a YAML file."
    return ConfigError(f"there is no experiment '{name}'", f"{suggest(name, list(known))} {listed}".strip())


@dataclass(frozen=True)
class Start:
    """One line of what can be started from."""

    kind: Literal["named", "launched", "ready", "run", "file"]
    """``named``: the newest experiment launched here under that name, else whatever else is called so."""
    name: str
    line: str = ""


def list_experiment_starts(workspace: Workspace) -> tuple[Start, ...]:
    """Experiments launched here, the newest first, then ready ones."""
    sources = list_sources(workspace)
    return tuple(
        Start("launched", source.path.stem, line) if source.launched else Start("ready", source.name, line)
        for source, line in zip(sources, titles(sources), strict=True)
    )


def list_run_starts(workspace: Workspace) -> tuple[Start, ...]:
    """Past adaptations, in the order in which they were queued."""
    runs = [row for row in list_runs(workspace) if row.kind == "adapt"]
    return tuple(Start("run", row.run_id, f"{row.name}  (run of {row.experiment}, {row.state})") for row in runs)


def open_chosen(workspace: Workspace, start: Start | None) -> Draft:
    """A draft to begin with: what was chosen, else the newest experiment launched here, else the demo's.

    Of an experiment that was launched its first block, which is what is usually swept on. Raises ``ConfigError``.
    """
    launched = list_launched(workspace)
    if start is None:
        for source in launched:
            with contextlib.suppress(ConfigError):  # a damaged file hides no other
                return source.open()
        return open_start(None, "demo")
    if start.kind in ("launched", "named"):
        for source in launched:
            if start.name in ((source.path.stem,) if start.kind == "launched" else (source.name, source.path.stem)):
                return source.open()
    if start.kind == "run":
        return open_run(workspace, start.name)
    return open_start(workspace, start.name)
