"""The user's settings file: theme, keys, bell. A file that is not there means the defaults; a wrong one is an error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from store.errors import ConfigError
from store.names import suggest

DEFAULT_THEME = "odyssey-dark"
FORBIDDEN_KEYS = frozenset({"ctrl+h", "ctrl+i", "ctrl+j", "ctrl+m", "ctrl+s", "ctrl+q", "ctrl+a", "ctrl+b", "ctrl+c"})
"""Keys that a terminal, tmux or screen takes for itself or sends for Enter, Tab and Backspace."""

SHARED_SCOPES = frozenset({"app", "screen", "table", "chart"})
"""Of what is on many screens."""


@dataclass(frozen=True)
class Settings:
    """``theme`` is a theme's name; ``keys`` maps action ids of the keymap to comma-separated keys; ``bell`` rings the
    terminal's when an experiment ends or something goes wrong."""

    theme: str = DEFAULT_THEME
    keys: Mapping[str, str] = field(default_factory=dict)
    bell: bool = True


def settings_path() -> Path:
    """``$XDG_CONFIG_HOME/odyssey/settings.yaml``, by default under ``~/.config``."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "odyssey" / "settings.yaml"


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings. Raises ConfigError naming file and key when something in them is wrong."""
    path = path or settings_path()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    import yaml

    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {error}", "The file is YAML, for example 'theme: odyssey-light'.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected 'theme:' and 'keys:', found a {type(content).__name__}")
    known = [setting.name for setting in fields(Settings)]
    for key in content:
        if key not in known:
            raise _unknown(path, "setting", str(key), known)
    bell = content.get("bell", True)
    if not isinstance(bell, bool):
        raise ConfigError(f"{path}: bell is {bell!r}", "It is true or false.")
    theme = _theme(path, content.get("theme", DEFAULT_THEME))
    return Settings(theme=theme, keys=_keys(path, content.get("keys")), bell=bell)


def _theme(path: Path, name: Any) -> str:
    from odyssey_tui.themes import THEMES

    names = [theme.name for theme in THEMES]
    if name not in names:
        raise _unknown(path, "theme", str(name), names)
    return str(name)


def _keys(path: Path, content: Any) -> dict[str, str]:
    from odyssey_tui.keymap import ACTIONS

    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: keys: expected 'action: key' lines, found a {type(content).__name__}")
    known = {action.id: action for action in ACTIONS}
    keys: dict[str, str] = {}
    for name, value in content.items():
        if name not in known:
            raise _unknown(path, "action", str(name), list(known))
        wanted = [str(item).strip() for item in (value if isinstance(value, list) else str(value).split(","))]
        for key in wanted:
            if key in FORBIDDEN_KEYS or not key:
                raise ConfigError(f"{path}: keys: {name}: '{key}' cannot be bound", "Terminals keep it for themselves.")
        keys[str(name)] = ",".join(wanted)
    effective = {action.id: keys.get(action.id, ",".join(action.keys)).split(",") for action in ACTIONS}
    for name in keys:
        for other, bound in effective.items():
            # What shares a key by default is not there at the same time, whatever the scopes say.
            clash = set(bound) & set(effective[name]) - (set(known[name].keys) & set(known[other].keys))
            if other != name and _together(name, other) and clash:
                raise ConfigError(
                    f"{path}: keys: {name}: '{min(clash)}' is already the key of {other}",
                    f"Give {other} another key too, or choose one that is free: `odyssey keys` lists them.",
                )
    return keys


def _together(first: str, second: str) -> bool:
    """Whether two actions can be reached at the same time."""
    scopes = {first.partition(".")[0], second.partition(".")[0]}
    return len(scopes) == 1 or bool(scopes & SHARED_SCOPES)


def _unknown(path: Path, noun: str, name: str, known: list[str]) -> ConfigError:
    return ConfigError(f"{path}: there is no {noun} '{name}'", suggest(name, known, f"Known: {', '.join(known[:12])}."))
