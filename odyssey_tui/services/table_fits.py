"""Fits of a table's points, made by a process of their own: no workspace, nothing stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from engine.laws.errors import LawError
from odyssey_tui.services.asking import Hear, ask
from odyssey_tui.services.point_tables import LoadedPoints

if TYPE_CHECKING:
    from engine.laws.anchors import Choice
    from engine.laws.crossval import FoldAxis
    from engine.laws.form import Role


SAME_AS = {
    "share": ("replay_ratio", "share"),
    "replay_ratio": ("replay_ratio", "share"),
    "adapt_tokens": ("atpp", "adapt_tokens"),
    "ptpp": ("ptpp", "pretrain_tokens"),
}
"""Quantities that follow from either of two columns."""


@dataclass(frozen=True)
class TableOptions:
    """How to fit."""

    role: Role = "target"
    delta: float = 1e-3
    starts: int = 500
    bootstrap: int = 1000
    seed: int = 0
    anchors: tuple[int, ...] = ()
    """Numbers of held-out points that join further fits."""
    anchor_choice: Choice = "cheapest"
    anchor_weight: float = 1.0
    level: float = 0.9


def fit_table(
    points: LoadedPoints,
    forms: Sequence[str],
    options: TableOptions,
    hear: Hear,
    *,
    draws: bool = False,
    only_best: bool = False,
    cross_validate: FoldAxis | Literal["", "auto"] = "",
) -> dict[str, Any]:
    """What ``engine.laws.standalone.fit_all`` answers; errors and ``hear`` as of ``asking.ask``."""
    from engine.laws.request import FitRequest

    read = tuple(read_form(form) for form in dict.fromkeys(forms))
    require_columns(points, read)
    request = FitRequest(
        points.columns,
        read,
        **vars(options),
        cross_validate=cross_validate,
        only_best=only_best,
        draws=draws,
    )
    return ask(
        "engine.laws.standalone",
        request.text(),
        hear,
        noun="fit",
        killed_hint="Lower --starts or --bootstrap, or fit one form at a time.",
    )


def require_columns(points: LoadedPoints, forms: Sequence[str | dict[str, Any]]) -> None:
    """Refuse forms of one name, and forms all of which read a quantity of which the table has no value at all.

    Raises LawError naming the quantity, its symbol, and the column that is called most like it.
    """
    from engine.importers.columns import nearest_column
    from engine.laws.expression import VARIABLES
    from engine.laws.forms import form_of

    known = [form_of(form) for form in forms]
    names = [form.name for form in known]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise LawError(f"Two forms are called {double!r}.", "Give one another name: name: … in its file.")
    empty = {name for name, values in points.columns.items() if all(value is None for value in values)}
    lacking = [[name for name in form.needs if name in empty] for form in known if not form.describes_pretraining]
    if len(lacking) < len(known) or not all(lacking):
        return
    quantity = lacking[0][0]
    symbol = next((symbol for symbol, column in VARIABLES.items() if column == quantity), quantity)
    near = ((one, nearest_column(one, points.unused)) for one in SAME_AS.get(quantity, (quantity,)))
    hint = next((f"If it is {column!r}: --map {one}={column}." for one, column in near if column), "")
    raise LawError(
        f"{known[0].name} reads {symbol} ({quantity}), and no row has it.",
        hint or f"Add a column {' or '.join(SAME_AS.get(quantity, (quantity,)))}, or fit another form.",
    )


def read_form(name: str) -> str | dict[str, Any]:
    """The name of a form of the registry, or the content of a form's YAML file.

    Raises ConfigError for a file that cannot be read, and LawError for a form that is not there or makes no sense.
    """
    from engine.laws.forms import form_of
    from engine.spec.load_law import SUFFIXES, load_law_form

    if not name.lower().endswith(SUFFIXES):
        form_of(name)
        return name
    definition = load_law_form(name)
    try:
        form_of(definition)
    except LawError as error:
        raise LawError(f"{name}: {error.message}", error.hint) from error
    return definition.content()


def rank(fits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fewest anchors first; the lowest error on held-out points first, else the lowest objective."""

    def key(fit: dict[str, Any]) -> tuple[int, bool, float]:
        error = fit["scores"].get("mape")
        return fit["anchors"], error is None, fit["objective"] if error is None else error

    return sorted(fits, key=key)


def score_rows(fits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per fit for the table of scores, dcpt moved by the zero-shot loss beside dcpt."""
    rows = []
    for fit in rank(fits):
        scores = fit["scores"]
        facts = {
            "n_fitted": fit["n_points"],
            "training_mape": scores["training"]["mape"],
            "objective": fit["objective"],
            "agreeing": fit["starts_agreeing"] / fit["starts_followed"],
            "aicc": fit["aicc"],
            "condition": fit["condition"],
            "at_bound": ", ".join(fit["at_bound"]),
        }
        rows.append({"form": fit["form"], **{k: v for k, v in scores.items() if not isinstance(v, dict)}, **facts})
        if scores.get("l0_shift"):
            rows.append(
                {
                    "form": f"{fit['form']} + L0 shift",
                    "anchors": fit["anchors"],
                    "saw": "its zero-shot loss",
                    **scores["l0_shift"],
                }
            )
    return rows
