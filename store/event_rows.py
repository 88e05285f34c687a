"""Which event fills which table: the columns of each, how a field becomes a value, and what identifies a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Convert = Callable[[Any], Any]


def text(value: Any) -> str:
    """Lists are joined, so that a field may hold one name or several."""
    return ", ".join(map(text, value)) if isinstance(value, list | tuple) else str(value)


def whole(value: Any) -> int:
    number = int(value)
    if number != float(value):
        raise ValueError(f"{value!r} is not a whole number")
    return number


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def canonical(value: Any) -> str:
    """JSON with sorted keys: equal values are equal texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def texts(value: Any) -> list[str]:
    return [text(item) for item in value]


def numbers(value: Any) -> list[float]:
    return [float(item) for item in value]


@dataclass(frozen=True)
class Target:
    """The table an event goes to. With a ``key`` a later event updates the row, keeping what it does not mention."""

    table: str
    columns: Mapping[str, Convert]
    key: tuple[str, ...] = ()
    placed: tuple[str, ...] = ("run_id", "attempt", "seq", "t")
    """Columns that say where the event stood."""

    def row(self, event: Mapping[str, Any], place: Mapping[str, Any]) -> dict[str, Any]:
        """The event as a row; ``ValueError`` names the field that does not fit, or a part of the key that is missing."""
        row = {name: place[name] for name in self.placed}
        for name, convert in self.columns.items():
            value = event.get(name)
            try:
                row[name] = None if value is None else convert(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"field {name!r}: {error}") from error
        return row


def _columns(**groups: str) -> dict[str, Convert]:
    """Columns from names grouped by type, e.g. ``_columns(text="a b", whole="n")``."""
    converters: dict[str, Convert] = {
        "text": text,
        "whole": whole,
        "number": float,
        "flag": flag,
        "canonical": canonical,
        "texts": texts,
        "numbers": numbers,
    }
    return {name: converters[kind] for kind, names in groups.items() for name in names.split()}


TARGETS: dict[str, Target] = {
    "corpus": Target(
        "corpora",
        _columns(
            text="corpus_key name source fingerprint",
            whole="n_documents n_groups duplicates",
            canonical="bytes tokens",
        ),
        key=("corpus_key",),
        placed=(),
    ),
    "tokenizer": Target(
        "tokenizers",
        _columns(text="tokenizer_id source", whole="vocab_size"),
        key=("tokenizer_id",),
        placed=(),
    ),
    "eval_set": Target(
        "eval_sets",
        _columns(
            text="eval_set_id name role tokenizer_id split fingerprint",
            whole="n_tokens n_bytes n_documents",
        ),
        key=("eval_set_id",),
        placed=(),
    ),
    "model": Target(
        "models",
        _columns(
            text="model_id run_id source revision path tokenizer_id parent domain method",
            whole="n_params n_params_non_embedding tokens_seen adapt_tokens n_params_trained",
            number="ptpp atpp replay_ratio",
            flag="annealed",
        ),
        key=("model_id",),
        placed=(),
    ),
    "mixture": Target(
        "mixtures",
        _columns(
            number="replay_requested replay_realised target_epochs replay_epochs",
            whole="sequences target_tokens replay_tokens",
        ),
    ),
    "evaluation": Target(
        "evaluations",
        _columns(
            text="evaluation_id model_id eval_set_id role",
            whole="predicted n_bytes",
            number="sum_loss seconds",
            canonical="scheme",
        ),
        key=("evaluation_id",),
    ),
    "similarity": Target(
        "similarities",
        _columns(
            text="domain reference measure embedder encoder",
            number="value low high",
            whole="n_samples seed",
            flag="higher_is_closer",
        ),
        key=("run_id", "domain", "reference", "measure", "embedder", "encoder", "seed"),
    ),
    "fit": Target(
        "fits",
        _columns(
            text="fit_id form role domain code_version",
            canonical="params scores",
            number="objective condition delta P0 starts_agreeing",
            whole="n_points n_excluded n_params_distinct",
            texts="at_bound identifiability",
            numbers="fit_ptpp score_ptpp",
        ),
        key=("fit_id",),
    ),
    "checkpoint": Target("checkpoints", _columns(text="state", whole="tokens"), key=("run_id", "state")),
}


def metric_rows(event: Mapping[str, Any], place: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per named value of a ``metric`` event; ``ValueError`` when it holds no numbers."""
    values = event.get("values")
    if not isinstance(values, Mapping):
        raise ValueError("field 'values': not an object")
    try:
        shared = {
            **place,
            "step": None if event.get("step") is None else whole(event["step"]),
            "tokens": None if event.get("tokens") is None else whole(event["tokens"]),
            "branch": str(event.get("branch") or "trunk"),
        }
        return [{**shared, "name": name, "value": float(value)} for name, value in values.items() if value is not None]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a metric is not a number: {error}") from error
