"""Curves of several runs in one chart: only where their values have one unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from odyssey_tui.services.run_detail import read_curves
from odyssey_tui.services.tokenizer_fair import weigh

if TYPE_CHECKING:
    from odyssey_tui.services.curves import Curve
    from store.workspace import Workspace

PER_TOKEN = frozenset({"loss", "valid_loss"})
"""Metrics whose unit is that of the tokenizer."""


def read_overlay(workspace: Workspace, run_ids: Sequence[str], metric: str, axis: str) -> tuple[tuple[Curve, ...], str]:
    """Curves of one metric of the runs, and what is left out of the chart.

    Losses per token of another tokenizer than the first run's are not drawn beside it.
    """
    from store.database import lease
    from store.queries.tokenizers import find_tokenizers

    if not run_ids:
        return (), ""
    drawn, note = list(run_ids), ""
    if metric in PER_TOKEN and len(drawn) > 1:
        with lease(workspace) as con:
            tokenizers = find_tokenizers(con, drawn)
        fair = weigh(tokenizers.get(run_id) for run_id in drawn)
        if not fair.per_token:
            first = next(one for run_id in drawn if (one := tokenizers.get(run_id)) is not None)
            drawn = [run_id for run_id in drawn if tokenizers.get(run_id) == first]
            note = f"without {len(run_ids) - len(drawn)} of another tokenizer"
        elif fair.sentence:
            note = "tokenizers not all recorded"
    return tuple(read_curves(workspace, drawn, metric, axis)), note
