"""Which column of a table is which quantity, and whether its values can be that quantity."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from store.errors import ConfigError
from store.names import suggest

SYNONYMS: dict[str, tuple[str, ...]] = {
    "loss": ("L", "nll", "eval_loss", "test_loss", "adapted_loss"),
    "n_params": ("N", "params", "parameters", "n_parameters"),
    "ptpp": ("P", "tokens_per_parameter", "tokens_per_param", "tok_per_param"),
    "adapt_tokens": ("D", "adaptation_tokens", "adapted_tokens"),
    "atpp": ("A",),
    "tokens_seen": ("tokens", "train_tokens", "training_tokens", "pretraining_tokens", "pretrain_tokens"),
    "replay_ratio": ("rho", "ρ", "replay"),
    "zero_shot_loss": ("L0", "zero_shot", "loss_before", "base_model_loss"),
    "base_epochs": (),
    "target_epochs": (),
    "replay_epochs": (),
    "role": (),
    "domain": (),
    "method": (),
    "size": ("model_size",),
    "seed": (),
    "eval_set": ("eval_set_id",),
    "run": ("run_id", "run_name", "trajectory"),
}
"""Quantities of a point and what else their columns are called, in whatever case."""
EPOCHS = ("base_epochs", "target_epochs", "replay_epochs")
"""How often a text was read: the base text before adaptation, the domain's and the base text in it."""
NEGATIVE_EPOCHS: tuple[Callable[[Mapping[str, Any]], bool], str] = (
    lambda row: any((row.get(name) or 0.0) < 0 for name in EPOCHS),
    "its epochs are negative",
)
"""A fault of a point, whatever else its table tells."""
NUMBERS = frozenset(
    {"loss", "n_params", "ptpp", "adapt_tokens", "atpp", "tokens_seen", "replay_ratio", "zero_shot_loss", "seed"}
    | set(EPOCHS)
)
ROLES = ("target", "base", "other")
MOST_NATS = 20.0
"""Per token: a uniform guess among half a billion tokens."""
MOST_LISTED = 24
"""Columns, and characters of each, in a message."""
_PERCENT = re.compile(r"replay.*(percent|pct|%)|(percent|pct).*replay", re.IGNORECASE)


def choose_columns(
    names: Sequence[str],
    mapped: Mapping[str, str],
    where: str,
    quantities: Mapping[str, tuple[str, ...]] = SYNONYMS,
) -> dict[str, str]:
    """The column of each quantity that the table has: as ``mapped``, else of that name, else of a synonym.

    ``quantities``: what may be in the table, and synonyms of each.

    Raises ConfigError (``where`` names the file) for a column that is not there, two that claim the same quantity, a
    percentage, and a table without losses or sizes.
    """
    chosen: dict[str, str] = {}
    for written, column in mapped.items():
        quantity = next((one for one, synonyms in quantities.items() if written in synonyms), written)
        if quantity not in quantities:
            raise ConfigError(
                f"--map {quantity}={column}: a point has no {quantity!r}",
                suggest(quantity, quantities, f"It has {', '.join(quantities)}."),
            )
        if column not in names:
            raise ConfigError(f"{where}: there is no column {column!r}", suggest(column, names, list_columns(names)))
        taken = next((other for other, of_other in chosen.items() if other == quantity or of_other == column), None)
        if taken is not None:
            both = f"{quantity} is to be both {chosen[taken]!r} and {column!r}"
            one = f"{column!r} is to be both {taken} and {quantity}"
            raise ConfigError(
                f"--map: {both if taken == quantity else one}", "A column is one quantity; give one of them."
            )
        chosen[quantity] = column
    free = [name for name in names if name not in chosen.values()]
    for quantity, synonyms in quantities.items():
        if quantity in chosen:
            continue
        exact = [name for name in free if name.strip().lower() == quantity]
        others = [name for name in free if name.strip().lower() in {synonym.lower() for synonym in synonyms}]
        found = exact or others
        if len(found) > 1 and len(set(found)) < len(found):
            raise ConfigError(f"{where}: several columns are called {found[0]!r}", "Give each a name of its own.")
        if len(found) > 1:
            raise ConfigError(
                f"{where}: {' and '.join(map(repr, found))} may both be {quantity}",
                f"Say which: --map '{quantity}={found[0]}'",
            )
        if found:
            chosen[quantity] = found[0]
    percent = [name for name in free if _PERCENT.search(name)]
    if percent and "replay_ratio" not in chosen:
        raise ConfigError(
            f"{where}: {percent[0]!r} is a percentage; a replay ratio is a share from 0 to 1",
            "Divide it by 100 and call the column replay_ratio.",
        )
    for needed in ("loss", "n_params"):
        if needed not in chosen:
            left = [name for name in names if name not in chosen.values()]
            raise ConfigError(
                f"{where}: no column is the {_SAID[needed]}",
                f"Say which: --map '{needed}={nearest_column(needed, left) or 'COLUMN'}' ({list_columns(names)})",
            )
    return chosen


def nearest_column(quantity: str, names: Sequence[str]) -> str | None:
    """The column that is called most like a quantity; None where none resembles it."""
    import difflib

    close = difflib.get_close_matches(quantity, [name.lower() for name in names], n=1, cutoff=0.5)
    part = quantity.split("_")[-1][:4]
    return next((name for name in names if name.lower() in close or part in name.lower()), None)


def list_columns(names: Sequence[str]) -> str:
    """The columns there are, the first of many."""
    more = f", … ({len(names)} in all)" if len(names) > MOST_LISTED else ""
    listed = ", ".join(name if len(name) <= MOST_LISTED else f"{name[:MOST_LISTED]}…" for name in names[:MOST_LISTED])
    return f"Columns: {listed}{more}."


_SAID = {"loss": "loss", "n_params": "number of parameters N"}


def require_meaning(
    rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, str], mapped: Mapping[str, str], where: str
) -> None:
    """Refuse a whole column that cannot be what it is taken for: a ratio above 1, a D that is pretraining's.

    ``rows`` hold what ``read_number`` made of the values, None where it made nothing.
    """
    ratios = [row["replay_ratio"] for row in rows if row.get("replay_ratio") is not None]
    if ratios and max(ratios) > 1:
        raise ConfigError(
            f"{where}: {chosen['replay_ratio']!r} goes up to {max(ratios):g}; a replay ratio is a share from 0 to 1",
            "If it is a percentage, divide it by 100.",
        )
    if "adapt_tokens" not in chosen or "adapt_tokens" in mapped or chosen["adapt_tokens"].lower() != "d":
        return
    if {"replay_ratio", "zero_shot_loss", "atpp"} & chosen.keys():
        return
    pretraining = bool(rows) and all(
        row["adapt_tokens"]
        and row.get("n_params")
        and row.get("ptpp")
        and math.isclose(row["adapt_tokens"], row["n_params"] * row["ptpp"], rel_tol=0.01)
        for row in rows
    )
    if pretraining or "ptpp" not in chosen:
        column = chosen["adapt_tokens"]
        why = "it is N·P in every row, so pretraining's" if pretraining else "nothing says of which training"
        raise ConfigError(
            f"{where}: {column!r} may be tokens of pretraining or of adaptation ({why})",
            f"Say which: --map tokens_seen={column} or --map adapt_tokens={column}",
        )


def read_number(value: Any) -> float | None:
    """A number as a table has it; None for an empty cell. Raises ValueError for anything else."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = float(value)
    if not math.isfinite(number):
        if isinstance(value, str) or math.isinf(number):
            raise ValueError("not finite")
        return None
    return number


def fault_of(row: Mapping[str, Any]) -> str:
    """Why a row is no point; empty when it is one."""
    return next((reason for test, reason in _FAULTS if test(row)), "")


def _over(name: str, least: float = 0.0) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row.get(name) is not None and row[name] <= least


_FAULTS: tuple[tuple[Callable[[Mapping[str, Any]], bool], str], ...] = (
    (lambda row: row.get("loss") is None, "it has no loss"),
    (lambda row: row.get("n_params") is None, "it has no number of parameters"),
    (_over("loss"), "its loss is not positive"),
    (_over("zero_shot_loss"), "its zero-shot loss is not positive"),
    (
        lambda row: max(row["loss"], row.get("zero_shot_loss") or 0.0) > MOST_NATS,
        f"its loss is above {MOST_NATS:g}: losses are in nats per token",
    ),
    (lambda row: row["n_params"] < 1 or row["n_params"] != int(row["n_params"]), "N is not a whole number above 0"),
    (_over("ptpp"), "P is not positive"),
    (_over("tokens_seen"), "the tokens of pretraining are not positive"),
    (
        lambda row: 0 in (row.get("adapt_tokens"), row.get("atpp")),
        "D is 0: a loss before adaptation is the zero_shot_loss of other rows",
    ),
    (lambda row: min(row.get("adapt_tokens") or 1, row.get("atpp") or 1) < 0, "D is negative"),
    (lambda row: row.get("replay_ratio") is not None and row["replay_ratio"] < 0, "its replay ratio is negative"),
    NEGATIVE_EPOCHS,
    (lambda row: (row.get("role") or "target") not in ROLES, f"its role is none of {', '.join(ROLES)}"),
    (
        lambda row: (
            row.get("adapt_tokens") is not None
            and row.get("atpp") is not None
            and not math.isclose(row["adapt_tokens"], row["atpp"] * row["n_params"], rel_tol=0.05)
        ),
        "D is not A·N",
    ),
    (
        lambda row: all(row.get(name) is None for name in ("adapt_tokens", "atpp", "tokens_seen", "ptpp")),
        "it has neither tokens of adaptation (D, A) nor of pretraining (tokens_seen, P)",
    ),
)
