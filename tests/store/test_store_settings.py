"""A workspace's settings file: defaults without it, one clear message when something in it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import ConfigError
from store.settings import Settings, read_settings
from store.workspace import Workspace


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert Workspace.create(tmp_path / "w").settings == Settings()


def test_values_are_read_and_the_database_may_lie_elsewhere(tmp_path: Path) -> None:
    root = Workspace.create(tmp_path / "w").root
    (root / "settings.toml").write_text(f'database = "{tmp_path}/local.duckdb"\nretries = 3\nquota_gb = 0.5\n')
    workspace = Workspace.open(root)
    assert (workspace.settings.retries, workspace.settings.quota_gb) == (3, 0.5)
    assert workspace.database_path == tmp_path / "local.duckdb"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retrys = 2", "Did you mean 'retries'?"),
        ("retries = -1", "retries is -1"),
        ("retries = true", "retries is True"),
        ("retries = two", "line 1"),
        ('database = "here.duckdb"', "absolute"),
        ("quota_gb = '3'", "a number of gigabytes"),
    ],
)
def test_a_mistake_is_named_with_its_way_out(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_settings(tmp_path)
    assert said in str(error.value)
    assert str(tmp_path / "settings.toml") in str(error.value)
