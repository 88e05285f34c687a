"""Runs side by side: what differs in their configurations, what they did to the losses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.curve_names import PER_TOKEN, order_metrics
from odyssey_tui.services.evaluations import bootstrap_changes, of_last_state, reached
from odyssey_tui.services.token_text import neutral
from odyssey_tui.services.tokenizer_fair import Fairness, text_of, weigh

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from store.database import Connection
    from store.queries.evaluations import StateEvaluation
    from store.queries.runs import RunRow
    from store.workspace import Workspace

IGNORED = ("format", "run_id", "name", "needs", "cost_flops")
"""Parts of a specification that name a run instead of describing it."""
LABELS = ("size",)
"""Labels that a job does not repeat."""
ROLES = ("target", "base", "other")


@dataclass(frozen=True)
class Difference:
    """A configuration key with its value in each run, ``–`` where a run has none."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """A run's last state on one evaluation set. Losses in nats per token; the interval is a paired document bootstrap.

    ``against_first``: loss minus that of the first run on the same set and scheme, with its interval.
    """

    run_id: str
    role: str
    eval_set: str
    eval_set_id: str
    tokenizer_id: str | None
    state: str
    loss_before: float | None
    loss: float
    delta: float | None
    interval: MeanDifference | None
    against_first: MeanDifference | None
    bits_before: float | None
    bits: float | None
    evaluation_id: str
    zero_shot_evaluation_id: str | None

    @property
    def delta_bits(self) -> float | None:
        """The change in bits per byte."""
        return None if self.bits is None or self.bits_before is None else self.bits - self.bits_before

    def in_bits(self, change: MeanDifference | None) -> MeanDifference | None:
        """A change of this evaluation's loss in bits per byte: the same positions, so the same tokens per byte."""
        if change is None or self.bits is None or not self.loss:
            return None
        factor = self.bits / self.loss
        mean, low, high = (None if end is None else end * factor for end in (change.mean, change.low, change.high))
        return replace(change, mean=mean, low=low, high=high)


@dataclass(frozen=True)
class Step:
    """One adapted state in the learning–forgetting plane, in the comparison's unit."""

    state: str
    target_delta: float
    base_delta: float


@dataclass(frozen=True)
class Subject:
    """One of the compared runs; ``label`` is its name, or its identifier where names repeat."""

    run_id: str
    label: str
    kind: str
    state: str
    variant: str = ""
    """What it does otherwise: its variant, newlines stripped from its training text."""

    @property
    def full_label(self) -> str:
        """The label, and the variant where that is not in it."""
        return f"{self.label} ({self.variant})" if self.variant and self.variant not in self.label else self.label


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything the comparison shows. ``unit`` is what the runs can be compared in."""

    runs: tuple[Subject, ...]
    differences: tuple[Difference, ...]
    outcomes: tuple[Outcome, ...]
    metrics: tuple[str, ...]
    """Of their training curves; losses per token are not among them where those cannot be overlaid."""
    planes: Mapping[str, tuple[Step, ...]]
    unit: str
    notes: tuple[str, ...]


def compare(workspace: Workspace, wanted: Sequence[str]) -> Comparison:
    """Compare runs by identifier, name or unique beginning, in the order given; a run named twice counts once.

    With different tokenizers losses per token mean different things: curves are not overlaid, perplexities are not
    shown side by side, and changes are given in bits per byte. Raises OdysseyError for a run that does not exist.
    """
    from store.database import lease
    from store.queries.curves import list_measured, list_metrics
    from store.queries.evaluations import list_evaluations
    from store.queries.runs import find_runs, read_spec
    from store.queries.tokenizers import find_tokenizers, list_texts, name_tokenizers

    with lease(workspace) as con:
        rows = list({row.run_id: row for row in find_runs(con, wanted)}.values())
        run_ids = [row.run_id for row in rows]
        specs = [read_spec(con, run_id) for run_id in run_ids]
        evaluations = list_evaluations(con, run_ids)
        outcomes = tuple(read_outcomes(con, run_ids, evaluations))
        metrics = list_metrics(con, run_ids)
        curve_tokenizers = find_tokenizers(con, list_measured(con, run_ids, "loss"))
        tokenizers = [*(outcome.tokenizer_id for outcome in outcomes), *curve_tokenizers.values()]
        fair = weigh(tokenizers, name_tokenizers(con))
        texts = {text.eval_set_id: text_of(text) for text in list_texts(con)}
    comparable = fair.per_token
    return Comparison(
        tuple(name_runs(rows)),
        tuple(find_differences(specs)),
        outcomes,
        order_metrics(name for name in metrics if comparable or name not in PER_TOKEN),
        {run_id: trace_plane(run_id, evaluations, comparable) for run_id in run_ids},
        fair.unit,
        tuple(tell_notes(rows, outcomes, fair, texts)),
    )


def name_runs(rows: Sequence[RunRow]) -> list[Subject]:
    """Runs with labels that tell them apart."""
    names = [neutral(row.name) for row in rows]
    return [
        Subject(
            row.run_id,
            name if names.count(name) == 1 else row.run_id,
            row.kind or "–",
            row.state,
            name_variant(row.labels),
        )
        for row, name in zip(rows, names, strict=True)
    ]


def name_variant(labels: Mapping[str, Any]) -> str:
    """``kl-newline, newlines stripped``; empty for a plain run."""
    stripped = "newlines stripped" if labels.get("newlines") == "strip" else ""
    return ", ".join(part for part in (labels.get("variant"), stripped) if part)


def find_differences(specs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """What is not the same in all specifications, as far down as it has to be told.

    A corpus or an evaluation set has a name: where names differ, the names are the difference; what is inside comes
    along. Where they are the same, the keys inside that differ are.
    """
    described = [
        {
            **{label: spec["labels"][label] for label in LABELS if label in spec.get("labels", {})},
            **{key: value for key, value in spec.items() if key not in (*IGNORED, "labels", "job")},
            **spec.get("job", {}),
        }
        for spec in specs
    ]
    return list(tell_apart("", described))


def tell_apart(key: str, values: Sequence[Any]) -> Iterator[Difference]:
    """Differences between the values that ``key`` has in each run."""
    texts = tuple(neutral(plain(value)) for value in values)
    if all(isinstance(value, Mapping) for value in values):
        if len({value.get("name") for value in values}) > 1:
            yield Difference(key, texts)
            return
        for inner in dict.fromkeys(inner for value in values for inner in value):
            yield from tell_apart(f"{key}.{inner}" if key else inner, [value.get(inner) for value in values])
    elif all(is_listing(value) for value in values):
        items = [{name_of(item, index): item for index, item in enumerate(value)} for value in values]
        if len({tuple(named) for named in items}) > 1:
            yield Difference(key, texts)
        for name in items[0]:
            if all(name in named for named in items):
                yield from tell_apart(f"{key}.{name}", [named[name] for named in items])
    elif len(set(texts)) > 1:
        yield Difference(key, texts)


def is_listing(value: Any) -> bool:
    """Whether a value lists things that have keys of their own; an empty list may."""
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def name_of(item: Mapping[str, Any], index: int) -> str:
    """What a listed thing is called: its name, else its place."""
    return str(item.get("name", index))


def plain(value: Any) -> str:
    """A configuration value as text: a thing with a name by its name, another one by its keys."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        keys = [f"{key}={plain(item)}" for key, item in value.items() if item is not None]
        return str(value["name"]) if "name" in value else ", ".join(keys)
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value) or "none"
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)


def read_outcomes(con: Connection, run_ids: Sequence[str], evaluations: Sequence[StateEvaluation]) -> list[Outcome]:
    """The last state of every run on each of its sets: target first, then base, then the others."""
    from store.queries.evaluations import list_model_evaluations

    last = [one for run_id in run_ids for one in of_last_state([line for line in evaluations if line.run_id == run_id])]
    parents = list_model_evaluations(con, sorted({one.parent for one in last if one.parent is not None}))
    known = {one.evaluation_id: one for one in parents}
    befores = [known.get(one.zero_shot_evaluation_id or "") for one in last]
    firsts: dict[tuple[str, str], StateEvaluation] = {}
    references = [firsts.setdefault((one.eval_set_id, one.scheme_json), one) for one in last]
    changes = between(con, list(zip(befores, last, strict=True)))
    against_first = between(con, [(None if a is b else a, b) for a, b in zip(references, last, strict=True)])
    outcomes = [
        Outcome(
            one.run_id or "",
            one.role,
            one.eval_set,
            one.eval_set_id,
            one.tokenizer_id,
            one.state,
            one.zero_shot_loss,
            one.loss,
            one.delta,
            interval,
            against,
            one.zero_shot_bits_per_byte,
            one.bits_per_byte,
            one.evaluation_id,
            one.zero_shot_evaluation_id,
        )
        for one, interval, against in zip(last, changes, against_first, strict=True)
    ]
    order = {role: index for index, role in enumerate(ROLES)}
    return sorted(
        outcomes,
        key=lambda outcome: (
            order.get(outcome.role, len(ROLES)),
            # Target and base rows stay in the order of the runs, whatever their texts are called.
            outcome.eval_set if outcome.role == "other" else "",
        ),
    )


def between(
    con: Connection, wanted: Sequence[tuple[StateEvaluation | None, StateEvaluation]]
) -> list[MeanDifference | None]:
    """Mean difference of each two evaluations in nats per token with its paired document-bootstrap interval.

    None where there is nothing to compare with, or of one of them no losses are kept.
    """
    from store.queries.tokens import make_pair

    pairs = [
        make_pair(con, before, after) if before is not None and before.has_ledger and after.has_ledger else None
        for before, after in wanted
    ]
    changes = iter(bootstrap_changes(con, [pair for pair in pairs if pair is not None]))
    return [None if pair is None else next(changes) for pair in pairs]


def trace_plane(run_id: str, evaluations: Sequence[StateEvaluation], comparable: bool) -> tuple[Step, ...]:
    """Target and base change of each adapted state of a run, in order of ATPP."""

    def change(evaluation: StateEvaluation) -> float | None:
        if comparable:
            return evaluation.delta
        if evaluation.bits_per_byte is None or evaluation.zero_shot_bits_per_byte is None:
            return None
        return evaluation.bits_per_byte - evaluation.zero_shot_bits_per_byte

    own = [line for line in evaluations if line.run_id == run_id and line.parent and line.interpolation is None]
    by_state: dict[str, dict[str, float]] = {}
    for evaluation in sorted(own, key=reached):
        value = change(evaluation)
        if value is not None:
            by_state.setdefault(evaluation.state, {})[evaluation.role] = value
    return tuple(
        Step(state, roles["target"], roles["base"])
        for state, roles in by_state.items()
        if "target" in roles and "base" in roles
    )


def tell_notes(
    rows: Sequence[RunRow], outcomes: Sequence[Outcome], fair: Fairness, texts: Mapping[str, object]
) -> list[str]:
    """What the reader must know before comparing. ``texts``: what tells the texts of evaluation sets apart."""
    notes = [fair.sentence] if fair.sentence else []
    if not fair.per_token:
        notes[0] += " Curves are not overlaid, changes are in bits per byte."
    for role in ("target", "base"):
        sets = {outcome.eval_set_id: outcome.eval_set for outcome in outcomes if outcome.role == role}
        if len({texts.get(one, one) for one in sets}) > 1:
            names = ", ".join(sorted(set(sets.values())))
            notes.append(f"The {role} sets differ ({names}): compare changes, not levels.")
    unfinished = [neutral(row.name) for row in rows if row.state != "done"]
    if unfinished:
        notes.append(f"Not done yet: {', '.join(unfinished)}.")
    return notes
