"""A synthetic workspace of one's own, quick to copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_workspace(tmp_path_factory.mktemp("upkeep") / "ws").root


@pytest.fixture
def workspace(pristine: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(pristine, tmp_path / "ws")
    return Workspace.open(tmp_path / "ws")
