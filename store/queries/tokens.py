"""Pairs of evaluations and their token ledger: which token types and documents carry the change of loss.

A pair is two evaluations of the same evaluation set by the same scheme. ℓ0 and ℓ1 are the losses of one position before
and after; only positions predicted in both count, T of them. A type's contribution is c_v = Σ(ℓ1 − ℓ0) / T over its
positions, so that the contributions add up to ΔL in nats per token.

Ledgers and documents are read from sums made when the losses came in. Where two evaluations did not predict the same
positions the losses themselves are: one list per block of 1,024 tokens, unnested side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import DataError, OdysseyError
from store.queries.evaluations import StateEvaluation, find_evaluation
from store.queries.rows import fetch_columns
from store.queries.sums import agree, read_document_changes, read_type_changes
from store.shards import BLOCK_TOKENS

if TYPE_CHECKING:
    import duckdb
    import numpy as np


@dataclass(frozen=True)
class Pair:
    """Two evaluations whose losses may be compared position by position."""

    before: StateEvaluation
    after: StateEvaluation

    @property
    def eval_set_id(self) -> str:
        return self.before.eval_set_id

    @property
    def ids(self) -> tuple[str, str]:
        """Identifiers before and after."""
        return self.before.evaluation_id, self.after.evaluation_id

    @property
    def has_tokens(self) -> bool:
        """Whether the losses of single tokens are stored; if not, there are sums."""
        return self.before.has_tokens and self.after.has_tokens

    @property
    def has_sums(self) -> bool:
        """Whether the sums cover everything that either predicted, and that is the same number of positions."""
        both = self.before.has_sums and self.after.has_sums
        return both and self.before.predicted == self.after.predicted

    def need_tokens(self) -> None:
        """``OdysseyError`` where the losses of single tokens are not stored."""
        for evaluation in (self.before, self.after):
            if not evaluation.has_tokens:
                raise OdysseyError(
                    f"of the evaluation {evaluation.evaluation_id} only sums by token type and document are stored",
                    "Passages and positions need the losses of single tokens, which `odyssey store gc` dropped: "
                    "`odyssey store rebuild --from BACKUP` takes them from a backup.",
                )

    @property
    def window(self) -> int:
        """Tokens of the context window of the scheme."""
        return int(self.before.scheme.get("window") or BLOCK_TOKENS)


@dataclass(frozen=True)
class Ledger:
    """Sums by token type, arrays of shape (types,), the largest contribution first. Losses in nats."""

    positions: int
    """T: positions predicted in both evaluations."""
    token_id: np.ndarray
    text: np.ndarray
    """Readable, control characters escaped (objects)."""
    token_class: np.ndarray
    count: np.ndarray
    sum_before: np.ndarray
    sum_after: np.ndarray
    contribution: np.ndarray
    """c_v, nats per token of the whole set; they sum to ``delta``."""
    loss_before: float
    loss_after: float

    @property
    def delta(self) -> float:
        """ΔL over the positions of the ledger, nats per token."""
        return self.loss_after - self.loss_before


def open_pair(con: duckdb.DuckDBPyConnection, before: str, after: str) -> Pair:
    """The pair of these evaluations (identifiers or their beginnings).

    ``OdysseyError`` when they cannot be compared: another set, another scheme, or no losses per token.
    """
    return make_pair(con, find_evaluation(con, before), find_evaluation(con, after))


def make_pair(con: duckdb.DuckDBPyConnection, before: StateEvaluation, after: StateEvaluation) -> Pair:
    """The pair of evaluations that were read already; errors as of ``open_pair``."""
    pair = Pair(before, after)
    a, b = before, after
    if a.evaluation_id == b.evaluation_id:
        raise OdysseyError(
            f"the evaluation {a.evaluation_id} is given twice", "Give one before and one after adaptation."
        )
    if a.eval_set_id != b.eval_set_id:
        raise _of_other_texts(con, pair)
    if a.scheme_json != b.scheme_json:
        differing = [name for name in sorted({*a.scheme, *b.scheme}) if a.scheme.get(name) != b.scheme.get(name)]
        values = ", ".join(f"{name} {a.scheme.get(name)} and {b.scheme.get(name)}" for name in differing)
        raise OdysseyError(
            f"{a.evaluation_id} and {b.evaluation_id} were computed by different schemes: {values}",
            "Losses are comparable only with the same windows, stride, BOS and precision.",
        )
    for evaluation in (a, b):
        if not evaluation.has_ledger:
            raise OdysseyError(
                f"no losses per token are stored for the evaluation {evaluation.evaluation_id}",
                "They may still be on their way, or `odyssey store gc` dropped them, or they were lost "
                "(`odyssey store check` tells).",
            )
    if not pair.has_sums:
        pair.need_tokens()
        _check_alignment(con, pair)
    return pair


def _of_other_texts(con: duckdb.DuckDBPyConnection, pair: Pair) -> OdysseyError:
    """Why evaluations of two sets are no pair, and what can be compared all the same."""
    a, b = pair.before, pair.after
    ids = [a.eval_set_id, b.eval_set_id]
    (texts,) = con.execute(
        "SELECT count(DISTINCT coalesce(fingerprint, eval_set_id) || coalesce(split, '')) FROM eval_sets "
        "WHERE eval_set_id IN (SELECT unnest(?))",
        [ids],
    ).fetchall()[0]
    if a.tokenizer_id != b.tokenizer_id and texts == 1:
        bits = [f"{one.bits_per_byte:.4f}" if one.bits_per_byte is not None else "unknown" for one in (a, b)]
        return OdysseyError(
            f"{a.evaluation_id} and {b.evaluation_id} were computed with different tokenizers on one text, "
            f"{a.eval_set} ({a.tokenizer_id}, {b.tokenizer_id}): their tokens do not correspond",
            f"Only bits per byte can be compared: {bits[0]} before, {bits[1]} after.",
        )
    return OdysseyError(
        f"{a.evaluation_id} and {b.evaluation_id} were computed on different texts: {a.eval_set} and {b.eval_set}"
        f" ({a.eval_set_id}, {b.eval_set_id})",
        "Choose two evaluations of one evaluation set, with one tokenizer.",
    )


def read_ledger(con: duckdb.DuckDBPyConnection, pair: Pair) -> Ledger:
    """The sums of every token type that occurs, the type that raises the loss most first."""
    import numpy as np

    columns = read_type_changes(con, [pair.ids]) if pair.has_sums else {}
    if not columns or not agree(columns):
        columns = fetch_columns(
            con, _common("token_ids", "token_id") + _TYPES, [pair.eval_set_id, *pair.ids, pair.before.tokenizer_id]
        )
    positions = int(columns["count"].sum())
    if positions == 0:
        raise DataError("no position was predicted in both evaluations")
    sums = columns["sum_before"], columns["sum_after"]
    return Ledger(
        positions,
        **{name: columns[name] for name in ("token_id", "text", "token_class", "count", "sum_before", "sum_after")},
        contribution=(sums[1] - sums[0]) / positions,
        loss_before=float(np.sum(sums[0])) / positions,
        loss_after=float(np.sum(sums[1])) / positions,
    )


def read_documents(con: duckdb.DuckDBPyConnection, pair: Pair) -> dict[str, np.ndarray]:
    """Sums by document, for a paired bootstrap: ``document count sum_before sum_after sum_delta``."""
    return read_documents_of(con, [pair])[0]


def read_documents_of(con: duckdb.DuckDBPyConnection, pairs: Sequence[Pair]) -> list[dict[str, np.ndarray]]:
    """``read_documents`` of each pair, by one query where there are sums."""
    summed = [pair for pair in pairs if pair.has_sums]
    columns = read_document_changes(con, [pair.ids for pair in summed]) if summed else {}
    found = []
    for pair in pairs:
        own = {}
        if pair.has_sums:
            mine = columns["pair"] == summed.index(pair)
            own = {name: values[mine] for name, values in columns.items()}
        if not own or not agree(own):
            own = fetch_columns(con, _common("document", "document") + _DOCUMENTS, [pair.eval_set_id, *pair.ids])
        found.append({name: own[name] for name in ("document", "count", "sum_before", "sum_after", "sum_delta")})
    return found


_TYPES = """
, sums AS (
    SELECT token_id, count(*) AS count, sum(before) AS sum_before, sum(after) AS sum_after
    FROM positions GROUP BY token_id
)
SELECT token_id, coalesce(v.text, '#' || token_id) AS text, coalesce(v.token_class, 'other') AS token_class,
    count, sum_before, sum_after
FROM sums LEFT JOIN (SELECT * FROM vocabulary WHERE tokenizer_id = $4) v USING (token_id)
ORDER BY sum_after - sum_before DESC, token_id
"""
_DOCUMENTS = """
SELECT document, count(*) AS count, sum(before) AS sum_before, sum(after) AS sum_after,
    sum(after) - sum(before) AS sum_delta
FROM positions GROUP BY document ORDER BY document
"""


def _common(name: str, column: str) -> str:
    """The positions that both evaluations of a pair predicted, with one list of the set's: unnesting costs most."""
    return f"""
    WITH tokens AS (
        SELECT unnest(t.{name}) AS {column}, unnest(b.losses)::DOUBLE AS before, unnest(a.losses)::DOUBLE AS after
        FROM eval_tokens t
        JOIN token_losses b ON b.block = t.block AND b.evaluation_id = $2
        JOIN token_losses a ON a.block = t.block AND a.evaluation_id = $3
        WHERE t.eval_set_id = $1
    ), positions AS (SELECT * FROM tokens WHERE before IS NOT NULL AND after IS NOT NULL)
    """


def _check_alignment(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    """Losses are aligned with the set's tokens one to one, or every sum below would be wrong without a sign of it."""
    counted = con.execute(
        """
        SELECT l.evaluation_id, count(*) FILTER (len(t.token_ids) IS DISTINCT FROM len(l.losses))
            + abs((SELECT count(*) FROM eval_tokens WHERE eval_set_id = $1) - count(l.block))
        FROM token_losses l LEFT JOIN eval_tokens t ON t.eval_set_id = $1 AND t.block = l.block
        WHERE l.evaluation_id IN ($2, $3) GROUP BY l.evaluation_id
        """,
        [pair.eval_set_id, *pair.ids],
    ).fetchall()
    for evaluation_id, wrong in counted:
        if wrong:
            raise DataError(
                f"the losses of {evaluation_id} do not fit the tokens of {pair.before.eval_set}: {wrong} blocks differ",
                "Some of them may still be on their way; otherwise run the evaluation again.",
            )
