"""Reading what a matrix is made of: scored states, the runs behind them, similarities; and intervals on demand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine.launch.experiments import read_launches
from odyssey_tui.services.filter import Filter, parse_filter
from odyssey_tui.services.matrix_cells import PLAIN
from odyssey_tui.services.matrix_missing import OTHER_DOMAINS
from odyssey_tui.services.matrix_state import Planned, State, describe_runs, describe_states
from odyssey_tui.services.scatter_views import View, average, preference
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    import numpy as np

    from engine.stats import MeanDifference
    from odyssey_tui.services.matrix_values import Score
    from store.database import Connection
    from store.queries.similarity import Similarity
    from store.workspace import Workspace

FIELDS: Mapping[str, type] = {
    "run": str,
    "experiment": str,
    "domain": str,
    "set": str,
    "role": str,
    "size": str,
    "method": str,
    "variant": str,
    "newlines": str,
    "tokenizer": str,
    "ptpp": float,
    "atpp": float,
    "replay": float,
    "rank": float,
    "lr": float,
    "alpha": float,
    "seed": float,
}
"""What ``--where`` may name, and as what its values are compared."""
NOTHING = "No adapted state has been scored yet."
NOTHING_HINT = f"Launch an experiment with `adapt:` and `{OTHER_DOMAINS}`; the matrix fills as its runs are done."


@dataclass(frozen=True)
class Source:
    """What was read: states that pass the filter, adaptations as launched, names of what they are to be scored on."""

    states: tuple[State, ...] = ()
    planned: tuple[Planned, ...] = ()
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    similarity: Mapping[str, float] = field(default_factory=dict)
    """By domain, higher = more similar to the base text; empty where none was measured."""
    reason: str = ""
    hint: str = ""


def parse_where(text: str) -> Filter:
    """A filter over states. Raises FilterError."""
    return parse_filter(text, FIELDS)


def read_source(workspace: Workspace, experiment: str | None = None, where: Filter | None = None) -> Source:
    """Everything that was adapted, of one experiment or of all; ConfigError for an experiment that there is not.

    An experiment's runs are those that it asked for, whoever asked for them first.
    """
    from store.database import lease
    from store.ingest import ingest
    from store.queries.domain_facts import base_states, read_recipes
    from store.queries.runs import list_runs
    from store.queries.scored_states import scored_states, sets_of
    from store.queries.similarity import similarities
    from store.queries.tokenizers import name_tokenizers

    ingest(workspace)
    with lease(workspace) as con:
        runs = [run for run in list_runs(con) if run.kind == "adapt"]
        if experiment is not None:
            wanted = runs_of(workspace, experiment, {run.experiment for run in runs})
            runs = [run for run in runs if run.run_id in wanted or run.experiment == experiment]
        ids = {run.run_id for run in runs}
        found = [state for state in scored_states(con) if state.run_id in ids]
        sets = sets_of(con, sorted(ids))
        tokenizers = name_tokenizers(con)
        similar = similarities(con)
        recipes, bases = read_recipes(con), base_states(con)
    planned = describe_runs(runs, recipes)
    states = describe_states(found, recipes, bases)
    empty = (NOTHING, NOTHING_HINT) if not states else ("", "")
    if where is not None and where.tests and states:
        states = [state for state in states if where.accepts(record_of(state))]
        scored = frozenset(state.run_id for state in states)
        planned = [run for run in planned if passes(run, where, scored)]
        if not states:
            empty = ("No adapted state passes the filter.", f"Filter: {where.text}")
    return Source(
        tuple(states), tuple(planned), sets, tokenizers, similarity_of(similar, {run.domain for run in planned}), *empty
    )


def narrow(source: Source, **asked: Any) -> Source:
    """Only states that have the properties asked for (None: any); says what there is where none has."""
    wanted = {name: value for name, value in asked.items() if value is not None}
    if not wanted or not source.states:
        return source

    def fits(record: Mapping[str, Any]) -> bool:
        return all(same(record.get(name), value) for name, value in wanted.items() if name in record)

    states = tuple(state for state in source.states if fits(record_of(state)))
    planned = tuple(run for run in source.planned if fits(record_of_planned(run)))
    if states:
        return replace(source, states=states, planned=planned)
    there = {name: {record_of(state)[name] for state in source.states} for name in wanted}
    values = "; ".join(f"{name}: {', '.join(sorted(map(spell, found)))}" for name, found in there.items())
    return replace(
        source,
        states=(),
        planned=(),
        reason="No adapted state has the properties asked for.",
        hint=f"There is {values}.",
    )


def same(has: Any, wanted: Any) -> bool:
    """Whether a property is the one asked for."""
    return has is None if wanted == PLAIN else has == wanted


def spell(value: Any) -> str:
    """A property as it would be asked for."""
    return PLAIN if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def list_experiments(workspace: Workspace) -> tuple[str, ...]:
    """Names of the experiments that were launched, the newest first."""
    return tuple(dict.fromkeys(launched.name for launched in read_launches(workspace)))


def runs_of(workspace: Workspace, experiment: str, others: set[str | None]) -> frozenset[str]:
    """The runs that an experiment asked for, as launched; ConfigError naming the nearest for one that there is not."""
    launches = read_launches(workspace)
    known = sorted({launched.name for launched in launches} | {name for name in others if name})
    if experiment not in known:
        listed = f"Experiments are: {', '.join(known)}." if known else "Nothing has been launched here."
        raise ConfigError(f"there is no experiment {experiment!r}", f"{suggest(experiment, known)} {listed}".lstrip())
    return frozenset(run_id for launched in launches if launched.name == experiment for run_id in launched.runs)


def values_of(source: Source, key: str) -> list[Any]:
    """What the states have under one of FIELDS."""
    return [record_of(state).get(key) for state in source.states]


def record_of(state: State) -> dict[str, Any]:
    """A state under the names of FIELDS."""
    return {
        "run": state.run_id,
        "experiment": state.experiment,
        "domain": state.domain,
        "set": state.eval_set,
        "role": state.role,
        "size": state.size,
        "method": state.method,
        "variant": state.variant,
        "newlines": state.newlines,
        "tokenizer": state.tokenizer_id,
        "ptpp": state.ptpp,
        "atpp": state.atpp,
        "replay": state.replay_ratio,
        "rank": state.rank,
        "lr": state.lr,
        "alpha": state.interpolation,
        "seed": state.seed,
    }


def passes(run: Planned, where: Filter, scored: frozenset[str]) -> bool:
    """Whether a run is meant: one of its states is, or it has none and what it says of itself fits."""
    return run.run_id in scored or where.accepts(record_of_planned(run))


def record_of_planned(run: Planned) -> dict[str, Any]:
    """What a run says of itself under the names of FIELDS; what only a state has is not in it."""
    return {
        "run": run.run_id,
        "domain": run.domain,
        "size": run.size,
        "method": run.method,
        "variant": run.variant,
        "newlines": run.newlines,
        "ptpp": run.ptpp,
        "replay": run.replay_ratio,
        "rank": run.rank,
        "lr": run.lr,
        "seed": run.seed,
    }


def similarity_of(rows: Sequence[Similarity], domains: set[str | None]) -> dict[str, float]:
    """Each domain's similarity to the base text by the preferred measure that knows the most of them; oriented."""
    groups: dict[tuple[str, ...], dict[str, list[Similarity]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.measure, row.embedder, row.reference, row.encoder or ""][row.domain].append(row)

    def rank(key: tuple[str, ...]) -> tuple[Any, ...]:
        return -len(groups[key].keys() & domains), preference(View(key[0], key[1]))

    best = min(groups, key=rank, default=None)
    return {} if best is None else {domain: average(found).oriented for domain, found in groups[best].items()}


def read_intervals(workspace: Workspace, entries: Sequence[Sequence[Score]]) -> list[MeanDifference | None]:
    """ΔL of each entry's seeds together, nats per token, with its paired bootstrap over documents.

    A document's change is the mean over the seeds, which are held fixed: the interval says how ΔL would vary with
    other documents, not with other seeds. None where losses by document are not kept of every seed.
    """
    from store.database import lease

    with lease(workspace) as con:
        return same_documents(con, entries)


def same_documents(con: Connection, entries: Sequence[Sequence[Score]]) -> list[MeanDifference | None]:
    """As ``read_intervals``, of scores whose ``before`` is any evaluation of the same text."""
    from store.queries.sums import read_document_changes

    columns = read_document_changes(con, [(score.before or "", score.after) for scores in entries for score in scores])
    found, start = [], 0
    for scores in entries:
        mine = [columns["pair"] == start + offset for offset in range(len(scores))]
        start += len(scores)
        parts = [{name: values[rows] for name, values in columns.items()} for rows in mine]
        found.append(_interval(scores, parts))
    return found


def _interval(scores: Sequence[Score], parts: Sequence[Mapping[str, np.ndarray]]) -> MeanDifference | None:
    import numpy as np

    from engine.stats import paired_bootstrap
    from store.queries.sums import agree

    complete = [
        agree(part) and int(part["count"].sum()) == score.predicted for score, part in zip(scores, parts, strict=True)
    ]
    if not parts or not all(complete):
        return None
    first = parts[0]
    if any(not np.array_equal(part["document"], first["document"]) for part in parts):
        return None
    change = np.mean([part["sum_delta"] for part in parts], axis=0)
    return paired_bootstrap(change / first["count"], first["count"])
