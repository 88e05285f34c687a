"""What the Runs screen and ``odyssey runs`` list: read, filtered, grouped, seeds joined."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odyssey_tui.services.filter import UnknownKeyError
from odyssey_tui.services.run_configs import ConfigReader, differing_keys
from odyssey_tui.services.run_groups import UNGROUPED, RunGroup, arrange
from odyssey_tui.services.runs import FIELDS, RunRow, in_order, parse
from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from engine.launch.experiments import Launched
    from odyssey_tui.services.filter import Filter
    from store.listing import Listed, State
    from store.workspace import Workspace


@dataclass(frozen=True)
class Listing:
    """Runs in groups; how many there are, and how many pass the filter."""

    groups: tuple[RunGroup, ...]
    total: int
    shown: int


class RunLister:
    """Lists the runs of one workspace again and again. Threads may share one."""

    def __init__(self, workspace: Workspace) -> None:
        from store.listing import RunListing

        self._workspace = workspace
        self._listing = RunListing(workspace)
        self._configs = ConfigReader()
        self._state: tuple[State | None, list[Launched]] = None, []
        """What the rows were made of."""
        self._seeds = False
        """Whether they have the keys of seeds."""
        self._rows: dict[str, RunRow] = {}
        self._last: tuple[dict[str, RunRow], tuple[object, ...], Listing] | None = None
        """The rows listed last, how, and the list."""
        self._lock = threading.RLock()

    def read(self, text: str = "", *, sort: str = "plan", group: str = "experiment", seeds: bool = True) -> Listing:
        """The runs that pass the filter ``text``; while nothing changes the same object.

        Raises ConfigError (FilterError for the filter). Unless ``seeds`` groups have no units: which runs differ in
        their seed alone is not looked at.
        """
        chosen = _parse_columns(text)
        by_key = group not in FIELDS and group != UNGROUPED
        wanted = (text, sort, group, seeds)
        with self._lock:
            rows = self._read_rows(seeds=seeds)
            if chosen is None or by_key:
                self._configs.read(self._workspace, self._rows.keys())
            if self._last is not None and self._last[0] is self._rows and self._last[1] == wanted:
                return self._last[2]
            if by_key:
                self._check_key(group, rows)
            shown = rows if chosen is not None and not chosen.tests else self._filter(rows, text, chosen)
            groups = arrange(shown, sort=sort, group=group, configs=self._configs, seeds=seeds)
            listing = Listing(groups, len(rows), len(shown))
            self._last = self._rows, wanted, listing
        return listing

    def recall(self, *, sort: str = "plan", group: str = "experiment") -> Listing | None:
        """All runs as somebody listed them last, at once: not as current as ``read``. None where nobody has."""
        from engine.launch.experiments import read_launches

        with self._lock:
            found = self._listing.recall()
            if found is None or not found.columns["run_id"]:
                return None
            self._take(found, read_launches(self._workspace), seeds=None not in found.columns["seed_key"])
            rows = list(self._rows.values())
            listing = Listing(arrange(rows, sort=sort, group=group, configs=self._configs), len(rows), len(rows))
            self._last = self._rows, ("", sort, group, True), listing
        return listing

    def _read_rows(self, *, seeds: bool = False) -> list[RunRow]:
        """The runs now. One that has not changed is the same object as before: what holds it compares in no time."""
        from engine.launch.experiments import read_launches

        launches = read_launches(self._workspace)
        before, planned = self._state
        found = self._listing.read_news(before if launches == planned and seeds <= self._seeds else None, seeds=seeds)
        if found.columns:
            self._take(found, launches, seeds=seeds)
        return list(self._rows.values())

    def _take(self, found: Listed, launches: list[Launched], *, seeds: bool) -> None:
        pairs = ((row, self._rows.get(row.run_id)) for row in in_order(found.columns, launches))
        self._rows = {row.run_id: known if known == row else row for row, known in pairs}
        self._state, self._seeds = (found.state, launches), seeds

    def _check_key(self, key: str, rows: list[RunRow]) -> None:
        known = {**FIELDS, **self._configs.fields([row.run_id for row in rows])}
        if key not in known:
            raise ConfigError(f"no run has a key '{key}'", suggest(key, known, f"Keys: {', '.join(FIELDS)}, …"))

    def _filter(self, rows: list[RunRow], text: str, chosen: Filter | None) -> list[RunRow]:
        if chosen is not None:
            return [row for row in rows if chosen.accepts(row.record())]
        chosen = parse(text, self._configs.fields([row.run_id for row in rows]))
        return [row for row in rows if chosen.accepts({**self._configs.values(row.run_id), **row.record()})]

    def fields(self) -> dict[str, type]:
        """Every key that a filter may name: columns, then keys of configurations."""
        run_ids = [row.run_id for row in self._read_configs()]
        return {**FIELDS, **{key: kind for key, kind in self._configs.fields(run_ids).items() if key not in FIELDS}}

    def group_keys(self) -> list[tuple[str, int]]:
        """Keys of the configurations that differ between runs, with how many values each has."""
        rows = self._read_configs()
        found = differing_keys([self._configs.values(row.run_id) for row in rows])
        return [(key, count) for key, count in found if key not in FIELDS]

    def values(self, run_id: str) -> Mapping[str, str | float]:
        """The configuration of a run, flattened; empty unless ``fields`` or a filter has read it."""
        return self._configs.values(run_id)

    def _read_configs(self) -> list[RunRow]:
        """The runs now, their configurations read. Of many runs that takes long, and lists do not wait for it."""
        with self._lock:
            rows = self._read_rows()
        self._configs.read(self._workspace, {row.run_id for row in rows})
        return rows


def _parse_columns(text: str) -> Filter | None:
    """The filter; None where it looks at keys of configurations: those cost a look at every specification."""
    try:
        return parse(text)
    except UnknownKeyError:
        return None
