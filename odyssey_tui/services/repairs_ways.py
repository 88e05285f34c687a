"""Ways to adapt: which there are, what each does otherwise than plain fine-tuning, and which one is plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from odyssey_tui.services.matrix_cells import AXES, LAST_RESORT, PLAIN, PLAIN_WORDS, ROWS, Key, label_rows
from store.errors import ConfigError

FREED = ROWS["repair"]
"""The axes in which ways differ."""
REFERENCE = "the reference"
"""What others are compared with, where it is not plain fine-tuning."""
FIELDS: Mapping[str, type] = {
    "variant": str,
    "newlines": str,
    "method": str,
    "rank": float,
    "lr": float,
    "replay": float,
    "alpha": float,
}
"""What ``--plain`` may name."""


def ways_of(key: Key) -> dict[str, Any]:
    """A key under the names of FIELDS."""
    values = dict(zip(FREED, key, strict=True))
    method, rank = values["method"]
    return {
        "variant": values["variant"],
        "newlines": values["newlines"],
        "method": method,
        "rank": rank,
        "lr": values["lr"],
        "replay": values["replay_ratio"],
        "alpha": values["alpha"],
    }


def label_ways(keys: Sequence[Key], reference: Key | None) -> dict[Key, str]:
    """What each way does otherwise than ``reference``, which is plain; without one what tells the ways apart."""
    if reference is None:
        return label_rows(keys, FREED)

    def words(key: Key, axes: Sequence[str]) -> str:
        values = zip(FREED, key, reference, strict=True)
        parts = [difference_words(name, value) for name, value, other in values if name in axes and value != other]
        return ", ".join(parts) or name_reference(reference)

    told = [name for name in FREED if name not in LAST_RESORT]
    labels = {key: words(key, told) for key in keys}
    if len(set(labels.values())) < len(labels):
        labels = {key: words(key, FREED) for key in keys}
    return labels


def difference_words(name: str, value: Any) -> str:
    """A value that another way has otherwise: ``kl``, ``newlines kept``, ``replay 0.25``, ``trained``."""
    if name == "newlines":
        return f"newlines {'stripped' if value == 'strip' else 'kept'}"
    return AXES[name].words(value) or PLAIN_WORDS.get(name, lambda _: "")(value) or f"no {name.replace('_', ' ')}"


def words_of_way(key: Key) -> str:
    """``kl, full, lr 0.001, replay 0``."""
    told = [(name, value) for name, value in zip(FREED, key, strict=True) if name not in LAST_RESORT]
    return ", ".join(word for name, value in told if (word := AXES[name].words(value)))


def name_reference(key: Key) -> str:
    """``plain``, or ``the reference`` where what others are compared with is something else."""
    return PLAIN if is_plain(key) else REFERENCE


def is_plain(key: Key) -> bool:
    """Trained weights of full fine-tuning, without variant, replay or stripped newlines."""
    ways = ways_of(key)
    odd = ways["variant"] is not None or ways["newlines"] != "keep" or ways["alpha"] is not None
    return not odd and ways["method"] in ("full", None) and not ways["replay"]


def find_plain(
    keys: Sequence[Key], seeds: Mapping[Key, int], accepts: Callable[[Mapping[str, Any]], bool] | None
) -> Key | None:
    """What the others are compared with: the one that ``accepts`` picks, else the plain one with the rate that most
    ways share; None where none is plain. ``seeds``: how many results each has."""
    if accepts is not None:
        meant = [key for key in keys if accepts(ways_of(key))]
        if len(meant) != 1:
            labels = label_rows(keys, FREED)
            listed = "; ".join(labels[key] for key in (meant or keys))
            problem = f"fits {len(meant)} of the ways to adapt, and must fit one"
            raise ConfigError(f"--plain {problem}", f"{'It fits' if meant else 'There are'}: {listed}.")
        return meant[0]
    rates = Counter(ways_of(key)["lr"] for key in keys)

    def rank(key: Key) -> tuple[float, ...]:
        rate = ways_of(key)["lr"]
        return rates[rate], seeds[key], -(rate or 0.0)

    return max((key for key in keys if is_plain(key) and seeds[key]), key=rank, default=None)
