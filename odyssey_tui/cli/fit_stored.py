"""What ``odyssey fit --list`` and ``--diff`` print: the stored fits, and what changed between two of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.format import number

if TYPE_CHECKING:
    from odyssey_tui.services.fit_diff import FitDiff, FitPair
    from store.workspace import Workspace

STORED = (
    Column("domain", "domain"),
    Column("place", "#"),
    Column("when", "made", drop=3),
    Column("split", "split"),
    Column("target_form", "best on target", drop=2),
    Column("target_mape", "MAPE %", lambda v: number(v, 2), drop=1),
    Column("base_form", "on base", drop=5),
    Column("base_mape", "MAPE %", lambda v: number(v, 2), drop=4),
    Column("run_id", "fit run"),
)
PAIRS = (
    Column("role", "loss"),
    Column("form", "form"),
    Column("anchors", "anchors", drop=3),
    Column("n_a", "points", drop=1),
    Column("n_b", "→", drop=1),
    Column("added", "+"),
    Column("removed", "−"),
    Column("changed", "changed"),
    Column("mape_a", "MAPE %", lambda v: number(v, 2)),
    Column("mape_b", "→", lambda v: number(v, 2)),
    Column("apart", "moved", drop=2),
)
PARAMETERS = (
    Column("name", "parameter"),
    Column("value_a", "first", lambda v: f"{v:.4g}"),
    Column("interval_a", "90 %", drop=2),
    Column("value_b", "second", lambda v: f"{v:.4g}"),
    Column("interval_b", "90 %", drop=1),
    Column("note", ""),
)
SCORES = (
    Column("name", "score"),
    Column("a", "first", lambda v: f"{v:.4g}"),
    Column("b", "second", lambda v: f"{v:.4g}"),
    Column("change", "change", lambda v: f"{v:+.4g}".replace("-", "−"), right=True),
)
POINTS = (
    Column("what", "what"),
    Column("run_id", "run"),
    Column("adapt_tokens", "D"),
    Column("loss_a", "loss", lambda v: number(v, 4)),
    Column("loss_b", "→", lambda v: number(v, 4)),
    Column("reason", "why"),
)
MOST_POINTS = 12
"""Changed points that are printed one by one; JSON and CSV have all."""


def print_stored(workspace: Workspace, *, domain: str | None, experiment: str | None, **forms: bool) -> None:
    """``--list``."""
    from odyssey_tui.services.fit_list import list_stored

    entries = list_stored(workspace, domain, experiment)
    rows = [
        {
            **{name: value for name, value in asdict(entry).items() if name not in ("target", "base")},
            "when": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.t)),
            "target_form": entry.target.form,
            "target_mape": entry.target.mape,
            "base_form": entry.base.form,
            "base_mape": entry.base.mape,
        }
        for entry in entries
    ]
    columns = (*STORED, Column("n_fits"), Column("stale")) if forms["csv"] or forms["json"] else STORED
    emit_table(columns, rows, **forms)
    if not any(forms.values()):
        for entry in entries:
            if entry.stale:
                print_wrapped(f"{entry.run_id}: {entry.stale}", bullet="- ")


def print_diff(found: FitDiff, *, json: bool, csv: bool, latex: bool) -> None:
    """``--diff``."""
    if json:
        emit_json({**asdict(found), "sentences": [tell(pair) for pair in found.pairs]})
        return
    single = len(found.pairs) == 1
    if csv or latex:
        columns, rows = (POINTS, list_points(found.pairs[0])) if single else (PAIRS, list_pairs(found.pairs))
        emit_table(columns, rows, csv=csv, latex=latex)
        return
    print_wrapped(f"first:  {found.name_a}")
    print_wrapped(f"second: {found.name_b}")
    print()
    if single:
        print_pair(found.pairs[0])
    else:
        emit_table(PAIRS, list_pairs(found.pairs), title="Laws of both; moved: parameters whose intervals do not meet")
        print()
        for sentence in dict.fromkeys(sentence for pair in found.pairs for sentence in tell_settings(pair)):
            print_wrapped(sentence, bullet="- ")
        print_wrapped("One law in detail: --form NAME --role target.", bullet="- ")
    for words, names in (("first", found.only_a), ("second", found.only_b)):
        if names:
            print_wrapped(f"Only in the {words}: {', '.join(names)}.", bullet="- ")


def print_pair(pair: FitPair) -> None:
    """One law in detail."""
    anchored = f" + {pair.anchors} anchors" if pair.anchors else ""
    print_wrapped(f"{pair.form}{anchored}, {pair.role} loss")
    for sentence in tell(pair):
        print_wrapped(sentence, bullet="- ")
    if pair.is_same:
        return
    print()
    emit_table(PARAMETERS, list_parameters(pair), title="Parameters")
    print()
    emit_table(SCORES, list_scores(pair), title="Scores on held-out points")
    points = list_points(pair)
    if points:
        print()
        emit_table(POINTS, points[:MOST_POINTS], title="Points that differ")
    if len(points) > MOST_POINTS:
        print(f"and {len(points) - MOST_POINTS} more (--csv)")


def tell(pair: FitPair) -> list[str]:
    """What changed, in sentences."""
    from odyssey_tui.services.fit_diff import tell_pair

    return tell_pair(pair)


def tell_settings(pair: FitPair) -> list[str]:
    """What is the same for all laws of a run: settings and code, and whether scores can be compared."""
    first, *others = tell(pair)
    return [first] if pair.is_same else [sentence for sentence in others if not sentence.startswith("Intervals")]


def list_pairs(pairs: Sequence[FitPair]) -> list[dict[str, Any]]:
    """A row for each law."""
    rows = []
    for pair in pairs:
        scores = {name: (a, b) for name, a, b in pair.scores}
        rows.append(
            {
                **{name: getattr(pair, name) for name in ("role", "form", "anchors", "n_a", "n_b")},
                **{what: pair.count(what) for what in ("added", "removed", "changed", "moved")},
                "mape_a": scores["mape"][0],
                "mape_b": scores["mape"][1],
                "apart": ", ".join(one.name for one in pair.parameters if one.apart) or None,
            }
        )
    return rows


def list_parameters(pair: FitPair) -> list[dict[str, Any]]:
    """A row for each parameter of either."""
    rows = []
    for change in pair.parameters:
        row: dict[str, Any] = {"name": change.name, "note": "apart" if change.apart else ""}
        for side, one in (("a", change.a), ("b", change.b)):
            row[f"value_{side}"] = None if one is None else one.value
            row[f"interval_{side}"] = None if one is None or one.low is None else f"{one.low:.4g} … {one.high:.4g}"
        rows.append(row)
    return rows


def list_scores(pair: FitPair) -> list[dict[str, Any]]:
    """A row for each score."""
    return [
        {"name": name, "a": a, "b": b, "change": None if a is None or b is None else b - a}
        for name, a, b in pair.scores
        if a is not None or b is not None
    ]


def list_points(pair: FitPair) -> list[dict[str, Any]]:
    """A row for each point that differs."""
    return [asdict(change) for change in pair.points]
