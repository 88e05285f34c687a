"""What an experiment's grid could tell the laws about, before it is launched: for its dry run and the Launch screen."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.laws.design import NOISE, Verdict, judge_design, warn_design
from engine.laws.errors import LawError
from engine.laws.forecast import share_of
from engine.laws.forms import REGISTRY, form_of
from engine.laws.points import Points
from engine.laws.splits import split_by_ptpp
from odyssey_tui.services.format import number
from odyssey_tui.services.stored_laws import listed
from odyssey_tui.services.tables import Column

if TYPE_CHECKING:
    from engine.laws.form import Role
    from engine.plan.plan import Plan
    from engine.spec.law_form import LawForm
    from engine.spec.run import FitJob, RunSpec

COLUMNS = (
    Column("domain", "domain", drop=4),
    Column("role", "loss"),
    Column("form", "law"),
    Column("n_points", "points", drop=2),
    Column("n_runs", "runs", drop=3),
    Column("n_free", "free", drop=1),
    Column("condition", "condition", lambda v: f"{v:.0e}" if v < 1e8 else "singular", right=True),
    Column("forecast", "forecast ±%", lambda v: number(100 * v, 2)),
    Column("left_open", "would stay open"),
)


@dataclass(frozen=True)
class Design:
    """The planned points of one fit run on one loss, and what they could say of each law."""

    domain: str
    role: str
    fit_ptpp: tuple[float, ...]
    score_ptpp: tuple[float, ...]
    asked: tuple[str, ...]
    """The laws that the experiment fits."""
    verdicts: tuple[Verdict, ...]
    """Of these, then of the registry's others that describe this loss."""
    warnings: tuple[str, ...]


def judge_plan(plan: Plan, *, only_asked: bool = False) -> tuple[Design, ...]:
    """One design for every law run and loss of a plan. ``only_asked``: leave out laws that the experiment does not
    fit."""
    designs = []
    for run in plan.runs:
        if run.job.kind == "fit":
            for role in run.job.roles:
                designs.append(judge_fit(plan, run, run.job, role, only_asked=only_asked))
    return tuple(designs)


def tell_plan(plan: Plan) -> list[str]:
    """What a plan's grid can tell of the laws that the experiment fits, a line each; nothing without laws. Takes some
    tenths of a second: a screen asks in a thread."""
    return tell_designs(judge_plan(plan, only_asked=True))


def judge_fit(plan: Plan, run: RunSpec, job: FitJob, role: Role, *, only_asked: bool) -> Design:
    """One fit run on one loss."""
    adapted = split_by_ptpp(plan_points(plan, run, role), job.fit_ptpp, job.score_ptpp)
    bases = split_by_ptpp(plan_bases(adapted), job.fit_ptpp, job.score_ptpp)
    own = {definition.name: definition for definition in job.definitions}
    others = () if only_asked else tuple(name for name, form in REGISTRY.items() if role in form.roles)
    verdicts = []
    for name in dict.fromkeys((*job.forms, *others)):
        form = form_of(own.get(name, name))
        if role in form.roles:
            verdicts.append(judge_cached(name, own.get(name), role, bases if form.describes_pretraining else adapted))
    asked = tuple(name for name in job.forms if any(one.form == name for one in verdicts))
    warnings = warn_design(adapted) if len(adapted) else ("No adaptation of this domain is planned.",)
    return Design(job.domain, role, job.fit_ptpp, job.score_ptpp, asked, tuple(verdicts), warnings)


def judge_cached(name: str, definition: LawForm | None, role: Role, points: Points) -> Verdict:
    """``judge_design``, remembered: the Launch screen asks anew at every key."""
    columns = ("n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "share")
    values = tuple((column, getattr(points, column).tobytes()) for column in columns)
    written = "" if definition is None else json.dumps(definition.content())
    return _judge(name, written, role, values, tuple(points.run.tolist()), tuple(points.split.tolist()))


@lru_cache(maxsize=256)
def _judge(
    name: str,
    definition: str,
    role: Role,
    values: tuple[tuple[str, bytes], ...],
    runs: tuple[str, ...],
    splits: tuple[str, ...],
) -> Verdict:
    columns: dict[str, Any] = {column: np.frombuffer(content) for column, content in values}
    columns |= {"run": np.array(runs, dtype=object), "split": np.array(splits, dtype=object), "loss": np.nan}
    form = form_of(json.loads(definition) if definition else name)
    try:
        return judge_design(form, Points.from_columns(columns, length=len(runs)), role)
    except (LawError, np.linalg.LinAlgError) as error:
        return Verdict(
            name, role, len(runs), len(set(runs)), len(form.parameters), math.nan, (), (), math.nan, str(error)
        )


def plan_points(plan: Plan, run: RunSpec, role: Role) -> Points:
    """The points that the adaptations a fit run needs will measure; what is not known is NaN."""
    specs = {spec.run_id: spec for spec in plan.runs}
    rows = []
    for need in run.needs:
        spec = specs.get(need)
        if spec is None or spec.job.kind != "adapt":
            continue
        job = spec.job
        n_params = float(plan.work[need].n_params) if need in plan.work and plan.work[need].n_params else math.nan
        budgets = job.adapt_tokens or tuple(atpp * n_params for atpp in job.atpp)
        rows += [
            {
                "run": need,
                "n_params": n_params,
                "ptpp": find_ptpp(spec, n_params),
                "adapt_tokens": float(tokens),
                "atpp": tokens / n_params,
                "replay_ratio": job.replay_ratio,
                "share": float(share_of(role, np.float64(job.replay_ratio))),
                "loss": math.nan,
            }
            for tokens in budgets
        ]
    if not rows:
        return Points.from_columns({}, length=0)
    return Points.from_columns({name: np.array([row[name] for row in rows]) for name in rows[0]})


def find_ptpp(spec: RunSpec, n_params: float) -> float:
    """PTPP of the state that an adaptation starts from; NaN where nobody says it."""
    from engine.plan.ladders import tokens_seen

    label = spec.labels.get("ptpp")
    if label is not None:
        return float(label)
    base = spec.job.base
    seen = base.tokens_seen if base.tokens_seen is not None else tokens_seen(base.source or "", base.revision)
    return math.nan if seen is None else seen / n_params


def plan_bases(points: Points) -> Points:
    """The base states behind ``points`` as points of a pretraining curve: D = P·N."""
    states = sorted({(n, p) for n, p in zip(points.n_params.tolist(), points.ptpp.tolist(), strict=True) if n * p > 0})
    if not states:
        return Points.from_columns({}, length=0)
    n_params, ptpp = (np.array(column) for column in zip(*states, strict=True))
    return Points.from_columns({"n_params": n_params, "ptpp": ptpp, "adapt_tokens": n_params * ptpp, "loss": np.nan})


def list_verdicts(designs: tuple[Design, ...]) -> list[dict[str, Any]]:
    """A row for every law that the experiment fits."""
    rows = []
    for design in designs:
        for verdict in design.verdicts:
            if verdict.form in design.asked:
                rows.append(
                    {
                        "domain": design.domain,
                        **{name: getattr(verdict, name) for name in ("role", "form", "n_points", "n_runs", "n_free")},
                        "condition": verdict.condition,
                        "forecast": verdict.forecast,
                        "left_open": tell_open(verdict),
                    }
                )
    return rows


def record(designs: tuple[Design, ...]) -> list[dict[str, Any]]:
    """Everything, for JSON."""
    return [
        {
            **{
                name: getattr(design, name)
                for name in ("domain", "role", "fit_ptpp", "score_ptpp", "asked", "warnings")
            },
            "verdicts": [
                {**asdict(one), "open": dict(one.open), "determined": one.determined, "singular": one.singular}
                for one in design.verdicts
            ],
        }
        for design in designs
    ]


def tell_open(verdict: Verdict) -> str:
    """What stays open, in a few words; ``nothing`` where all is determined."""
    if verdict.reason:
        return verdict.reason
    parts = [f"terms in {', '.join(verdict.dropped)} dropped"] if verdict.dropped else []
    parts += [", ".join(name for name, _ in verdict.open)] if verdict.open else []
    parts += ["terms not told apart"] if verdict.singular and not verdict.open else []
    return "; ".join(parts) or "nothing"


def tell_designs(designs: tuple[Design, ...], *, briefly: bool = False) -> list[str]:
    """What the plan can tell and what it cannot, a line each; what several fits share is said once. ``briefly``: what
    the table has is left to it."""
    lines = []
    for design in designs:
        able = ", ".join(one.form for one in design.verdicts if one.determined)
        unsure = [one for one in design.verdicts if one.form in design.asked and not one.determined]
        open_ones = "" if briefly else "".join(f"; {one.form} leaves open: {tell_open(one)}" for one in unsure)
        stages = f"P = {listed(design.fit_ptpp, 'all')}"
        stages += f", P = {listed(design.score_ptpp)} held out" if design.score_ptpp else ""
        verdict = f"the grid determines every exponent of {able}" if able else "the grid determines no law wholly"
        lines.append(f"laws of the {design.role} loss on {design.domain} ({stages}): {verdict}{open_ones}")
    lines += [f"laws: {warning}" for warning in dict.fromkeys(w for design in designs for w in design.warnings)]
    if lines:
        lines.append(f"laws: judged before any loss is known, for plausible laws and a scatter of {NOISE:.1%} per run")
    return lines
