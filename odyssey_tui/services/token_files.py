"""A pair of per-token tables instead of two stored evaluations: the same ledger, without a workspace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from odyssey_tui.services.ledger import CLASSES, Ledger
from odyssey_tui.services.token_pairs import PairName, scheme_words
from odyssey_tui.services.tokens import Axis, TokenReport
from store.arrays import numbers_of
from store.errors import ConfigError, DataError
from store.pair_sums import DocumentSums, TypeSums, scan
from store.shards import BLOCK_TOKENS

if TYPE_CHECKING:
    import pyarrow as pa

    from odyssey_tui.services.passages import Passage
    from store.exchange.table_pairs import Rows, TablePair
    from store.exchange.token_tables import TokenTable
    from store.pair_sums import Sum
    from store.queries.passages import Passage as Place

IN_WINDOW, IN_DOCUMENT = "tokens of context", "tokens of its document before a token"


@dataclass(frozen=True, eq=False)
class FilePair:
    """A pair of tables; ``starts`` are the rows at which documents begin, ``rows`` how many there are."""

    tables: TablePair
    report: TokenReport
    starts: np.ndarray
    rows: int
    identical: bool
    """Whether all losses are the same in both."""

    def scan(self, *sums: Sum) -> None:
        """Both files once more."""
        scan(self.tables.pieces(), *sums)

    def read_axis(self) -> Axis:
        """By the window where the file says what it was, else by the document."""
        from store.queries.positions import context_of

        facts = self.tables.before.facts
        scheme, streams = facts.get("scheme"), facts.get("streams")
        if isinstance(scheme, dict) and isinstance(streams, list) and sum(streams) == self.rows:
            ends = np.cumsum(streams)
            contexts = [context_of(scheme, size) for size in streams]

            def in_window(place: np.ndarray) -> np.ndarray:
                found = np.empty_like(place)
                number = np.searchsorted(ends, place, side="right")
                for one in np.unique(number).tolist():
                    own = number == one
                    found[own] = contexts[one](place[own] - (ends[one] - streams[one]))
                return found

            return Axis(in_window, IN_WINDOW, self.report.window)
        starts = self.starts
        longest = int(np.diff(np.append(starts, self.rows)).max(initial=1))
        return Axis(
            lambda place: place - starts[np.searchsorted(starts, place, side="right") - 1], IN_DOCUMENT, longest
        )

    def read_passage(self, place: Place) -> Passage:
        """The rows around it."""
        from odyssey_tui.services.passages import cut_passage
        from store.exchange.table_pairs import losses, whole
        from store.queries.passages import BlockTokens

        first = place.block * BLOCK_TOKENS
        last = min(first + BLOCK_TOKENS, self.rows)
        before = self.tables.before.read_rows(first, last, ("document", "token_id", "loss"))
        after = self.tables.after.read_rows(first, last, ("loss",))
        token_id = whole(before, "token_id")
        known = self._words
        words = [known.get(token, (f"#{token}", "other")) for token in token_id.tolist()]
        texts, classes = (np.array(column, object) for column in zip(*words, strict=True))
        document = whole(before, "document")
        block = BlockTokens(place.block, token_id, texts, classes, document, losses(before)[0], losses(after)[0])
        return cut_passage(place, block)

    @cached_property
    def _words(self) -> dict[int, tuple[str, str]]:
        ledger = self.report.ledger
        return {
            token: (text, token_class)
            for token, text, token_class in zip(ledger.token_ids.tolist(), ledger.texts, ledger.classes, strict=True)
        }


def open_files(before: str, after: str | None) -> FilePair:
    """Read two per-token tables and sum them by type and document, as stored ones are.

    Raises ConfigError and DataError where there are no two tables, or those are no pair: other tokens, other schemes,
    losses that are no numbers, one evaluation twice.
    """
    from store.exchange.table_pairs import open_table_pair
    from store.exchange.token_tables import is_table

    if after is None:
        raise ConfigError(f"{before} is one table", "Give a second: the losses after adaptation.")
    strange = [name for name in (before, after) if not is_table(name)]
    if strange:
        raise ConfigError(
            f"a table and an evaluation of the workspace are no pair: {strange[0]} is no file",
            "Give two files, or two evaluations. `odyssey store export token_losses` writes stored losses to a file.",
        )
    tables = open_table_pair(before, after)
    first = _FirstLook()
    for rows in tables.read_checked():
        first.add(rows)
    if not first.predicted:
        raise DataError(f"{tables.before.name} and {tables.after.name} predict no token", "They hold no losses.")
    ledger = first.ledger()
    scheme = tables.before.facts.get("scheme") or {}
    report = TokenReport(
        name_tables(tables.before, tables.after, ledger.delta),
        scheme_words(scheme) if scheme else "",
        int(scheme.get("window") or BLOCK_TOKENS),
        ledger,
        first.documents.columns(),
        *first.bits(ledger),
        has_tokens=True,
    )
    return FilePair(tables, report, np.concatenate(first.starts), first.rows, first.identical)


def name_tables(before: TokenTable, after: TokenTable, delta: float) -> PairName:
    """The pair by its files, and by its models where the files name them."""
    names = [Path(table.name).name for table in (before, after)]
    models = [str(table.facts.get("model") or name) for table, name in zip((before, after), names, strict=True)]
    return PairName(before.name, after.name, *models, "", "", None, *names, delta)


class _FirstLook:
    """What the first reading gathers: sums, words of the vocabulary, beginnings of documents."""

    def __init__(self) -> None:
        self.types, self.documents = TypeSums(), DocumentSums()
        self.words: dict[int, tuple[str, str]] = {}
        self.starts: list[np.ndarray] = []
        self.rows = self.predicted = 0
        self.identical = True
        self._n_bytes: int | None = 0
        self._seen = np.zeros(0, bool)
        self._document = -1

    def add(self, rows: Rows) -> None:
        piece = rows.piece()
        scan([piece], self.types, self.documents)
        self.predicted += len(piece.place)
        self.identical = self.identical and bool((piece.before == piece.after).all())
        new = np.flatnonzero(np.diff(rows.document, prepend=self._document))
        self.starts.append(rows.first + new)
        self._document = int(rows.document[-1])
        self.rows = rows.first + len(rows.document)
        if rows.size is None:
            self._n_bytes = None
        elif self._n_bytes is not None:
            self._n_bytes += int(rows.size[~np.isnan(rows.before)].sum())
        self._learn(rows)

    def _learn(self, rows: Rows) -> None:
        """Texts and classes of token types that are met for the first time."""
        ids = rows.token_id
        if int(ids.max()) >= len(self._seen):
            grown = np.zeros(2 * int(ids.max()) + 2, bool)
            grown[: len(self._seen)] = self._seen
            self._seen = grown
        fresh = np.flatnonzero(~self._seen[ids])
        if not len(fresh):
            return
        tokens, first = np.unique(ids[fresh], return_index=True)
        at = fresh[first]
        texts = words_at(rows.words, "token", at)
        classes = words_at(rows.words, "token_class", at)
        for number, token in enumerate(tokens.tolist()):
            text = texts[number] if texts is not None else None
            named = classes[number] if classes is not None else None
            self.words[token] = (f"#{token}" if text is None else text, named if named in CLASSES else _class_of(text))
        self._seen[tokens] = True

    def ledger(self) -> Ledger:
        """The sums by type, most harmful first."""
        found = self.types.columns()
        order = np.lexsort((found["token_id"], found["sum_before"] - found["sum_after"]))
        tokens = found["token_id"][order]
        words = [self.words[token] for token in tokens.tolist()]
        return Ledger(
            tokens,
            tuple(text for text, _ in words),
            tuple(token_class for _, token_class in words),
            *(found[name][order] for name in ("count", "sum_before", "sum_after")),
        )

    def bits(self, ledger: Ledger) -> tuple[float | None, float | None]:
        """Bits per byte of the predicted tokens before and after; None where the bytes are not known."""
        if not self._n_bytes:
            return None, None
        before, after = (float(sums.sum()) / math.log(2) / self._n_bytes for sums in (ledger.before, ledger.after))
        return before, after


def _class_of(text: str | None) -> str:
    from engine.token_text import class_of_text

    return "other" if text is None else class_of_text(text)


def words_at(table: pa.Table, name: str, rows: np.ndarray) -> list[Any] | None:
    """Values of a column of words at ascending or unordered ``rows``; None where there is no such column."""
    import pyarrow as pa

    if name not in table.column_names:
        return None
    found: list[Any] = [None] * len(rows)
    start = 0
    for chunk in table[name].chunks:
        own = np.flatnonzero((rows >= start) & (rows < start + len(chunk)))
        if len(own):
            coded = chunk if isinstance(chunk, pa.DictionaryArray) else chunk.dictionary_encode()
            words = coded.dictionary.to_pylist()
            codes = numbers_of(coded.indices, np.int32)
            for place in own.tolist():
                row = int(rows[place]) - start
                found[place] = words[codes[row]] if coded.indices[row].is_valid else None
        start += len(chunk)
    return found
