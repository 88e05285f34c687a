"""What is asked of a pair by the services that the screen and the command line share; the same of both sources."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

from odyssey_tui.services.ledger import CLASSES
from odyssey_tui.services.token_details import PASSAGES, class_of, read_details, seek_types
from odyssey_tui.services.tokens import Source
from store.pair_sums import ClassSums, PassageSums, PositionSums

Answer = TypeVar("Answer")
REPEATED = 3


def timed(ask: Callable[[], Answer]) -> tuple[float, Answer]:
    """Median seconds of three, and the last answer."""
    times = []
    for _ in range(REPEATED):
        started = time.perf_counter()
        found = ask()
        times.append(time.perf_counter() - started)
    return statistics.median(times), found


def ask_all(open_pair: Callable[[], Source], token_id: int) -> dict[str, Any]:
    """Seconds of every question, and numbers to compare the answers by, in nats."""
    ledger_s, source = timed(open_pair)
    ledger = source.report.ledger

    def passages() -> list[tuple[int, int, float, int]]:
        sums = PassageSums()
        source.scan(sums)
        return sums.ranked(PASSAGES)

    def positions() -> dict[str, Any]:
        axis = source.read_axis()
        sums = PositionSums(axis.context_of, -(-axis.length // 64))
        source.scan(sums)
        return sums.columns()

    def classes() -> Any:
        sums = ClassSums(class_of(ledger), len(CLASSES))
        source.scan(sums)
        return sums.tables()

    passages_s, worst = timed(passages)
    positions_s, curve = timed(positions)
    classes_s, (_, _, by_class) = timed(classes)
    details_s, details = timed(lambda: read_details(source))
    type_s, changed = timed(lambda: seek_types(source, frozenset({token_id})))
    passage_s, _ = timed(lambda: source.read_passage(details.rising[1]))
    return {
        "ledger_s": ledger_s,
        "passages_s": passages_s,
        "positions_s": positions_s,
        "classes_s": classes_s,
        "details_s": details_s,
        "type_s": type_s,
        "passage_s": passage_s,
        "delta": ledger.delta,
        "worst": worst[0][2],
        "curve": float(curve["after"].mean()),
        "by_class": float(abs(by_class.sum(axis=0)).sum() / ledger.predicted),
        "type_worst": changed.rising[0].sum_delta,
    }
