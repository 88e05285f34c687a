"""One synthetic workspace for all tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from store.database import lease
from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace

if TYPE_CHECKING:
    import duckdb


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return synthetic_workspace(tmp_path_factory.mktemp("synthetic") / "ws")


@pytest.fixture
def con(synthetic: Workspace) -> Iterator[duckdb.DuckDBPyConnection]:
    with lease(synthetic) as connection:
        yield connection
