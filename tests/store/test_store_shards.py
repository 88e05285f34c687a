"""Shards: schemas enforced, names never repeated, damage recognised."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from store.errors import DataError
from store.shards import read_shard, schemas, write_shard

LOSSES = pa.table({"losses": [[None, 1.5]], "block": [0], "evaluation_id": ["e"], "surplus": [1]})


def test_columns_are_taken_by_name_and_cast(tmp_path: Path) -> None:
    name = write_shard(tmp_path, "token_losses", LOSSES)
    table = read_shard(tmp_path / name, "token_losses")
    assert table.schema == schemas()["token_losses"]
    assert table.to_pylist() == [{"evaluation_id": "e", "block": 0, "losses": [None, 1.5]}]


def test_names_never_repeat_after_shards_were_taken(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(write_shard(tmp_path, "token_losses", LOSSES))
        (tmp_path / names[-1]).unlink()
    assert names == ["token_losses-000001.parquet", "token_losses-000002.parquet", "token_losses-000003.parquet"]


def test_numbering_survives_the_loss_of_its_counter(tmp_path: Path) -> None:
    write_shard(tmp_path, "token_losses", LOSSES)
    (tmp_path / ".count").unlink()
    assert write_shard(tmp_path, "token_losses", LOSSES) == "token_losses-000002.parquet"


def test_missing_columns_wrong_types_and_unknown_kinds_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks the columns block, losses"):
        write_shard(tmp_path, "token_losses", pa.table({"evaluation_id": ["e"]}))
    wrong = pa.table({"evaluation_id": ["e"], "block": ["one"], "losses": [[1.0]]})
    with pytest.raises(DataError, match="wrong type"):
        write_shard(tmp_path, "token_losses", wrong)
    with pytest.raises(DataError, match="unknown kind of shard 'losses'"):
        write_shard(tmp_path, "losses", LOSSES)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_damaged_shard_is_a_data_error_that_names_it(tmp_path: Path) -> None:
    name = write_shard(tmp_path, "token_losses", LOSSES)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=name):
        read_shard(tmp_path / name, "token_losses")
