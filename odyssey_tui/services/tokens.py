"""The token ledger of a pair: what is known of it at once, and where the rest is read from.

A ledger, its documents and bits per byte are read from sums and come at once. Whatever needs the losses of single
tokens (passages, positions, intervals of classes and masks) is scanned from a ``Source``: the database, or two files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from odyssey_tui.services.ledger import Ledger
from odyssey_tui.services.token_pairs import PairName, choose_pair, name_pairs, scheme_words

if TYPE_CHECKING:
    import numpy as np

    from odyssey_tui.services.drift import DriftReport
    from odyssey_tui.services.passages import Passage
    from store.database import Connection
    from store.pair_sums import Sum
    from store.queries.passages import Passage as Place
    from store.queries.tokens import Pair
    from store.workspace import Workspace

NO_PAIR = "No adapted state with per-token losses yet."
NO_PAIR_HINT = "Pairs appear when adaptation runs are evaluated: launch an experiment (3) and watch it (1)."


@dataclass(frozen=True, eq=False)
class TokenReport:
    """What is known of a pair at once. ``documents``: arrays ``document count sum_before sum_after sum_delta``."""

    name: PairName
    scheme: str
    """How the losses were computed, in words."""
    window: int
    """Tokens of the context window."""
    ledger: Ledger
    documents: Mapping[str, np.ndarray]
    bits_before: float | None
    """Bits per byte before, over the bytes of the predicted tokens; None where those are not recorded."""
    bits_after: float | None
    has_tokens: bool
    """Whether the losses of single tokens can be read."""
    drift: DriftReport | None = None
    """What moved between the two states, where somebody has measured it."""

    @property
    def n_documents(self) -> int:
        """Documents with a predicted token."""
        return len(self.documents["document"])


class Axis(NamedTuple):
    """Where in its window a token stands: a function of the places of tokens, and what it counts."""

    context_of: Callable[[np.ndarray], np.ndarray]
    title: str
    length: int
    """The largest there may be."""


class Source(Protocol):
    """A pair whose tokens can be read."""

    @property
    def report(self) -> TokenReport: ...

    def scan(self, *sums: Sum) -> None:
        """Let the sums gather over all positions predicted in both."""

    def read_axis(self) -> Axis:
        """By what positions are counted."""

    def read_passage(self, place: Place) -> Passage:
        """The text of a passage, token by token."""


@dataclass(frozen=True, eq=False)
class StoredPair:
    """A pair of a workspace's evaluations."""

    workspace: Workspace
    pair: Pair
    report: TokenReport

    def scan(self, *sums: Sum) -> None:
        """One query under a lease of its own."""
        from store.database import lease
        from store.pair_sums import scan
        from store.queries.pieces import read_pieces

        with lease(self.workspace) as con:
            scan(read_pieces(con, self.pair), *sums)

    def read_axis(self) -> Axis:
        """By the context that the scheme gave every token."""
        from store.database import lease
        from store.queries.positions import context_in

        with lease(self.workspace) as con:
            return Axis(context_in(con, self.pair), "tokens of context", self.pair.window)

    def read_passage(self, place: Place) -> Passage:
        """The block that holds it."""
        from odyssey_tui.services.passages import cut_passage
        from store.database import lease
        from store.queries.passages import read_block

        with lease(self.workspace) as con:
            block = read_block(con, self.pair, place.block)
        return cut_passage(place, block)


class Found(NamedTuple):
    """A pair and the others there are; no pair where there is none at all."""

    pair: StoredPair | None
    pairs: tuple[PairName, ...]


def read_tokens(workspace: Workspace, before: str, after: str | None = None, *, on: str = "target") -> StoredPair:
    """The ledger of a pair.

    ``before`` and ``after`` are evaluations, model states (``RUN@STATE``) or runs (their last state), by identifier or
    a unique beginning; ``before`` alone is an adapted run or state, compared with its own base state. ``on`` is a role
    (target, base) or the name of an evaluation set. Raises OdysseyError where there is no such pair.
    """
    from store.database import lease
    from store.queries.tokens import open_pair

    with lease(workspace) as con:
        name = choose_pair(con, before, after, on)
        return read_pair(workspace, con, name, open_pair(con, name.before_id, name.after_id))


def find_tokens(
    workspace: Workspace, wanted: tuple[str, str | None] | None, *, on: str = "target", known: StoredPair | None = None
) -> Found:
    """The pair ``wanted``, as of ``read_tokens`` (None: the last state that worsened most), and all pairs there are.

    ``known`` is returned as it is where it is the pair and its evaluations have not changed.
    """
    from store.database import lease
    from store.queries.evaluations import list_evaluations
    from store.queries.runs import list_runs
    from store.queries.tokens import make_pair

    with lease(workspace) as con:
        evaluations = list_evaluations(con)
        pairs = tuple(name_pairs(evaluations, list_runs(con)))
        if wanted is None and not pairs:
            return Found(None, pairs)
        name = pairs[0] if wanted is None else next((one for one in pairs if ids_of(one) == wanted), None)
        if name is None and wanted is not None:
            name = choose_pair(con, *wanted, on)
        by_id = {one.evaluation_id: one for one in evaluations}
        before, after = by_id[name.before_id], by_id[name.after_id]
        if known is not None and (known.pair.before, known.pair.after) == (before, after):
            return Found(with_drift(con, known), pairs)
        return Found(read_pair(workspace, con, name, make_pair(con, before, after)), pairs)


def ids_of(name: PairName) -> tuple[str, str]:
    """Identifiers before and after."""
    return name.before_id, name.after_id


def with_drift(con: Connection, known: StoredPair) -> StoredPair:
    """The pair with the drift that was measured since; itself where none was."""
    from odyssey_tui.services.drift import find_pair
    from store.queries.drift import find_drift

    row, drift = find_drift(con, *known.pair.ids), known.report.drift
    if (row and row.run_id) == (drift and drift.run_id):
        return known
    return replace(known, report=replace(known.report, drift=find_pair(con, *known.pair.ids)))


def read_pair(workspace: Workspace, con: Connection, name: PairName, pair: Pair) -> StoredPair:
    """Everything about a pair that its sums tell."""
    from odyssey_tui.services.drift import find_pair
    from store.queries.tokens import read_documents, read_ledger

    stored = read_ledger(con, pair)
    ledger = Ledger(stored.token_id, stored.text, stored.token_class, stored.count, stored.sum_before, stored.sum_after)
    report = TokenReport(
        name,
        scheme_words(pair.before.scheme),
        pair.window,
        ledger,
        read_documents(con, pair),
        pair.before.bits_per_byte,
        pair.after.bits_per_byte,
        pair.has_tokens,
        find_pair(con, *pair.ids),
    )
    return StoredPair(workspace, pair, report)
