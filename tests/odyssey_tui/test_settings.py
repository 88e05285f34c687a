"""The settings file and the table of keys."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from odyssey_tui.keymap import ACTIONS, SCOPE_TITLES, bindings, shown_keys
from odyssey_tui.settings import FORBIDDEN_KEYS, Settings, load_settings
from store.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return path


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.yaml") == Settings()


def test_keys_and_theme_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "theme: odyssey-light\nkeys:\n  runs.mark: v\n  runs.sort: [i, I]\nbell: false\n")
    assert load_settings(path) == Settings("odyssey-light", {"runs.mark": "v", "runs.sort": "i,I"}, bell=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("themes: x", ("no setting 'themes'", "'theme'")),
        ("theme: odyssey-drak", ("no theme", "odyssey-dark")),
        ("keys: {runs.opne: x}", ("no action 'runs.opne'", "runs.open")),
        ("keys: {runs.open: ctrl+m}", ("ctrl+m", "cannot be bound")),
        ("keys: {runs.open: q}", ("'q'", "app.quit")),
        ("keys: {runs.mark: j}", ("'j' is already the key of table.cursor_down", "odyssey keys")),
        ("keys: {table.cursor_down: o}", ("'o' is already the key of",)),
        ("keys: [runs.open]", ("keys:", "list")),
        ("- theme", ("expected", "list")),
        ("theme: [", ("settings.yaml",)),
        ("bell: quiet", ("bell is 'quiet'", "true or false")),
    ],
)
def test_mistakes_name_the_file_and_the_key(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(written(tmp_path, text))
    for word in ("settings.yaml", *words):
        assert word in str(caught.value)


def test_what_shares_a_key_by_default_may_go_on_doing_so(tmp_path: Path) -> None:
    path = written(tmp_path, "keys: {run.down: [j, x], run.x_axis: f6}\n")
    assert load_settings(path).keys["run.down"] == "j,x"


def test_ids_are_unique_and_scopes_are_titled() -> None:
    assert max(Counter(action.id for action in ACTIONS).values()) == 1
    assert {action.scope for action in ACTIONS} <= SCOPE_TITLES.keys()


def test_no_default_key_is_one_that_terminals_keep() -> None:
    assert not {key for action in ACTIONS for key in action.keys} & FORBIDDEN_KEYS


def test_no_two_actions_of_a_scope_share_a_key() -> None:
    everywhere = [action for action in ACTIONS if action.scope in ("app", "screen")]
    for scope in {action.scope for action in ACTIONS} - {"app", "screen"}:
        together = [*everywhere, *(action for action in ACTIONS if action.scope == scope)]
        repeated = [key for key, times in Counter(key for a in together for key in a.keys).items() if times > 1]
        assert not repeated, scope


def test_bindings_carry_ids_and_keys_are_readable() -> None:
    assert {binding.id for binding in bindings("runs")} == {a.id for a in ACTIONS if a.scope == "runs"}
    action = next(action for action in ACTIONS if action.id == "app.keys")
    assert shown_keys(action, {}) == "?"
    assert shown_keys(action, {"app.keys": "f1"}) == "f1"
