"""What services ask of evaluations: those of the state a run reached last, and the change between two of one text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.stats import MeanDifference, paired_bootstrap

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.evaluations import StateEvaluation
    from store.queries.tokens import Pair


def reached(evaluation: StateEvaluation) -> tuple[float, float, bool]:
    """How far trained a state is; sorts the states of a run. One that is interpolated comes before the trained one."""
    return evaluation.atpp or 0.0, evaluation.ptpp or 0.0, evaluation.interpolation is None


def of_last_state(evaluations: Sequence[StateEvaluation]) -> list[StateEvaluation]:
    """Of the evaluations of one run, those of its most trained state."""
    last = max(map(reached, evaluations), default=None)
    return [evaluation for evaluation in evaluations if reached(evaluation) == last]


def bootstrap_change(con: Connection, pair: Pair) -> MeanDifference:
    """Mean change of the loss in nats per token, with its paired bootstrap over documents."""
    return bootstrap_changes(con, [pair])[0]


def bootstrap_changes(con: Connection, pairs: Sequence[Pair]) -> list[MeanDifference]:
    """The change of each pair, in their order."""
    from store.queries.tokens import read_documents_of

    return [
        paired_bootstrap(documents["sum_delta"] / documents["count"], documents["count"])
        for documents in read_documents_of(con, pairs)
    ]
