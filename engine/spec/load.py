"""Read an experiment from YAML: every problem of the file in one error, each with its line and what to do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.spec.check import check
from engine.spec.experiment import Experiment, parse_bytes
from engine.spec.load_law import SUFFIXES as LAW_SUFFIXES
from engine.spec.load_law import load_law_form
from engine.spec.located import Located, override, read_yaml, relative_name
from engine.spec.problems import Problem, from_validation, nearest, raise_problems
from store.errors import ConfigError

SCHEMES = ("installation", "hf", "m2d2")
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def load_experiment(path: Path | str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a YAML file, with ``a.b=value`` overrides applied.

    Paths inside are relative to the file, those of an override to the working directory, and may begin with a variable
    of the environment (``$DATA/law``); sizes may be written ``3MB``.
    Raises ``ConfigError``.
    """
    path = Path(path).expanduser()
    return parse_experiment(read_text(path), overrides, file=relative_name(path), folder=path.resolve().parent)


def parse_experiment(text: str, overrides: Sequence[str] = (), *, file: str, folder: Path) -> Experiment:
    """The experiment in a YAML text; ``file`` names it in errors, relative paths start at ``folder``."""
    located = read_mapping(text, file)
    for assignment in overrides:
        located = override(located, assignment)
    return examine(located, folder).require()


def read_mapping(text: str, file: str) -> Located:
    """A YAML text that may be an experiment: ``ConfigError`` when it is no mapping."""
    located = read_yaml(text, file)
    if not isinstance(located.data, dict):
        found = "empty" if located.data is None else "no mapping of keys"
        raise ConfigError(
            f"{file}: the experiment is {found}", "It needs at least name, corpora and base; see `odyssey demo`."
        )
    return located


@dataclass(frozen=True)
class Examined:
    """An experiment as written, and everything that is wrong with it; None while its keys and values do not fit."""

    located: Located
    experiment: Experiment | None
    problems: tuple[Problem, ...]
    resolved: dict[str, Any]
    """The data with absolute paths and sizes in bytes."""

    def require(self) -> Experiment:
        """The experiment; ``ConfigError`` with all problems where there are any."""
        raise_problems(list(self.problems), self.located)
        if self.experiment is None:
            raise AssertionError("an experiment without problems could not be read")
        return self.experiment


def examine(located: Located, folder: Path) -> Examined:
    """Validate an experiment's data; relative paths start at ``folder``. ``ConfigError`` for a law's file only."""
    data, problems = _resolve(located, folder)
    try:
        experiment = Experiment.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        problems += from_validation(error.errors(include_url=False), located.data, Experiment)
        return Examined(located, None, tuple(problems), data)
    return Examined(located, experiment, (*problems, *check(experiment, located.data)), data)


def read_text(path: Path) -> str:
    """The text of an experiment's file. Raises ``ConfigError``."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        around = sorted(file.name for file in path.parent.glob("*.y*ml")) if os.path.isdir(path.parent) else []
        raise ConfigError(f"{path}: no such file", nearest(path.name, around) or "Check the path.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not a text file ({error.reason})", "An experiment is a YAML file in UTF-8."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", "Give the path of a YAML file.") from error


def _resolve(located: Located, folder: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Replace sizes by bytes and relative paths by absolute ones; the shape of the data is validated later."""
    data = dict(located.data)
    problems: list[Problem] = []
    corpora = data.get("corpora")
    if isinstance(corpora, dict):
        data["corpora"] = {
            name: _resolve_corpus(entry, ("corpora", name), located, folder, problems)
            for name, entry in corpora.items()
        }
    if isinstance(laws := data.get("laws"), dict):
        data["laws"] = _resolve_laws(laws, located, folder)
    for part in ("tokenizer", "base"):
        if isinstance(entry := data.get(part), dict):
            entry = dict(entry)
            if isinstance(model := entry.get("model"), str):
                entry["model"] = _resolve_model(model, (part, "model"), located, folder, problems)
            _resolve_bytes(entry, "train_bytes", (part,), problems)
            data[part] = entry
    if isinstance(entry := data.get("evaluate"), dict):
        data["evaluate"] = entry = dict(entry)
        _resolve_bytes(entry, "max_bytes", ("evaluate",), problems)
    return data, problems


def _resolve_corpus(entry: Any, path: tuple[str, ...], located: Located, folder: Path, problems: list[Problem]) -> Any:
    if not isinstance(entry, dict):
        return entry
    entry = dict(entry)
    _resolve_bytes(entry, "max_bytes", path, problems)
    source = entry.get("source")
    if isinstance(source, str) and source.partition(":")[0] not in SCHEMES:
        place = (*path, "source")
        if unset := _unset_variables(source):
            text = f"names {source!r}, and ${unset[0]} is not set in the environment"
            problems.append(Problem(place, text, f"export {unset[0]}=… to the folder that it stands for."))
            return entry
        file = _absolute(source, place, located, folder)
        if not os.path.exists(file):
            around = sorted(item.name for item in file.parent.glob("[!.]*")) if os.path.isdir(file.parent) else []
            scheme = nearest(source.partition(":")[0], SCHEMES) if ":" in source else ""
            advice = scheme or nearest(file.name, around) or f"The folder {file.parent} does not exist either."
            problems.append(Problem(place, f"names {source!r}, and there is no file or folder {file}", advice))
        entry["source"] = str(file)
    return entry


def _resolve_laws(laws: dict[str, Any], located: Located, folder: Path) -> dict[str, Any]:
    """Forms given as files become definitions, named where the file was."""
    forms = laws.get("forms")
    if not isinstance(forms, list | str):
        return laws
    written = forms if isinstance(forms, list) else [forms]
    names, read = [], []
    for index, form in enumerate(written):
        if not (isinstance(form, str) and form.lower().endswith(LAW_SUFFIXES)):
            names.append(form)
            continue
        definition = load_law_form(_absolute(form, ("laws", "forms", index), located, folder))
        names.append(definition.name)
        read.append(definition.content())
    if not read:
        return laws
    own = laws.get("definitions")
    return {**laws, "forms": names, "definitions": [*(own if isinstance(own, list) else []), *read]}


def _resolve_bytes(entry: dict[str, Any], key: str, path: tuple[str, ...], problems: list[Problem]) -> None:
    try:
        if key in entry:
            entry[key] = parse_bytes(entry[key])
    except ValueError as error:
        problems.append(Problem((*path, key), f"= {entry.pop(key)!r} {error}"))


def _resolve_model(model: str, path: tuple[str, ...], located: Located, folder: Path, problems: list[Problem]) -> str:
    """A folder becomes absolute; anything else is a hub id and stays."""
    file = _absolute(model, path, located, folder)
    if os.path.isdir(file):
        return str(file)
    if model.startswith((".", "/", "~")):
        problems.append(
            Problem(
                path, f"names {model!r}, and there is no folder {file}", "Give a folder with config.json, or a hub id."
            )
        )
    return model


def _absolute(written: str, path: tuple[str | int, ...], located: Located, folder: Path) -> Path:
    start = Path.cwd() if located.place(path).startswith("--set") else folder
    return (start / Path(os.path.expandvars(written)).expanduser()).resolve()


def _unset_variables(written: str) -> list[str]:
    """Variables in a path that the environment does not know."""
    return [name for pair in VARIABLE.findall(written) if (name := "".join(pair)) not in os.environ]
