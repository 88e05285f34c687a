"""Sums by type and document equal the losses that are stored, in whatever order, number or version they come in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from store import schema, shards
from store.bulk import insert_rows, registered
from store.database import lease
from store.errors import DataError
from store.ingest import IngestReport, commit, ingest
from store.ingest_losses import LOSS_STEP, LossIntake, check_losses
from store.queries.evaluations import find_evaluation
from store.run_dir import create_run
from store.shards import scan_shard, write_shard
from store.survey import look_at
from store.workspace import Workspace

BLOCKS, LENGTH, TYPES = 6, 7, 5


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        schema.migrate(connection)
        yield connection


def make_set(name: str = "s") -> pa.Table:
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, TYPES, LENGTH).tolist() for _ in range(BLOCKS)]
    documents = np.arange(BLOCKS * LENGTH).reshape(BLOCKS, LENGTH) // 10
    return pa.table(
        {
            "eval_set_id": [name] * BLOCKS,
            "block": pa.array(range(BLOCKS), pa.int32()),
            "token_ids": pa.array(ids, pa.list_(pa.int32())),
            "document": pa.array(documents.tolist(), pa.list_(pa.int32())),
            "byte_start": pa.array([[0] * LENGTH] * BLOCKS, pa.list_(pa.int64())),
            "byte_end": pa.array([[1] * LENGTH] * BLOCKS, pa.list_(pa.int64())),
        }
    )


def make_losses(name: str, blocks: list[int], seed: int) -> pa.Table:
    values = [np.random.default_rng([seed, block]).gamma(1.0, 2.0, LENGTH).astype(np.float32) for block in blocks]
    for one in values:
        one[0] = np.nan
    lists = [[None if np.isnan(value) else float(value) for value in one] for one in values]
    return shards.fit_to_schema(
        "token_losses", pa.table({"evaluation_id": [name] * len(blocks), "block": blocks, "losses": lists})
    )


def shard_of(run_id: str, attempt: int) -> Any:
    return SimpleNamespace(run_id=run_id, attempt=SimpleNamespace(number=attempt))


def add_evaluation(con: duckdb.DuckDBPyConnection, name: str) -> None:
    insert_rows(con, "evaluations", [{"evaluation_id": name, "model_id": "m", "eval_set_id": "s"}])


def add_tokens(con: duckdb.DuckDBPyConnection, table: pa.Table) -> None:
    with registered(con, table):
        con.execute("INSERT INTO eval_tokens BY NAME SELECT * FROM incoming")


def expected_sums(kept: dict[tuple[str, int], list[float | None]], column: str) -> dict[tuple[str, int], list[float]]:
    texts = make_set()
    keys = {int(block): row for block, row in zip(texts["block"].to_pylist(), texts[column].to_pylist(), strict=True)}
    sums: dict[tuple[str, int], list[float]] = {}
    for (name, block), values in kept.items():
        for key, value in zip(keys[block], values, strict=True):
            if value is not None:
                total = sums.setdefault((name, key), [0, 0.0])
                total[0] += 1
                total[1] += value
    return sums


def check_sums(con: duckdb.DuckDBPyConnection, kept: dict[tuple[str, int], list[float | None]]) -> None:
    for table, key, column in (
        ("type_losses", "token_id", "token_ids"),
        ("document_losses", "document", "document"),
    ):
        found = con.execute(f"SELECT evaluation_id, {key}, n, sum_loss FROM {table}").fetchall()
        expected = expected_sums(kept, column)
        assert {(name, at): n for name, at, n, _ in found} == {place: total[0] for place, total in expected.items()}
        assert len(found) == len(expected)
        for name, at, _, total in found:
            assert total == pytest.approx(expected[name, at][1], rel=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_sums_are_those_of_the_losses_after_any_order_repetition_and_replacement(
    con: duckdb.DuckDBPyConnection, seed: int
) -> None:
    rng = random.Random(seed)
    deliveries: list[tuple[str, Any]] = [("tokens", make_set().slice(at, 2)) for at in range(0, BLOCKS, 2)]
    deliveries += [("evaluation", name) for name in ("e", "f")]
    for version, place in enumerate([("a", 1), ("a", 2), ("b", 1)]):
        for name in ("e", "f"):
            blocks = rng.sample(range(BLOCKS), BLOCKS)
            cut = rng.randrange(1, BLOCKS)
            deliveries += [("losses", (place, name, part, version)) for part in (blocks[:cut], blocks[cut:])]
    losses = [delivery for delivery in deliveries if delivery[0] == "losses"]
    deliveries += rng.choices(losses, k=3)
    rng.shuffle(deliveries)

    kept: dict[tuple[str, int], list[float | None]] = {}
    owner: dict[str, tuple[str, int]] = {}
    intake = LossIntake(con)
    for kind, what in deliveries:
        if kind == "tokens":
            add_tokens(con, what)
        elif kind == "evaluation":
            # Journals are read before shards, so within a transaction no evaluation is new.
            intake.close()
            add_evaluation(con, what)
            intake = LossIntake(con)
        else:
            (run_id, attempt), name, blocks, version = what
            table = make_losses(name, blocks, version)
            intake.insert(shard_of(run_id, attempt), table)
            of_run, newest = owner.get(name, ("", 0))
            if of_run == run_id and newest > attempt:
                continue
            if (of_run, newest) != (run_id, attempt) or any((name, block) in kept for block in blocks):
                kept = {place: values for place, values in kept.items() if place[0] != name}
            owner[name] = (run_id, attempt)
            kept |= {(name, block): row for block, row in zip(blocks, table["losses"].to_pylist(), strict=True)}
        if rng.random() < 0.5:
            intake.close()
            intake = LossIntake(con)
    intake.close()

    check_sums(con, kept)
    stored = con.execute("SELECT evaluation_id, block, losses, unsummed FROM token_losses").fetchall()
    assert {(name, block) for name, block, _, _ in stored} == set(kept)
    for name, block, values, unsummed in stored:
        assert unsummed is None
        for value, exact in zip(values, kept[name, block], strict=True):
            assert (value is None) == (exact is None)
            assert exact is None or abs(float(value) - exact) <= LOSS_STEP / 2 + 1e-6


def test_losses_of_other_lengths_than_the_tokens_are_kept_and_not_summed(con: duckdb.DuckDBPyConnection) -> None:
    add_evaluation(con, "e")
    add_tokens(con, make_set())
    intake = LossIntake(con)
    table = pa.table({"evaluation_id": ["e"], "block": [0], "losses": [[1.0, 2.0]]})
    intake.insert(shard_of("a", 1), shards.fit_to_schema("token_losses", table))
    intake.close()
    assert con.execute("SELECT count(*), count(unsummed) FROM token_losses").fetchall() == [(1, 0)]
    assert con.execute("SELECT count(*) FROM type_losses").fetchall() == [(0,)]


def test_a_new_computation_replaces_sums_that_outlived_their_losses(con: duckdb.DuckDBPyConnection) -> None:
    add_evaluation(con, "e")
    add_tokens(con, make_set())
    for version in (1, 2):
        intake = LossIntake(con)
        table = make_losses("e", [0, 1], version)
        intake.insert(shard_of("a", 1), table)
        intake.close()
        con.execute("DELETE FROM token_losses")
    check_sums(con, {("e", block): row for block, row in zip([0, 1], table["losses"].to_pylist(), strict=True)})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"block": [0, 0], "losses": [[1.0], [2.0]]}, "there twice"),
        ({"block": [0, None], "losses": [[1.0], [2.0]]}, "without an evaluation or a block"),
        ({"block": [0, 1], "losses": [[1.0], [float("inf")]]}, "from 1 to inf nats"),
        ({"block": [0, 1], "losses": [[1.0], [2e6]]}, r"from 1 to 2e\+06 nats"),
    ],
)
def test_losses_that_cannot_be_stored_as_they_are_are_refused(columns: dict[str, Any], message: str) -> None:
    table = pa.table({"evaluation_id": ["e", "e"], **columns})
    with pytest.raises(DataError, match=message):
        check_losses(shards.fit_to_schema("token_losses", table))


def test_not_a_number_counts_as_not_predicted(con: duckdb.DuckDBPyConnection) -> None:
    add_evaluation(con, "e")
    add_tokens(con, make_set())
    values = [[1.0, float("nan"), None, 2.0, 3.0, 4.0, 5.0]]
    table = pa.table({"evaluation_id": ["e"], "block": [0], "losses": pa.array(values, pa.list_(pa.float32()))})
    check_losses(table)
    intake = LossIntake(con)
    intake.insert(shard_of("a", 1), shards.fit_to_schema("token_losses", table))
    intake.close()
    assert con.execute("SELECT sum(n), sum(sum_loss) FROM type_losses").fetchall() == [(5, 15.0)]
    assert [value is None for value in con.execute("SELECT losses FROM token_losses").fetchall()[0][0]][1:3] == [
        True
    ] * 2


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws")


def spool(workspace: Workspace, run_id: str, *tables: tuple[str, pa.Table]) -> list[str]:
    """A run with shards, and the event of the evaluation."""
    run = create_run(workspace, {"run_id": run_id, "job": {"kind": "evaluate"}})
    attempt = run.new_attempt()
    return [write_shard(attempt.spool, kind, table) for kind, table in tables]


def test_a_set_that_comes_after_the_losses_of_another_run(workspace: Workspace) -> None:
    spool(workspace, "a", ("token_losses", make_losses("e", list(range(BLOCKS)), 0)))
    ingest(workspace)
    with lease(workspace, write=True) as con:
        assert con.execute("SELECT count(unsummed) FROM token_losses").fetchall() == [(BLOCKS,)]
        predicted = BLOCKS * (LENGTH - 1)
        row = {"evaluation_id": "e", "model_id": "m", "eval_set_id": "s", "scheme": "{}", "predicted": predicted}
        insert_rows(con, "evaluations", [row])
    spool(workspace, "b", ("eval_set", make_set()))
    ingest(workspace)
    with lease(workspace) as con:
        rows = make_losses("e", list(range(BLOCKS)), 0)["losses"].to_pylist()
        check_sums(con, {("e", block): row for block, row in enumerate(rows)})
        assert con.execute("SELECT count(unsummed) FROM token_losses").fetchall() == [(0,)]
        assert find_evaluation(con, "e").has_sums


def test_a_kill_between_commit_and_deletion_sums_nothing_twice(workspace: Workspace) -> None:
    spool(workspace, "a", ("eval_set", make_set()), ("token_losses", make_losses("e", [0, 1], 0)))
    with lease(workspace, write=True) as con:
        add_evaluation(con, "e")
        commit(con, workspace, [look_at(workspace.run("a"))], IngestReport())
    ingest(workspace)
    with lease(workspace) as con:
        rows = make_losses("e", [0, 1], 0)["losses"].to_pylist()
        check_sums(con, {("e", block): row for block, row in enumerate(rows)})


def test_a_large_shard_comes_in_parts_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_WHOLE_BYTES", 0)
    many = pa.table({"evaluation_id": ["e"] * 5000, "block": range(5000), "losses": [[1.0]] * 5000})
    path = tmp_path / write_shard(tmp_path, "token_losses", many)
    parts = list(scan_shard(path, "token_losses", check_losses))
    assert [part.num_rows for part in parts] == [2048, 2048, 904]
    assert pa.concat_tables(parts)["block"].to_pylist() == list(range(5000))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot read the shard"):
        scan_shard(path, "token_losses")


def test_an_older_database_gets_its_sums() -> None:
    with duckdb.connect() as con:
        schema.migrate(con, schema.migrations()[:3])
        insert_rows(con, "evaluations", [{"evaluation_id": n, "model_id": "m", "eval_set_id": "s"} for n in "ef"])
        add_tokens(con, make_set())
        table = make_losses("e", list(range(BLOCKS)), 0)
        with registered(con, table):
            con.execute("INSERT INTO token_losses BY NAME SELECT * FROM incoming")
        con.execute("INSERT INTO token_losses (evaluation_id, block, losses) VALUES ('f', 0, [1, 2])")
        schema.migrate(con)
        check_sums(con, {("e", block): row for block, row in enumerate(table["losses"].to_pylist())})
        found = con.execute("SELECT losses FROM token_losses WHERE evaluation_id = 'f'").fetchall()
        assert [float(value) for value in found[0][0]] == [1.0, 2.0]
