"""Read a law's form from a YAML file of its own."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from engine.spec.law_form import LawForm
from engine.spec.located import read_yaml, relative_name
from engine.spec.problems import from_validation, nearest, raise_problems
from store.errors import ConfigError

SUFFIXES = (".yaml", ".yml")


def load_law_form(path: Path | str) -> LawForm:
    """The form in a YAML file. Raises ConfigError naming file, line and key; the formula itself is not read yet."""
    path = Path(path).expanduser()
    file = relative_name(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        around = sorted(item.name for item in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        raise ConfigError(f"{file}: no such file", nearest(path.name, around) or "Check the path.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not a text file ({error.reason})", "A form is a YAML file in UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", "Give the path of a YAML file.") from error
    located = read_yaml(text, file)
    if not isinstance(located.data, dict):
        raise ConfigError(f"{file}: a form is a mapping of keys", "It needs a name and a formula; see docs/laws.md.")
    data = {"name": path.stem, "source": f"your form, {path.name}", **located.data}
    try:
        return LawForm.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise_problems(from_validation(error.errors(include_url=False), data, LawForm), located)
        raise
