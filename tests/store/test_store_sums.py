"""Answers from sums, for many evaluations or pairs at once, and losses by position under every scheme."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import pytest

from engine.evaluate.windows import plan_windows
from engine.spec.run import Scheme
from store.errors import DataError, OdysseyError
from store.queries import evaluations, sums, tokens
from store.queries.passages import rank_passages
from store.queries.positions import context_of, read_position_curve
from store.queries.tokens import open_pair

SCHEMES = [
    Scheme(window=8),
    Scheme(window=8, bos=True),
    Scheme(kind="strided", window=8, stride=3),
    Scheme(kind="strided", window=8, stride=3, bos=True),
    Scheme(kind="strided", window=8),
    Scheme(kind="strided", window=9, stride=1, bos=True),
    Scheme(kind="rolling", window=8),
    Scheme(kind="rolling", window=8, bos=True),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("n_tokens", [5, 8, 16, 1030, 1037])
def test_positions_are_those_of_the_windows(scheme: Scheme, n_tokens: int) -> None:
    expected = {
        token: token - window.start + window.bos
        for window in plan_windows(n_tokens, scheme)
        for token in range(window.first, window.last)
    }
    found = context_of(scheme.content(), n_tokens)(np.arange(n_tokens)).tolist()
    assert {token: found[token] for token in expected} == expected


def test_positions_of_an_unknown_scheme_are_refused() -> None:
    with pytest.raises(DataError, match="are not known"):
        context_of({"kind": "spiral", "window": 8}, 10)


def scored(con: duckdb.DuckDBPyConnection) -> list[evaluations.StateEvaluation]:
    return [one for one in evaluations.list_evaluations(con) if one.has_sums]


def test_every_evaluation_of_the_workspace_is_summed(con: duckdb.DuckDBPyConnection) -> None:
    found = evaluations.list_evaluations(con)
    assert found
    assert [one.evaluation_id for one in found if not one.has_sums] == []


def test_ledgers_and_documents_of_many_pairs_are_those_of_each(con: duckdb.DuckDBPyConnection) -> None:
    pairs = [
        (one.zero_shot_evaluation_id, one.evaluation_id)
        for one in scored(con)
        if one.zero_shot_evaluation_id is not None
    ][:5]
    types, documents = sums.read_type_changes(con, pairs), sums.read_document_changes(con, pairs)
    for place, ids in enumerate(pairs):
        pair = open_pair(con, *ids)
        ledger = tokens.read_ledger(con, pair)
        own = types["pair"] == place
        np.testing.assert_array_equal(types["token_id"][own], ledger.token_id)
        np.testing.assert_array_equal(types["sum_after"][own], ledger.sum_after)
        alone = tokens.read_documents(con, pair)
        own = documents["pair"] == place
        np.testing.assert_array_equal(documents["sum_delta"][own], alone["sum_delta"])
        assert alone["count"].sum() == pair.after.predicted


def test_a_ledger_outlives_the_losses_of_single_tokens(con: duckdb.DuckDBPyConnection) -> None:
    after = next(one for one in scored(con) if one.zero_shot_evaluation_id is not None)
    with duckdb.connect() as copy:
        for table in ("evaluations", "eval_sets", "models", "type_losses", "document_losses", "vocabulary", "runs"):
            rows = con.sql(f"SELECT * FROM {table}").to_arrow_table()
            copy.register("rows", rows)
            copy.execute(f"CREATE TABLE {table} AS SELECT * FROM rows")
        copy.execute("CREATE TABLE token_losses (evaluation_id VARCHAR, block INTEGER, losses DECIMAL(9, 3)[])")
        pair = open_pair(copy, after.zero_shot_evaluation_id or "", after.evaluation_id)
        assert not pair.has_tokens
        assert tokens.read_ledger(copy, pair).delta == pytest.approx(after.delta, abs=1e-9)
        for read in (rank_passages, read_position_curve):
            with pytest.raises(OdysseyError, match="only sums by token type and document are stored"):
                read(copy, pair)


def test_json_schemes_of_the_store_are_those_of_the_engine(con: duckdb.DuckDBPyConnection) -> None:
    for one in scored(con):
        assert context_of(json.loads(one.scheme_json), 10)
