"""The runs of a workspace as rows: listed, filtered, sorted and grouped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.filter import Filter, parse_filter
from odyssey_tui.services.format import perplexity

if TYPE_CHECKING:
    from store.queries.runs import RunRow as StoredRun
    from store.workspace import Workspace

TRAINED = frozenset({"pretrain", "adapt", "imported"})
"""Kinds of runs that write training curves."""
FIELDS: Mapping[str, type] = {
    "run": str,
    "name": str,
    "experiment": str,
    "kind": str,
    "state": str,
    "domain": str,
    "replay": float,
    "ptpp": float,
    "atpp": float,
    "size": str,
    "method": str,
    "rank": float,
    "lr": float,
    "seed": float,
    "progress": float,
    "loss": float,
    "ppl": float,
    "delta": float,
    "delta_base": float,
    "reason": str,
}
"""What a filter may name, and as what its values are compared."""
ADAPTATION, SUPPORTING, PINNED = "adapt", "supporting runs", "★ pinned"


@dataclass(frozen=True)
class RunRow:
    """One run as lists show it. Losses in nats per token; ``delta_*`` are adapted minus zero-shot at the last ATPP."""

    run_id: str
    name: str
    experiment: str
    kind: str
    state: str
    domain: str | None = None
    replay: float | None = None
    ptpp: float | None = None
    atpp: float | None = None
    size: str | None = None
    method: str | None = None
    rank: float | None = None
    lr: float | None = None
    seed: float | None = None
    share: float | None = None
    eta_s: float | None = None
    phase: str = ""
    loss: float | None = None
    """On the target set after adaptation; before there is one, the newest training loss."""
    delta_target: float | None = None
    delta_base: float | None = None
    reason: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    n_notes: int = 0

    @property
    def ppl(self) -> float | None:
        """Perplexity of ``loss``."""
        return None if self.loss is None else perplexity(self.loss)

    def record(self) -> dict[str, Any]:
        """The row under the names of FIELDS, for filters and for JSON."""
        return {
            "run": self.run_id,
            "name": self.name,
            "experiment": self.experiment,
            "kind": self.kind,
            "state": self.state,
            "domain": self.domain,
            "replay": self.replay,
            "ptpp": self.ptpp,
            "atpp": self.atpp,
            "size": self.size,
            "method": self.method,
            "rank": self.rank,
            "lr": self.lr,
            "seed": self.seed,
            "progress": self.share,
            "eta_s": self.eta_s,
            "loss": self.loss,
            "ppl": self.ppl,
            "delta": self.delta_target,
            "delta_base": self.delta_base,
            "reason": self.reason,
            "tags": list(self.tags),
            "pinned": self.pinned,
            "notes": self.n_notes,
        }


@dataclass(frozen=True)
class RunGroup:
    """Rows that share a key; ``name`` is what they share. ``supporting``: what an experiment's adaptations rest on."""

    name: str
    rows: tuple[RunRow, ...]
    supporting: bool = False


def parse(text: str) -> Filter:
    """A filter over runs. Raises FilterError."""
    return parse_filter(text, FIELDS)


SORT_KEYS: Mapping[str, Callable[[RunRow], Any]] = {
    "state": lambda row: row.state,
    "name": lambda row: row.name,
    "loss": lambda row: _last(row.loss),
    "target": lambda row: _last(row.delta_target),
    "base": lambda row: _last(row.delta_base),
}


def _last(value: float | None) -> tuple[bool, float]:
    return value is None, value or 0.0


def arrange(rows: Sequence[RunRow], *, sort: str = "plan", group: str = "experiment") -> tuple[RunGroup, ...]:
    """Rows in groups, groups in the order in which they first appear; ``plan`` keeps the order given.

    An experiment that adapts has two groups: its adaptations, and all that they rest on. Pinned runs are a group of
    their own, which comes first.
    """
    ordered = sorted(rows, key=SORT_KEYS[sort]) if sort in SORT_KEYS else list(rows)
    adapting = {row.experiment for row in rows if row.kind == ADAPTATION} if group == "experiment" else set()
    pinned = [row for row in ordered if row.pinned]
    groups: dict[tuple[str, bool], list[RunRow]] = {(PINNED, False): pinned} if pinned else {}
    for row in ordered:
        if row.pinned:
            continue
        supporting = row.experiment in adapting and row.kind != ADAPTATION
        groups.setdefault((_group_name(row, group), supporting), []).append(row)
    return tuple(
        RunGroup(f"{name} · {SUPPORTING}" if supporting else name, tuple(members), supporting)
        for (name, supporting), members in groups.items()
    )


def _group_name(row: RunRow, group: str) -> str:
    if group == "none":
        return ""
    value = row.record()[group]
    if value is None:
        return f"no {group}"
    return value if group in ("experiment", "kind") else f"{group} {value:g}" if FIELDS[group] is float else f"{value}"


def list_runs(workspace: Workspace) -> list[RunRow]:
    """All runs in the order of their experiments' plans, oldest launch first; as current as the files are."""
    from engine.launch.experiments import read_launches
    from store.database import lease
    from store.ingest import ingest
    from store.queries import runs

    ingest(workspace)
    with lease(workspace) as con:
        found = runs.list_runs(con)
    planned = [run_id for launched in reversed(read_launches(workspace)) for run_id in launched.runs]
    place = {run_id: index for index, run_id in reversed(list(enumerate(planned)))}
    found.sort(key=lambda run: place.get(run.run_id, len(place)))
    return [as_row(run) for run in found]


def as_row(run: StoredRun) -> RunRow:
    """A stored run as lists show it."""
    labels = run.labels
    return RunRow(
        run_id=run.run_id,
        name=run.name,
        experiment=run.experiment or "",
        kind=run.kind or "",
        state=run.state,
        domain=run.domain,
        replay=run.replay_ratio,
        ptpp=run.ptpp,
        atpp=run.atpp,
        size=run.size,
        method=run.method,
        rank=labels.get("rank"),
        lr=labels.get("lr"),
        seed=run.seed,
        share=run.progress,
        eta_s=run.eta_s,
        phase=run.phase,
        loss=run.target_loss if run.target_loss is not None else run.train_loss,
        delta_target=run.target_delta,
        delta_base=run.base_delta,
        reason=run.reason,
        tags=tuple(run.tags),
        pinned=run.pinned,
        n_notes=run.n_notes,
    )


def find_run_ids(workspace: Workspace, wanted: Sequence[str]) -> list[str]:
    """Identifiers of the runs meant by ids, names or unambiguous beginnings of ids. Raises OdysseyError."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries.runs import resolve_run

    ingest(workspace)
    with lease(workspace) as con:
        return [resolve_run(con, name) for name in wanted]
