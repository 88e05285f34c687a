"""The runs of a workspace as rows: listed, filtered, sorted and grouped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.filter import Filter, parse_filter
from odyssey_tui.services.format import perplexity
from odyssey_tui.services.token_text import neutral
from odyssey_tui.services.tokenizer_fair import Fairness, weigh
from store.queries.rows import make

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.runs import RunSummary
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
    "bits": float,
    "delta_bits": float,
    "delta_base_bits": float,
    "tokenizer": str,
    "reason": str,
}
"""What a filter may name, and as what its values are compared."""
ATTRIBUTES: Mapping[str, str] = {
    "run": "run_id",
    "progress": "share",
    "delta": "delta_target",
}
"""Where a field is called otherwise in ``RunRow``."""


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
    bits: float | None = None
    """Target loss in bits per byte, and its changes likewise: what runs of different tokenizers are compared in."""
    delta_bits: float | None = None
    delta_base_bits: float | None = None
    tokenizer: str | None = None
    reason: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    n_notes: int = 0

    @property
    def ppl(self) -> float | None:
        """Perplexity of ``loss``."""
        return None if self.loss is None else perplexity(self.loss)

    def value(self, key: str) -> Any:
        """What ``record`` has under one of FIELDS."""
        return getattr(self, ATTRIBUTES.get(key, key))

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
            "bits": self.bits,
            "delta_bits": self.delta_bits,
            "delta_base_bits": self.delta_base_bits,
            "tokenizer": self.tokenizer,
            "reason": self.reason,
            "tags": list(self.tags),
            "pinned": self.pinned,
            "notes": self.n_notes,
        }


def parse(text: str, further: Mapping[str, type] | None = None) -> Filter:
    """A filter over runs; ``further`` keys of their configurations beside ``FIELDS``. Raises FilterError."""
    return parse_filter(text, {**FIELDS, **{key: kind for key, kind in (further or {}).items() if key not in FIELDS}})


def compare_losses(rows: Sequence[RunRow]) -> Fairness:
    """What the losses of these runs may be compared in; runs that other tools recorded name no tokenizer."""
    return weigh(row.tokenizer for row in rows if row.loss is not None)


def list_runs(workspace: Workspace, learn: Callable[[Connection, Sequence[str]], None] | None = None) -> list[RunRow]:
    """All runs in the order of their experiments' plans, oldest launch first; as current as the files are.

    ``learn`` reads what else is wanted of them.
    """
    from engine.launch.experiments import read_launches
    from store.database import lease
    from store.ingest import ingest
    from store.queries import runs
    from store.queries.tokenizers import find_tokenizers

    ingest(workspace)
    with lease(workspace) as con:
        found = runs.list_summaries(con)
        unsaid = [run.run_id for run in found if run.tokenizer_id is None and run.train_loss is not None]
        tokenizers = find_tokenizers(con, unsaid) if unsaid else {}
        if learn is not None:
            learn(con, [run.run_id for run in found])
    planned = [run_id for launched in reversed(read_launches(workspace)) for run_id in launched.runs]
    place = {run_id: index for index, run_id in reversed(list(enumerate(planned)))}
    found.sort(key=lambda run: place.get(run.run_id, len(place)))
    return [as_row(run, tokenizers.get(run.run_id)) for run in found]


def as_row(run: RunSummary, tokenizer: str | None = None) -> RunRow:
    """A stored run as lists show it; ``tokenizer`` where no state of its own names one.

    What others have written (names, tags, reasons) moves no cursor: control characters are spelled out.
    """
    values = dict(
        run_id=run.run_id,
        name=neutral(run.name),
        experiment=neutral(run.experiment or ""),
        kind=run.kind or "",
        state=run.state,
        domain=run.domain and neutral(run.domain),
        replay=run.replay_ratio,
        ptpp=run.ptpp,
        atpp=run.atpp,
        size=run.size,
        method=run.method,
        rank=_value(run.rank_json),
        lr=_value(run.lr_json),
        seed=run.seed,
        share=run.progress,
        eta_s=run.eta_s,
        phase=run.phase,
        loss=run.target_loss if run.target_loss is not None else run.train_loss,
        delta_target=run.target_delta,
        delta_base=run.base_delta,
        bits=run.target_bits,
        delta_bits=run.target_delta_bits,
        delta_base_bits=run.base_delta_bits,
        tokenizer=run.tokenizer_id or tokenizer,
        reason=neutral(run.reason),
        tags=tuple(map(neutral, run.tags)),
        pinned=run.pinned,
        n_notes=run.n_notes,
    )
    return make(RunRow, values)


@lru_cache(maxsize=1024)
def _value(text: str | None) -> Any:
    """An axis value: there are few, of many runs."""
    return None if text is None else json.loads(text)


def find_run_ids(workspace: Workspace, wanted: Sequence[str]) -> list[str]:
    """Identifiers of the runs meant by ids, names or unambiguous beginnings of ids. Raises OdysseyError."""
    from store.database import lease
    from store.ingest import ingest
    from store.queries.runs import resolve_run

    ingest(workspace)
    with lease(workspace) as con:
        return [resolve_run(con, name) for name in wanted]
