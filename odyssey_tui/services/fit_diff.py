"""What changed between two stored fits: points, exclusions, settings, code, parameters, scores."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.laws.errors import LawError
from odyssey_tui.services.fit_news import SAME_LOSS
from odyssey_tui.services.fit_words import ParameterRow, list_parameters
from odyssey_tui.services.stored_laws import anchors_of, choose_family, list_families, listed, read_law

if TYPE_CHECKING:
    from odyssey_tui.services.stored_laws import Family
    from store.database import Connection
    from store.queries.fits import FitPoint, FitRow
    from store.workspace import Workspace

SCORES = ("mape", "mae_rel_sum", "rmse", "slope", "intercept", "r2", "huber_log")
SETTINGS: Mapping[str, str] = {
    "starts": "starts",
    "bootstrap": "bootstrap refits",
    "seed": "seed",
    "forms": "laws",
}
"""Of the fit runs' jobs, what is told when it differs besides what every fit stores."""
COMPARED = ("n_params", "ptpp", "adapt_tokens", "replay_ratio", "loss", "zero_shot_loss", "weight")
SHORT_ID = 8
"""Characters of a fit's identifier from which on it may be named by how it begins."""


@dataclass(frozen=True)
class PointChange:
    """One point that is not the same in both; None where it is not there."""

    what: str
    """``added``, ``removed``, ``changed``, ``moved`` (to another split)."""
    run_id: str
    adapt_tokens: int | None
    split_a: str | None
    split_b: str | None
    loss_a: float | None
    loss_b: float | None
    reason: str
    """Why it is left out, or what changed."""


@dataclass(frozen=True)
class ParameterChange:
    """One parameter in both fits; ``apart``: whether the intervals of the refits do not meet."""

    name: str
    a: ParameterRow | None
    b: ParameterRow | None
    apart: bool


@dataclass(frozen=True)
class FitPair:
    """Two fits of one law (or of two, where they were named one by one)."""

    role: str
    form: str
    anchors: int
    fit_a: str
    fit_b: str
    n_a: int
    n_b: int
    points: tuple[PointChange, ...]
    excluded: tuple[tuple[str, int, int], ...]
    """(reason, how many in the first, in the second), where they differ."""
    settings: tuple[tuple[str, str, str], ...]
    """(name, in the first, in the second), where they differ."""
    parameters: tuple[ParameterChange, ...]
    scores: tuple[tuple[str, float | None, float | None], ...]
    same_held_out: bool
    """Whether both are scored on the same points with the same losses."""

    def count(self, what: str) -> int:
        """How many points were added, removed, changed or moved."""
        return sum(change.what == what for change in self.points)

    @property
    def is_same(self) -> bool:
        """Whether nothing differs but when they were made."""
        same = all(one.a is not None and one.b is not None and one.a.value == one.b.value for one in self.parameters)
        return same and not (self.points or self.excluded or self.settings)


@dataclass(frozen=True)
class FitDiff:
    """Two fit runs, or two fits, side by side."""

    name_a: str
    name_b: str
    pairs: tuple[FitPair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def diff_fits(
    workspace: Workspace,
    a: str,
    b: str,
    *,
    domain: str | None = None,
    roles: Collection[str] = (),
    forms: Collection[str] = (),
    anchors: Collection[int] = (),
) -> FitDiff:
    """Compare two fit runs law by law, or two single fits.

    A name is a fit run (its place among the fits of ``domain``, its identifier or how that begins) or the identifier of
    one fit. ``roles``, ``forms`` and ``anchors`` choose among the laws of runs. Raises LawError for names that mean
    nothing, and where nothing is left to compare.
    """
    from store.database import lease

    with lease(workspace) as con:
        sides = [find_side(con, name, domain) for name in (a, b)]
        chosen = [
            {
                (fit.role, fit.form, anchors_of(fit)): fit
                for fit in side.fits
                if (not roles or fit.role in roles)
                and (not forms or fit.form in forms)
                and (not anchors or anchors_of(fit) in anchors)
            }
            for side in sides
        ]
        first, second = chosen
        single = all(len(found) == 1 for found in chosen)
        keys = list(zip(first, second, strict=True)) if single else [(key, key) for key in first if key in second]
        if not keys:
            names = "; ".join(
                f"{name}: {', '.join(name_key(k) for k in found) or 'none'}"
                for name, found in zip((a, b), chosen, strict=True)
            )
            raise LawError("The two have no law in common to compare.", names)
        pairs = tuple(compare(con, first[one], second[other]) for one, other in keys)
    matched = {key for pair in keys for key in pair}
    only = [tuple(name_key(key) for key in found if key not in matched) for found in chosen]
    return FitDiff(sides[0].name, sides[1].name, pairs, *only)


@dataclass(frozen=True)
class Side:
    """What one name stands for."""

    name: str
    fits: tuple[FitRow, ...]


def find_side(con: Connection, name: str, domain: str | None) -> Side:
    """The fits of a run, or one fit."""
    from store.queries.fits import list_fits

    everything = list_fits(con)
    if not everything:
        raise LawError("No law has been fitted in this workspace yet.", "`odyssey fit` fits what has been measured.")
    single = [fit for fit in everything if fit.fit_id == name]
    single = single or [fit for fit in everything if len(name) >= SHORT_ID and fit.fit_id.startswith(name)]
    if len(single) == 1:
        return Side(f"{single[0].run_id} ({single[0].fit_id})", (single[0],))
    runs = {fit.run_id: fit.domain for fit in everything if fit.run_id and fit.run_id.startswith(name)}
    exact = runs.get(name)
    # A run says its domain itself; a place in the list counts within one.
    of_domain = domain or exact or next(iter(runs.values()), None)
    family: Family = choose_family(list_families(con, of_domain, None), name)
    return Side(family.run_id or name, family.fits)


def name_key(key: tuple[str, str, int]) -> str:
    """``target dcpt + 20 anchors``."""
    role, form, anchors = key
    return f"{role} {form}{f' + {anchors} anchors' if anchors else ''}"


def compare(con: Connection, a: FitRow, b: FitRow) -> FitPair:
    """Everything about two fits."""
    (law_a, points_a, _), (law_b, points_b, _) = (read_law(con, fit, {}) for fit in (a, b))
    rows = [{row.name: row for row in list_parameters(fit, law)} for fit, law in ((a, law_a), (b, law_b))]
    names = dict.fromkeys((*rows[0], *rows[1]))
    held_out = [
        sorted(
            (point.run_id or "", point.adapt_tokens or 0, round(point.loss, 6))
            for point in points
            if point.split == "score"
        )
        for points in (points_a, points_b)
    ]
    return FitPair(
        a.role if a.role == b.role else f"{a.role} | {b.role}",
        a.form if a.form == b.form else f"{a.form} | {b.form}",
        anchors_of(b),
        a.fit_id,
        b.fit_id,
        a.n_points or 0,
        b.n_points or 0,
        compare_points(points_a, points_b),
        compare_exclusions(points_a, points_b),
        compare_settings(con, a, b),
        tuple(compare_parameter(name, rows[0].get(name), rows[1].get(name)) for name in names),
        tuple((name, a.scores.get(name), b.scores.get(name)) for name in SCORES),
        bool(held_out[0]) and held_out[0] == held_out[1],
    )


def compare_points(a: Sequence[FitPoint], b: Sequence[FitPoint]) -> tuple[PointChange, ...]:
    """Points of either fit that the other lacks, has in another split or with other numbers; excluded ones count as
    not there, with the reason."""
    first, second = index_points(a), index_points(b)
    changes = []
    for key in dict.fromkeys((*first, *second)):
        one, other = first.get(key), second.get(key)
        in_a, in_b = (point is not None and point.split != "excluded" for point in (one, other))
        if not in_a and not in_b:
            continue
        if not in_a or not in_b:
            gone = one if not in_a else other
            reason = gone.reason or "left out" if gone is not None else ""
            changes.append(make_change("added" if in_b else "removed", key, one, other, reason))
            continue
        assert one is not None
        assert other is not None
        if differing := [name for name in COMPARED if differs(getattr(one, name), getattr(other, name))]:
            changes.append(make_change("changed", key, one, other, ", ".join(differing)))
        elif one.split != other.split:
            changes.append(make_change("moved", key, one, other, f"{one.split} → {other.split}"))
    return tuple(changes)


Key = tuple[str, int | None, int]


def index_points(points: Sequence[FitPoint]) -> dict[Key, FitPoint]:
    """Points by run and tokens; the same state on another evaluation set gets the next number."""
    numbers: dict[tuple[str, int | None], int] = defaultdict(int)
    found: dict[Key, FitPoint] = {}
    # Those in use come first, so that a state keeps its number whatever else it was evaluated on.
    for point in sorted(points, key=lambda point: point.split == "excluded"):
        place = (point.run_id or "", point.adapt_tokens)
        found[(*place, numbers[place])] = point
        numbers[place] += 1
    return found


def make_change(what: str, key: Key, a: FitPoint | None, b: FitPoint | None, reason: str) -> PointChange:
    """A row of the table of points."""
    splits, losses = ([getattr(p, name) if p is not None else None for p in (a, b)] for name in ("split", "loss"))
    return PointChange(what, key[0], key[1], *splits, *losses, reason)


def differs(a: float | None, b: float | None) -> bool:
    """Whether two numbers are not the same measurement."""
    if a is None or b is None:
        return a is not b
    return abs(a - b) > max(SAME_LOSS, 1e-9 * abs(a))


def compare_exclusions(a: Sequence[FitPoint], b: Sequence[FitPoint]) -> tuple[tuple[str, int, int], ...]:
    """How many points each leaves out for which reason, where that differs."""
    counts = [Counter(point.reason or "–" for point in points if point.split == "excluded") for points in (a, b)]
    reasons = sorted({*counts[0], *counts[1]})
    return tuple(
        (reason, counts[0][reason], counts[1][reason]) for reason in reasons if counts[0][reason] != counts[1][reason]
    )


def compare_settings(con: Connection, a: FitRow, b: FitRow) -> tuple[tuple[str, str, str], ...]:
    """What the fits were asked to do otherwise, and by which code."""
    own: list[dict[str, Any]] = [
        {
            "fitted P": listed(fit.fit_ptpp),
            "scored P": listed(fit.score_ptpp),
            "anchors": anchors_of(fit),
            "δ": fit.delta,
            "P0": None if fit.P0 is None else float(f"{fit.P0:.6g}"),
            "definition": fit.definition,
            "code": fit.code_version,
        }
        for fit in (a, b)
    ]
    asked = [read_settings(con, fit.run_id) for fit in (a, b)]
    if all(asked):  # of a run that is gone nobody knows what it was asked
        own = [{**stored, **settings} for stored, settings in zip(own, asked, strict=True)]
    return tuple(
        (name, *("–" if side.get(name) is None else str(side[name]) for side in own))
        for name in dict.fromkeys((*own[0], *own[1]))
        if own[0].get(name) != own[1].get(name)
    )


def read_settings(con: Connection, run_id: str | None) -> dict[str, Any]:
    """What a fit run's specification says of how to fit; nothing where there is none."""
    from store.queries.runs import read_spec

    spec = read_spec(con, run_id) if run_id else {}
    job = {**spec["job"], "seed": spec.get("seed", 0)} if spec else {}
    found = {words: job[name] for name, words in SETTINGS.items() if name in job}
    return {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in found.items()}


def compare_parameter(name: str, a: ParameterRow | None, b: ParameterRow | None) -> ParameterChange:
    """One parameter."""
    apart = False
    if a is not None and b is not None and None not in (a.low, a.high, b.low, b.high):
        apart = a.high < b.low or b.high < a.low  # type: ignore[operator]
    return ParameterChange(name, a, b, apart)


def tell_pair(pair: FitPair) -> list[str]:
    """What changed, in sentences."""
    if pair.is_same:
        return ["The two fits are the same: points, settings, code and parameters."]
    counts = {what: pair.count(what) for what in ("added", "removed", "changed", "moved")}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    sentences = [f"Points: {pair.n_a} → {pair.n_b} fitted; {told or 'none added, removed or changed'}."]
    sentences += [f"Left out: {a} → {b} points: {reason}." for reason, a, b in pair.excluded]
    sentences += [f"{name[0].upper()}{name[1:]}: {a} → {b}." for name, a, b in pair.settings]
    apart = [one.name for one in pair.parameters if one.apart]
    if apart:
        sentences.append(f"Intervals that do not meet: {', '.join(apart)}.")
    if not pair.same_held_out:
        sentences.append("They are scored on different points, so their scores are not compared like with like.")
    return sentences
