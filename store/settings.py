"""Settings of one workspace: ``settings.toml`` in its folder, written by hand. No file means the defaults."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from store.errors import ConfigError
from store.names import suggest

SETTINGS_FILE = "settings.toml"


@dataclass(frozen=True)
class Settings:
    """What the owner of a workspace may choose. Processes read it when they start."""

    database: Path | None = None
    """A file on a local disk of one machine, where the workspace itself lies on a network file system."""
    runs_per_gpu: int = 1
    """Runs that share a GPU."""
    busy_gpu_mb: int = 512
    """A GPU on which processes that are not this workspace's hold more megabytes than this is not free."""
    retries: int = 1
    """How often a run whose worker died is queued again by itself."""
    on_finish: str = ""
    """A shell command, called when an experiment has ended or the queue pauses by itself."""
    quota_gb: float | None = None
    """Gigabytes (1e9 bytes) of per-token losses to keep; ``odyssey store gc`` proposes what goes beyond them."""


def read_settings(root: Path) -> Settings:
    """The settings of the workspace in ``root``; ``ConfigError`` names file, line or key, and what there is instead."""
    path = root / SETTINGS_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", "It is a text file of lines like: retries = 2") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", "It is TOML, lines like: retries = 2") from error
    return Settings(**{key: _value(path, key, value) for key, value in content.items()})


def _value(path: Path, key: str, value: Any) -> Any:
    known = [field.name for field in fields(Settings)]
    if key not in known:
        raise ConfigError(f"{path}: unknown key {key!r}", suggest(key, known, f"There are {', '.join(known)}."))
    kind, least, wanted = _KINDS[key]
    # In Python a truth value is a number; in this file it is a mistake.
    if not isinstance(value, kind) or isinstance(value, bool) or (least is not None and value < least):
        raise ConfigError(f"{path}: {key} is {value!r}", f"It must be {wanted}.")
    if key == "database":
        file = Path(value).expanduser()
        if not file.is_absolute():
            raise ConfigError(f"{path}: database is {value!r}", "It must be absolute, like /scratch/me/law.duckdb.")
        return file
    return value


_KINDS: dict[str, tuple[type | tuple[type, ...], float | None, str]] = {
    "database": (str, None, "the path of a file, in quotes"),
    "runs_per_gpu": (int, 1, "a whole number from 1"),
    "busy_gpu_mb": (int, 0, "a whole number of megabytes, from 0"),
    "retries": (int, 0, "a whole number from 0"),
    "on_finish": (str, None, "a shell command, in quotes"),
    "quota_gb": ((int, float), 0, "a number of gigabytes, from 0"),
}
