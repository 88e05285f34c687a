"""The token ledger: contributions add up, positions are aligned, pairs that cannot be compared are refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from store import schema
from store.bulk import insert_rows, registered
from store.errors import DataError, OdysseyError
from store.ingest_losses import LOSS_STEP
from store.pair_sums import PASSAGE_TOKENS
from store.queries import evaluations, runs, tokens
from store.queries.passages import rank_passages, read_block
from store.queries.positions import read_position_curve
from store.queries.tokens import Pair, open_pair
from tests.support.synthetic_text import WINDOW, make_losses, make_text


@pytest.fixture
def pair(con: duckdb.DuckDBPyConnection) -> Pair:
    run = runs.find_run(con, "adapt-docs-r0-p15-s")
    found = evaluations.list_evaluations(con, [run.run_id])[2]
    assert (found.role, found.atpp) == ("target", 4.0)
    return open_pair(con, found.zero_shot_evaluation_id, found.evaluation_id)


def test_contributions_add_up_to_the_change_of_loss(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    ledger = tokens.read_ledger(con, pair)
    assert ledger.positions == pair.after.predicted == pair.before.predicted
    assert ledger.contribution.sum() == pytest.approx(pair.after.delta, abs=1e-9)
    assert ledger.delta == pytest.approx(pair.after.delta, abs=1e-9)
    assert (np.diff(ledger.contribution) <= 0).all()
    assert ledger.text[0] == "\\n"
    assert ledger.token_class[0] == "newline"


def test_sums_by_document_position_and_passage_are_the_same_total(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    total = tokens.read_ledger(con, pair).delta * pair.after.predicted
    documents = tokens.read_documents(con, pair)
    assert documents["sum_delta"].sum() == pytest.approx(total)
    assert (np.diff(documents["document"]) > 0).all()
    curve = read_position_curve(con, pair, buckets=8)
    assert curve["position"].tolist() == list(range(0, WINDOW, 32))
    # Losses of single tokens are rounded, sums are not.
    rounding = LOSS_STEP * pair.after.predicted**0.5
    assert ((curve["after"] - curve["before"]) * curve["count"]).sum() == pytest.approx(total, abs=rounding)
    passages = rank_passages(con, pair, limit=10_000)
    assert sum(passage.sum_delta for passage in passages) == pytest.approx(total, abs=rounding)
    assert all(passage.stop - passage.start == PASSAGE_TOKENS for passage in passages)
    rises = [passage.sum_delta for passage in passages]
    assert rises == sorted(rises, reverse=True)


def test_a_block_shows_its_tokens_in_order(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    text = make_text("docs", "target", 2_500, 1)
    last = read_block(con, pair, 2)
    assert last.token_id.tolist() == text.tokens[2048:].tolist()
    first = read_block(con, pair, 0)
    assert len(first.text) == 1024
    assert np.flatnonzero(np.isnan(first.delta)).tolist() == [0, 256, 512, 768]
    expected = make_losses(text, pair.before.loss, seed=0).values[:1024]
    np.testing.assert_allclose(first.before, expected, rtol=0, atol=LOSS_STEP / 2 + 1e-6)
    worst = rank_passages(con, pair, limit=1)[0]
    inside = read_block(con, pair, worst.block).delta[worst.start : worst.stop]
    assert np.nansum(inside) == pytest.approx(worst.sum_delta)
    with pytest.raises(OdysseyError, match="no block 3"):
        read_block(con, pair, 3)


def test_identifiers_may_be_shortened(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    assert open_pair(con, pair.before.evaluation_id[:9], pair.after.evaluation_id[:9]) == pair


def test_other_texts_are_refused(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    run = runs.find_run(con, "adapt-headers-r0-p15-s")
    other = evaluations.list_evaluations(con, [run.run_id])[0]
    with pytest.raises(OdysseyError, match="different texts: docs and headers"):
        open_pair(con, pair.before.evaluation_id, other.evaluation_id)


# The following work on a hand-made database of seven tokens.

TOKENS, DOCUMENT = [5, 6, 5, 7, 5, 6, 7], [0, 0, 0, 0, 1, 1, 1]
BEFORE = [None, 2.0, 1.0, 3.0, 1.5, None, 1.0]
AFTER = [None, 1.0, 2.0, None, 2.5, 9.0, 0.5]
SCHEME = '{"kind": "blocks", "window": 4}'


@pytest.fixture
def small(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(str(tmp_path / "small.duckdb"))
    schema.migrate(con)
    insert_rows(con, "eval_sets", [{"eval_set_id": "s", "name": "tiny", "tokenizer_id": "t", "n_bytes": 28}])
    insert_rows(con, "vocabulary", [{"tokenizer_id": "t", "token_id": 5, "text": "\\n", "token_class": "newline"}])
    insert_rows(
        con,
        "evaluations",
        [
            {
                "evaluation_id": name,
                "model_id": f"m@{name}",
                "eval_set_id": "s",
                "role": "target",
                "scheme": SCHEME if name != "strided" else '{"kind": "strided", "window": 8}',
                "predicted": 5,
                "sum_loss": 9.0,
            }
            for name in ("before", "after", "strided", "bare", "short")
        ],
    )
    block = pa.table(
        {
            "eval_set_id": ["s"],
            "block": pa.array([0], pa.int32()),
            "token_ids": pa.array([TOKENS], pa.list_(pa.int32())),
            "document": pa.array([DOCUMENT], pa.list_(pa.int32())),
        }
    )
    with registered(con, block):
        con.execute("INSERT INTO eval_tokens BY NAME SELECT * FROM incoming")
    for name, values in (("before", BEFORE), ("after", AFTER), ("strided", AFTER), ("short", AFTER[:-1])):
        con.execute("INSERT INTO token_losses (evaluation_id, block, losses) VALUES (?, 0, ?)", [name, values])
    return con


def test_only_positions_predicted_in_both_count(small: duckdb.DuckDBPyConnection) -> None:
    pair = open_pair(small, "before", "after")
    ledger = tokens.read_ledger(small, pair)
    assert ledger.positions == 4
    by_token = dict(zip(ledger.token_id.tolist(), ledger.contribution.tolist(), strict=True))
    assert by_token == pytest.approx({5: 2 / 4, 6: -1 / 4, 7: -0.5 / 4})
    assert ledger.delta == pytest.approx(0.5 / 4)
    assert ledger.text.tolist() == ["\\n", "#7", "#6"]
    assert ledger.token_class.tolist() == ["newline", "other", "other"]
    assert ledger.count.tolist() == [2, 1, 1]
    documents = tokens.read_documents(small, pair)
    assert (documents["count"].tolist(), documents["sum_delta"].tolist()) == ([2, 2], [0.0, 0.5])
    curve = read_position_curve(small, pair)
    assert curve["position"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(np.isnan(read_block(small, pair, 0).delta), [1, 0, 0, 1, 0, 1, 0])


def test_other_schemes_are_refused_with_what_differs(small: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(OdysseyError, match="different schemes: kind blocks and strided, window 4 and 8"):
        open_pair(small, "before", "strided")


def test_evaluations_without_losses_are_refused(small: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(OdysseyError, match="no losses per token are stored for the evaluation bare"):
        open_pair(small, "before", "bare")


def test_losses_that_do_not_fit_the_tokens_are_refused(small: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(DataError, match="the losses of short do not fit the tokens of tiny: 1 blocks differ"):
        open_pair(small, "before", "short")
    small.execute("INSERT INTO eval_tokens (eval_set_id, block, token_ids, document) VALUES ('s', 1, [5], [1])")
    with pytest.raises(DataError, match="do not fit"):
        open_pair(small, "before", "after")


def test_a_pair_without_common_positions_says_so(small: duckdb.DuckDBPyConnection) -> None:
    small.execute(
        "UPDATE token_losses SET losses = [NULL, NULL, NULL, NULL, NULL, 1, NULL] WHERE evaluation_id = 'after'"
    )
    with pytest.raises(DataError, match="no position was predicted in both"):
        tokens.read_ledger(small, open_pair(small, "before", "after"))
