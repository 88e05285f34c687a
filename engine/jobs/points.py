"""Points for the laws, collected from the journals of runs: what the view ``adaptation_points`` says, without the
database.

A worker never opens the database, so it reads the ``model`` and ``evaluation`` events of the adapt runs and of their
base models' runs.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.jobs.imported import take_point
from engine.laws.forecast import share_of
from engine.laws.form import Role
from engine.laws.points import Points
from store.journal import read_events

if TYPE_CHECKING:
    from store.workspace import Workspace

EvaluationKey = tuple[str, str, str]
"""(model_id, eval_set_id, scheme as canonical JSON): what must agree for two losses to be compared."""


@dataclass
class Records:
    """``model`` events by model_id, ``evaluation`` events by what they measured and ``mixture`` events by run and
    tokens read, later attempts last."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    evaluations: dict[EvaluationKey, dict[str, Any]] = field(default_factory=dict)
    mixtures: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    def epochs(self, model: Mapping[str, Any], parent: Mapping[str, Any]) -> dict[str, float]:
        """How often the texts were read that an adapted state and the base state before it learnt from; NaN where
        nobody recorded it, as of published bases."""
        before = self.mixtures.get((str(parent.get("run_id")), int(parent.get("tokens_seen") or 0)), {})
        since = self.mixtures.get((str(model.get("run_id")), int(model.get("adapt_tokens") or 0)), model)
        return {
            "base_epochs": _number(before.get("replay_epochs", parent.get("base_epochs"))),
            "target_epochs": _number(since.get("target_epochs")),
            "replay_epochs": _number(since.get("replay_epochs")),
        }

    def loss(self, model_id: str, eval_set_id: str, scheme: str) -> float:
        """Mean loss in nats per predicted token; NaN where it was not measured."""
        event = self.evaluations.get((model_id, eval_set_id, scheme), {})
        total, predicted = event.get("sum_loss"), event.get("predicted")
        return float(total) / predicted if total is not None and predicted else math.nan


def read_records(workspace: Workspace, run_ids: Iterable[str]) -> Records:
    """The records of all attempts of ``run_ids``; runs without a journal add nothing."""
    records = Records()
    for run_id in run_ids:
        for attempt in workspace.run(run_id).attempts():
            for event in read_events(attempt.events)[0]:
                _take(records, run_id, event)
    return records


def _take(records: Records, run_id: str, event: dict[str, Any]) -> None:
    if event["event"] == "point":
        take_point(records.models, records.evaluations, run_id, event)
        return
    if event["event"] == "mixture":
        records.mixtures[run_id, event["target_tokens"] + event["replay_tokens"]] = event
    if not isinstance(event.get("model_id"), str):
        return
    if event["event"] == "model":
        known = records.models.setdefault(event["model_id"], {"run_id": run_id})
        known.update({name: value for name, value in event.items() if value is not None})
    elif event["event"] == "evaluation" and isinstance(event.get("eval_set_id"), str):
        key = (event["model_id"], event["eval_set_id"], canonical_scheme(event.get("scheme")))
        records.evaluations[key] = event


def canonical_scheme(scheme: Any) -> str:
    """The scheme as JSON with sorted keys, so that equal schemes are equal texts."""
    return json.dumps(scheme, sort_keys=True)


@dataclass(frozen=True)
class Sample:
    """The comparable points of one domain and role."""

    points: Points
    """Splits ``fit`` (to be refined by PTPP) and ``excluded`` with a reason."""
    eval_set_id: str
    scheme: str


def adaptation_sample(records: Records, domain: str, role: Role) -> Sample:
    """Every adapted state of ``domain`` evaluated on ``role``; empty when there is none.

    A law mixes neither adaptation methods nor evaluation sets nor schemes: the combination with the most points is
    kept, the others are excluded with their reason.
    """
    rows = [
        (model, event)
        for (model_id, _, _), event in records.evaluations.items()
        if (model := records.models.get(model_id))
        and model.get("parent")
        and (model.get("atpp") or 0) > 0
        # Weights between two states (WiSE-FT) are no point of a law of training.
        and model.get("interpolation") is None
        and model.get("domain") == domain
        and event.get("role") == role
    ]
    kinds = [
        (str(model.get("method")), event["eval_set_id"], canonical_scheme(event.get("scheme"))) for model, event in rows
    ]
    if not rows:
        return Sample(Points.from_columns({}, length=0), *_only_set(records, domain, role))
    kept = min(Counter(kinds).items(), key=lambda item: (-item[1], item[0]))[0]
    base_set = _base_set(records, domain, kept[2])
    columns = [_row(records, model, event, kind, base_set) for (model, event), kind in zip(rows, kinds, strict=True)]
    columns.sort(key=lambda row: (row["n_params"], row["ptpp"], row["replay_ratio"], row["run"], row["adapt_tokens"]))
    for row in columns:
        row["reason"] = _difference(row.pop("kind"), kept)
        row["split"] = "excluded" if row["reason"] else "fit"
        row["share"] = float(share_of(role, np.float64(row["replay_ratio"])))
    names = columns[0].keys()
    points = Points.from_columns({name: np.array([row[name] for row in columns]) for name in names})
    return Sample(points, kept[1], kept[2])


def _only_set(records: Records, domain: str, role: Role) -> tuple[str, str]:
    """Set and scheme of an imported table of models that were never adapted; empty where there is none."""
    sets = Counter(
        (eval_set_id, scheme)
        for (model_id, eval_set_id, scheme), event in records.evaluations.items()
        if event.get("role") == role and records.models.get(model_id, {}).get("imported") == domain
    )
    return min(sets.items(), key=lambda item: (-item[1], item[0]))[0] if sets else ("", "")


def _row(
    records: Records, model: dict[str, Any], event: dict[str, Any], kind: tuple[str, str, str], base_set: str
) -> dict[str, Any]:
    parent = records.models.get(model["parent"], {})
    n_params = _number(parent.get("n_params", model.get("n_params")))
    return {
        "kind": kind,
        "run": model["run_id"],
        "n_params": n_params,
        "ptpp": _number(model.get("ptpp", parent.get("ptpp"))),
        "atpp": _number(model.get("atpp")),
        "adapt_tokens": _number(model.get("adapt_tokens")),
        "replay_ratio": _number(model.get("replay_ratio")),
        "loss": records.loss(event["model_id"], kind[1], kind[2]),
        "zero_shot_loss": records.loss(model["parent"], kind[1], kind[2]),
        "quality": records.loss(model["parent"], base_set, kind[2]),
        **records.epochs(model, parent),
    }


def _base_set(records: Records, domain: str, scheme: str) -> str:
    """The evaluation set of the base corpus that most adapted states of ``domain`` were scored on."""
    sets = Counter(
        event["eval_set_id"]
        for (model_id, _, used), event in records.evaluations.items()
        if used == scheme and event.get("role") == "base" and records.models.get(model_id, {}).get("domain") == domain
    )
    return min(sets.items(), key=lambda item: (-item[1], item[0]))[0] if sets else ""


def _difference(kind: tuple[str, str, str], kept: tuple[str, str, str]) -> str:
    if kind[0] != kept[0]:
        return f"adapted by {kind[0]}, the law is of {kept[0]}"
    if kind[1] != kept[1]:
        return "evaluated on another set"
    return "evaluated by another scheme" if kind[2] != kept[2] else ""


def zero_shot_points(records: Records, sample: Sample) -> Points:
    """The base states' losses on the sample's evaluation set: points of a pretraining curve, with D = tokens seen."""
    rows: dict[tuple[float, ...], str] = {}
    for (model_id, eval_set_id, scheme), _ in records.evaluations.items():
        model = records.models.get(model_id, {})
        if (eval_set_id, scheme) == (sample.eval_set_id, sample.scheme) and not model.get("parent"):
            n_params, seen = _number(model.get("n_params")), _number(model.get("tokens_seen"))
            ptpp = _number(model.get("ptpp", seen / n_params))
            loss = records.loss(model_id, eval_set_id, scheme)
            # A table repeats a base's zero-shot loss in every row of its adaptations.
            rows.setdefault((n_params, ptpp, seen, loss), str(model.get("run_id", "")))
    if not rows:
        return Points.from_columns({}, length=0)
    run, n_params, ptpp, seen, loss = (
        np.array(column) for column in zip(*sorted((run, *row) for row, run in rows.items()), strict=True)
    )
    return Points.from_columns({"run": run, "n_params": n_params, "ptpp": ptpp, "adapt_tokens": seen, "loss": loss})


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
