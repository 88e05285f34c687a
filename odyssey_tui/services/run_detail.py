"""One run in full: evaluations before and after, lineage, configuration, log, curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.attempts import read_history
from odyssey_tui.services.curve_names import order_metrics
from odyssey_tui.services.format import count, duration
from odyssey_tui.services.logs import tail
from odyssey_tui.services.runs import RunRow, as_row
from odyssey_tui.services.token_text import neutral

if TYPE_CHECKING:
    from store.queries.evaluations import StateEvaluation
    from store.queries.runs import RunRow as StoredRun
    from store.workspace import Workspace

MOST_HEIRS = 3
"""So many of the runs that rest on one are named."""


@dataclass(frozen=True)
class EvaluationLine:
    """A state of the run on one set; ``before`` is its parent's (zero-shot) value, None for a base state."""

    state: str
    eval_set: str
    role: str
    loss: float
    before: float | None
    delta: float | None
    ppl: float
    ppl_before: float | None
    bits: float
    bits_before: float | None
    predicted: int
    evaluation_id: str
    zero_shot_evaluation_id: str | None


@dataclass(frozen=True)
class RunDetail:
    """Everything the Run screen and ``odyssey show`` tell about a run, apart from its curves."""

    row: RunRow
    attempt: int
    hint: str
    where: str
    """Host, device and how long it took or has been running."""
    lineage: tuple[str, ...]
    """Models from the oldest ancestor to the run's base."""
    evaluations: tuple[EvaluationLine, ...]
    metrics: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: str
    """The specification where it differs from the defaults, one ``key: value`` a line, and the mixture as realised."""
    log: tuple[str, ...]
    history: tuple[str, ...] = ()
    """Of a run with several attempts: from where each went on, and why the one before ended."""
    notes: tuple[str, ...] = ()
    """What somebody wrote about the run, oldest first."""
    states: tuple[str, ...] = ()
    """Checkpoints that it has saved."""
    heirs: tuple[str, ...] = ()
    """Names of runs that were trained from one of them."""

    @property
    def descent(self) -> tuple[str, ...]:
        """Lineage in words: from which models to which states, and what rests on them."""
        lines = []
        if self.lineage or self.states:
            steps = [*self.lineage, "this run", *([", ".join(self.states)] if self.states else [])]
            lines.append(" → ".join(steps))
        if self.heirs:
            more = f" and {len(self.heirs) - MOST_HEIRS} more" if len(self.heirs) > MOST_HEIRS else ""
            count_ = f"{len(self.heirs)} run{'s' if len(self.heirs) > 1 else ''}"
            lines.append(f"base of {count_}: {', '.join(self.heirs[:MOST_HEIRS])}{more}")
        return tuple(lines)


def read_detail(workspace: Workspace, run_id: str, *, log_lines: int) -> RunDetail:
    """The run with the last ``log_lines`` lines of its console. Raises OdysseyError when there is no such run."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries import curves, evaluations, runs

    ingest(workspace)
    with lease(workspace) as con:
        run = runs.find_run(con, run_id)
        found = evaluations.list_evaluations(con, [run_id])
        spec = runs.read_spec(con, run_id)
        parent = found[-1].parent if found and found[-1].parent else name_base(spec)
        lineage = [model.model_id for model in runs.trace_lineage(con, parent)] or [parent] if parent else []
        states = [model_id.removeprefix(f"{run_id}@") for model_id in runs.list_states(con, run_id)]
        heirs = runs.list_heirs(con, run_id)
        metrics = curves.list_metrics(con, [run_id])
        warnings = [neutral(warning.message) for warning in runs.list_warnings(con, run_id)]
        notes = [neutral(note.text) for note in runs.list_notes(con, run_id)]
        mixture = runs.find_mixture(con, run_id)
    facts = [neutral(line) for line in describe_spec(_essence(spec))]
    if mixture is not None and mixture.replay_realised is not None and run.kind != "pretrain":
        facts.insert(0, f"replay realised: {mixture.replay_realised:.4f} of {mixture.sequences} sequences")
    if mixture is not None:
        texts = {"the domain": mixture.target_epochs, "the base text": mixture.replay_epochs}
        if read := [f"{epochs:.3g} of {text}" for text, epochs in texts.items() if epochs]:
            facts.insert(0, f"epochs read: {', '.join(read)}")
    attempt = workspace.run(run_id).latest_attempt()
    return RunDetail(
        row=as_row(run),
        attempt=run.attempt,
        hint=neutral(run.hint),
        where=neutral(_where(run)),
        lineage=tuple(map(neutral, lineage)),
        evaluations=tuple(_line(evaluation) for evaluation in found),
        metrics=order_metrics(metrics),
        warnings=tuple(warnings),
        facts="\n".join(facts),
        log=tuple(tail(attempt.console, log_lines)) if attempt is not None and log_lines else (),
        history=tuple(map(neutral, read_history(workspace.run(run_id)))),
        notes=tuple(notes),
        states=tuple(map(neutral, states)),
        heirs=tuple(map(neutral, heirs)),
    )


def name_base(spec: Mapping[str, Any]) -> str:
    """The model that a specification starts from or scores, as models are called; empty where it has none."""
    job = spec.get("job") or {}
    model = job.get("base") or job.get("model") or {}
    if not isinstance(model, Mapping):
        return ""
    if model.get("run"):
        return f"{model['run']}@{model.get('state')}"
    return f"{model['source']}@{model.get('revision') or 'main'}" if model.get("source") else ""


def _line(found: StateEvaluation) -> EvaluationLine:
    return EvaluationLine(
        state=found.state,
        eval_set=found.eval_set,
        role=found.role,
        loss=found.loss,
        before=found.zero_shot_loss,
        delta=found.delta,
        ppl=found.ppl,
        ppl_before=found.zero_shot_ppl,
        bits=found.bits_per_byte if found.bits_per_byte is not None else float("nan"),
        bits_before=found.zero_shot_bits_per_byte,
        predicted=found.predicted,
        evaluation_id=found.evaluation_id,
        zero_shot_evaluation_id=found.zero_shot_evaluation_id,
    )


def _where(run: StoredRun) -> str:
    if run.started is None:
        return "not started"
    parts = [part for part in (run.host, run.device) if part]
    if run.ended is not None:
        parts.append(f"took {duration(run.ended - run.started)}")
    if run.tokens_per_s:
        parts.append(f"{run.tokens_per_s:,.0f} tokens/s")
    if run.flops:
        parts.append(f"{count(run.flops)} FLOPs")
    if run.mfu:
        parts.append(f"MFU {run.mfu:.0%}")
    if run.memory_bytes:
        parts.append(f"peak {count(run.memory_bytes)}B")
    return " · ".join(parts)


def _essence(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """A specification without what every run has: a screen is short. One of another version is shown whole."""
    from pydantic import ValidationError

    from engine.spec.run import RunSpec

    try:
        run = RunSpec.model_validate(spec)
    except ValidationError:
        return spec
    essence = run.essence()
    return {**essence, "job": {"kind": run.job.kind, **essence["job"]}}


def describe_spec(value: Any, prefix: str = "") -> Iterator[str]:
    """A specification as ``key.path: value`` lines: nested keys joined by dots, empty values left out."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from describe_spec(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, Mapping) else index
            yield from describe_spec(item, f"{prefix}[{name}]")
    elif value not in (None, [], {}, ""):
        yield f"{prefix}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
