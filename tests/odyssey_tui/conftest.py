"""One synthetic workspace for all tests that only read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace
from tests.support.synthetic_similarity import similarity_workspace


@pytest.fixture(scope="session")
def voyage(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two sizes, three PTPP, adaptations, evaluations, similarities, fits; one run running, one failed, one queued."""
    return synthetic_workspace(tmp_path_factory.mktemp("voyage") / "workspace")


@pytest.fixture(scope="session")
def fitted(voyage: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of ``voyage`` with laws fitted for real, without and with three anchors."""
    from tests.odyssey_tui.real_fits import fit_for_real

    root = tmp_path_factory.mktemp("fitted") / "workspace"
    shutil.copytree(voyage.root, root)
    workspace = Workspace.open(root)
    fit_for_real(workspace, anchors=3)
    return workspace


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twenty domains in two groups, two sizes, three seeds, two measures of similarity: ``synthetic_similarity``."""
    return similarity_workspace(tmp_path_factory.mktemp("study") / "workspace")


@pytest.fixture
def own_voyage(voyage: Workspace, tmp_path: Path) -> Workspace:
    """A copy of ``voyage`` that a test may change."""
    shutil.copytree(voyage.root, tmp_path / "workspace")
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    """A new workspace."""
    return Workspace.create(tmp_path / "empty")
