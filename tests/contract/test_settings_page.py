"""docs/settings.md says what the two settings files take."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from odyssey_tui.settings import FORBIDDEN_KEYS, Settings, load_settings
from odyssey_tui.themes import THEMES, TITLES
from store.settings import Settings as WorkspaceSettings

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()


def keys_of(title: str) -> set[str]:
    section = PAGE.split(f"## {title}")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_every_key_has_a_row() -> None:
    assert keys_of("Yours") == {field.name for field in fields(Settings)}
    assert keys_of("The workspace's") == {field.name for field in fields(WorkspaceSettings)}


def test_the_example_is_read(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
    settings = load_settings(tmp_path / "settings.yaml")
    assert settings.keys == {"runs.mark": "v", "table.cursor_down": "j,down,ctrl+n"}
    assert (settings.theme, settings.bell) == ("odyssey-light", False)


def test_themes_and_refused_keys_are_named() -> None:
    assert {theme.name for theme in THEMES} == TITLES.keys() == set(re.findall(r"`(odyssey-[a-z-]+)`", PAGE))
    named = re.search(r"Tab and Backspace: Ctrl-(.*)\.", PAGE)[1].replace("-", "").split(", ")
    assert {f"ctrl+{letter}" for letter in named} == FORBIDDEN_KEYS
