"""The comparison after the kills finds what it is there to find."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.faulting.verdict import compare
from store.database import lease
from store.workspace import Workspace
from tests.support.synthetic import synthetic_workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return synthetic_workspace(tmp_path_factory.mktemp("verdict") / "reference")


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    return Workspace.open(shutil.copytree(workspace.root, folder / "other"))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("SELECT 1", None),
        ("DELETE FROM token_losses WHERE block = 1", "lost"),
        ("INSERT INTO token_losses SELECT * FROM token_losses LIMIT 1", "doubled"),
        ("INSERT INTO evaluations SELECT * FROM evaluations LIMIT 1", "doubled"),
        ("INSERT INTO metrics SELECT * FROM metrics LIMIT 1", "doubled"),
        ("INSERT INTO ingested_shards SELECT * FROM ingested_shards LIMIT 1", "doubled"),
        ("DELETE FROM metrics WHERE name = 'loss' AND step = 10", "lost"),
        ("UPDATE evaluations SET sum_loss = sum_loss * (1 + 1e-15)", "differing"),
        ("UPDATE metrics SET value = value + 1e-15 WHERE name = 'loss'", "differing"),
    ],
)
def test_every_change_of_results_is_seen(reference: Workspace, tmp_path: Path, change: str, where: str | None) -> None:
    other = copy_of(reference, tmp_path)
    with lease(other, write=True) as con:
        con.execute(change)
    verdict = compare(reference, other)
    found = {name for name in ("lost", "doubled", "differing") if getattr(verdict, name)}
    assert found == ({where} if where else set())


def test_a_weight_that_differs_is_seen(reference: Workspace, tmp_path: Path) -> None:
    other = copy_of(reference, tmp_path)
    for workspace, content in ((reference, b"1"), (other, b"2")):
        folder = workspace.run(workspace.run_ids()[0]).checkpoint("ptpp1")
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(content)
    assert compare(reference, other).differing
