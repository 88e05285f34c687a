"""The runs of a workspace as rows: listed, filtered, sorted and grouped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from odyssey_tui.services.filter import Filter, parse_filter
from odyssey_tui.services.format import perplexity
from odyssey_tui.services.token_text import neutral
from odyssey_tui.services.tokenizer_fair import Fairness, weigh

if TYPE_CHECKING:
    from engine.launch.experiments import Launched
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


class RunRow(NamedTuple):
    """One run as lists show it. Losses in nats per token; ``delta_*`` are adapted minus zero-shot at the last ATPP.

    A tuple, because there are ten thousand.
    """

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
    seed_key: str | None = None
    """The same for runs that differ in their seed alone; None where nobody has looked."""

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


def list_runs(workspace: Workspace) -> list[RunRow]:
    """All runs in the order of their experiments' plans, oldest launch first; as current as the files are."""
    from engine.launch.experiments import read_launches
    from store.listing import RunListing

    return in_order(RunListing(workspace).read(seeds=False), read_launches(workspace))


def in_order(columns: Mapping[str, Sequence[Any]], launches: Sequence[Launched]) -> list[RunRow]:
    """Runs as ``as_rows`` makes them, in the order of the plans of ``launches``, the oldest last."""
    planned = [run_id for launched in reversed(launches) for run_id in launched.runs]
    place = {run_id: index for index, run_id in reversed(list(enumerate(planned)))}
    return sorted(as_rows(columns), key=lambda row: place.get(row.run_id, len(place)))


def as_row(run: RunSummary) -> RunRow:
    """A stored run as lists show it."""
    from store.queries.runs import SUMMARY_FIELDS

    (row,) = as_rows({name: [getattr(run, name)] for name in SUMMARY_FIELDS})
    return row


def as_rows(columns: Mapping[str, Sequence[Any]]) -> list[RunRow]:
    """Stored runs as lists show them, in their order; ``columns`` as ``store.listing.RunListing`` reads them.

    What others have written (names, tags, reasons) moves no cursor: control characters are spelled out.
    """
    of = columns.__getitem__
    made = {
        "run_id": of("run_id"),
        "name": map(neutral, of("name")),
        "experiment": _spelled(of("experiment"), ""),
        "kind": (kind or "" for kind in of("kind")),
        "state": of("state"),
        "domain": _spelled(of("domain")),
        "replay": of("replay_ratio"),
        "ptpp": of("ptpp"),
        "atpp": of("atpp"),
        "size": of("size"),
        "method": of("method"),
        "rank": map(_value, of("rank_json")),
        "lr": map(_value, of("lr_json")),
        "seed": of("seed"),
        "share": map(_share, of("state"), of("done"), of("total")),
        "eta_s": of("eta_s"),
        "phase": of("phase"),
        "loss": map(_first, of("target_loss"), of("train_loss")),
        "delta_target": of("target_delta"),
        "delta_base": of("base_delta"),
        "bits": of("target_bits"),
        "delta_bits": of("target_delta_bits"),
        "delta_base_bits": of("base_delta_bits"),
        "tokenizer": of("tokenizer_id"),
        "reason": _spelled(of("reason")),
        "tags": (tuple(map(neutral, tags)) for tags in of("tags")),
        "pinned": of("pinned"),
        "n_notes": of("n_notes"),
        "seed_key": columns.get("seed_key") or repeat(None, len(of("run_id"))),
    }
    return list(map(RunRow._make, zip(*map(made.__getitem__, RunRow._fields), strict=True)))


def _spelled(texts: Sequence[str | None], missing: str | None = None) -> Iterator[str | None]:
    """Texts of which there are few, of many runs."""
    spelled = {text: missing if text is None else neutral(text) for text in set(texts)}
    return map(spelled.__getitem__, texts)


def _first(target: float | None, train: float | None) -> float | None:
    return target if target is not None else train


def _share(state: str, done: float, total: float) -> float | None:
    """Share of the work done, 0 to 1; 1 for a run that is done, None before the amount is known."""
    if state == "done":
        return 1.0
    return min(1.0, done / total) if total else None


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
