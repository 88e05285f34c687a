"""Which event fills which table: the columns of each, how a field becomes a value, and what identifies a row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Convert = Callable[[Any], Any]


def text(value: Any) -> str:
    """Lists are joined, so that a field may hold one name or several; what UTF-8 cannot hold becomes ``?``."""
    joined = ", ".join(map(text, value)) if isinstance(value, list | tuple) else str(value)
    return joined.encode(errors="replace").decode()


def whole(value: Any) -> int:
    number = int(value)
    if number != float(value) or not -(2**63) <= number < 2**63:
        raise ValueError(f"{value!r} is not a whole number of 64 bits")
    return number


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def ordered(value: Any) -> str:
    """JSON in the order given; what JSON cannot say (NaN, infinities) is null."""
    try:
        return text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except ValueError:
        return text(json.dumps(_finite(value), ensure_ascii=False))


def canonical(value: Any) -> str:
    """JSON with sorted keys: equal values are equal texts."""
    return text(json.dumps(_finite(value), sort_keys=True, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


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
        """The event as a row; ``ValueError`` names the field that does not fit."""
        row = {name: place[name] for name in self.placed}
        for name, convert in self.columns.items():
            value = event.get(name)
            try:
                row[name] = None if value is None else convert(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"field {name!r}: {error}") from error
        return row


def columns_of(**groups: str) -> dict[str, Convert]:
    """Columns from names grouped by type, e.g. ``columns_of(text="a b", whole="n")``."""
    converters: dict[str, Convert] = {
        "text": text,
        "whole": whole,
        "number": float,
        "flag": flag,
        "ordered": ordered,
        "canonical": canonical,
        "texts": texts,
        "numbers": numbers,
    }
    return {name: converters[kind] for kind, names in groups.items() for name in names.split()}


TARGETS: dict[str, Target] = {
    "corpus": Target(
        "corpora",
        columns_of(
            text="corpus_key name source fingerprint",
            whole="n_documents n_groups duplicates",
            ordered="bytes tokens",
        ),
        key=("corpus_key",),
        placed=(),
    ),
    "tokenizer": Target(
        "tokenizers",
        columns_of(text="tokenizer_id source", whole="vocab_size"),
        key=("tokenizer_id",),
        placed=(),
    ),
    "eval_set": Target(
        "eval_sets",
        columns_of(
            text="eval_set_id name role tokenizer_id split fingerprint",
            whole="n_tokens n_bytes n_documents",
        ),
        key=("eval_set_id",),
        placed=(),
    ),
    "model": Target(
        "models",
        columns_of(
            text="model_id run_id source revision path tokenizer_id parent domain method",
            whole="n_params n_params_non_embedding tokens_seen adapt_tokens n_params_trained",
            number="ptpp atpp replay_ratio interpolation",
            flag="annealed",
        ),
        key=("model_id",),
        placed=(),
    ),
    "mixture": Target(
        "mixtures",
        columns_of(
            number="replay_requested replay_realised target_epochs replay_epochs",
            whole="sequences target_tokens replay_tokens",
        ),
    ),
    "evaluation": Target(
        "evaluations",
        columns_of(
            text="evaluation_id model_id eval_set_id role",
            whole="predicted n_bytes",
            number="sum_loss seconds canary_loss",
            canonical="scheme",
        ),
        key=("evaluation_id",),
    ),
    "drift": Target(
        "drifts",
        columns_of(
            text="drift_id model_before model_after evaluation_before evaluation_after eval_set_id role",
            whole="max_tokens positions predicted",
            number="loss_before loss_after loss_output loss_hidden hidden_drift hidden_cosine input_drift output_drift "
            "seconds",
            flag="tied",
            canonical="scheme",
        ),
        key=("drift_id",),
    ),
    "similarity": Target(
        "similarities",
        columns_of(
            text="domain reference measure embedder encoder",
            number="value low high",
            whole="n_samples seed",
            flag="higher_is_closer",
        ),
        key=("run_id", "domain", "reference", "measure", "embedder", "encoder", "seed"),
    ),
    "audit": Target(
        "audits",
        columns_of(
            text="audit_id pair_key domain newlines separator eval_set eval_set_id scored_join level "
            "tokenizer_id tokenizer",
            texts="corpus_keys",
            flag="own",
            ordered="train evaluation classes types overlap findings",
        ),
        key=("audit_id",),
    ),
    "fit": Target(
        "fits",
        columns_of(
            text="fit_id form role domain code_version",
            ordered="params scores",
            number="objective condition delta P0 starts_agreeing",
            whole="n_points n_excluded n_params_distinct",
            texts="at_bound identifiability",
            numbers="fit_ptpp score_ptpp",
        ),
        key=("fit_id",),
    ),
    "point": Target(
        "imported_points",
        columns_of(
            text="trajectory domain method size role eval_set place",
            whole="seed n_params tokens_seen adapt_tokens",
            number="ptpp atpp replay_ratio base_epochs target_epochs replay_epochs loss zero_shot_loss",
        ),
    ),
    "checkpoint": Target("checkpoints", columns_of(text="state", whole="tokens"), key=("run_id", "state")),
}

APPENDED = ("metrics", "warnings", *(target.table for target in TARGETS.values() if not target.key))
"""Tables to which every event adds a row: one that is read again would stand twice."""


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
            "branch": text(event.get("branch") or "trunk"),
        }
        return [
            {**shared, "name": text(name), "value": float(value)} for name, value in values.items() if value is not None
        ]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a metric is not a number: {error}") from error
