"""Checks of run directories against the database."""

from __future__ import annotations

import os
from collections.abc import Iterator

from store.errors import DataError
from store.event_rows import text
from store.journal import read_events
from store.run_dir import RunDir
from store.strays import find_strays
from store.survey import Source, look_at, reopened_runs, waiting_runs
from store.upkeep.check_rows import REBUILD
from store.upkeep.deletion import half_deleted
from store.upkeep.findings import Check, Finding, Scene, names
from store.upkeep.leftovers import find_leftovers, unknown_files
from store.upkeep.losses import unused_bytes
from store.upkeep.tails import last_seq

_GC = "`odyssey store gc` lists and removes it."
_GC_AGED = "`odyssey store gc` lists and removes it after two weeks; with `--keep-days 0` at once."
_AGED = frozenset({"backup", "quarantine"})
"""Leftovers that stay for a while."""


def _directories(scene: Scene) -> Iterator[Finding]:
    known = dict(scene.ask("SELECT run_id, removed FROM runs"))
    there = {run.run_id for run in scene.runs}
    gone = sorted(run_id for run_id, removed in known.items() if run_id not in there and removed is None)
    if gone:
        yield Finding(
            "problem",
            f"{len(gone)} runs have lost their directories: {names(gone)}",
            f"`odyssey delete {gone[0]}` forgets a run, with --keep-losses it keeps what the run measured; "
            "`odyssey store restore BACKUP` brings directories back.",
        )
    unseen = sorted(there - known.keys())
    if unseen:
        yield Finding("problem", f"the database does not know {len(unseen)} runs: {names(unseen)}", REBUILD)
    for stray in find_strays(scene.workspace):
        yield Finding("problem", f"{stray.path} {stray.what}", stray.advice)
    strangers = [run.run_id for run in scene.runs if _names_another(run)]
    if strangers:
        yield Finding(
            "problem",
            f"{len(strangers)} directories hold the specification of another run: {names(strangers)}",
            "They were copied or renamed: give them their name back, or delete them.",
        )


def _names_another(run: RunDir) -> bool:
    try:
        spec = run.spec()
    except DataError:
        return False
    return isinstance(spec, dict) and spec.get("run_id") != run.run_id


def _specifications(scene: Scene) -> Iterator[Finding]:
    errors = []
    for run in scene.runs:
        try:
            run.spec()
        except DataError as error:
            errors.append(error)
    if errors:
        others = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        yield Finding(
            "problem",
            f"{errors[0].message}{others}",
            "`odyssey store restore BACKUP` brings them back; else delete the runs and launch their experiments again.",
        )


def _journals(scene: Scene) -> Iterator[Finding]:
    there = {run.run_id for run in scene.runs}
    shorter = [
        file
        for file, run_id, seq in scene.ask("SELECT file, run_id, seq FROM ingested_journals ORDER BY 1")
        if (run_id is None or run_id in there) and last_seq(scene.workspace.root / file) < seq
    ]
    if shorter:
        yield Finding(
            "problem",
            f"{len(shorter)} journals lack events that the database has read: {names(shorter)}",
            "Nothing is lost while the database is there. `odyssey store restore BACKUP` brings them back.",
        )


def _sequences(scene: Scene) -> Iterator[Finding]:
    ledger = {
        file: (offset, seq) for file, offset, seq in scene.ask("SELECT file, byte_offset, seq FROM ingested_journals")
    }
    gaps, behind, malformed = [], [], []
    for run in scene.runs:
        for source in look_at(run).journals:
            name = str(source.path.relative_to(scene.workspace.root))
            events, end = read_events(source.path)
            seqs = [event["seq"] for event in events if event["seq"] >= 0]
            if len(seqs) < len(events):
                malformed.append(name)
            if seqs != list(range(len(seqs))):
                gaps.append(name)
            offset, seq = ledger.get(name, (0, -1))
            if offset == end and seqs and max(seqs) != seq:
                behind.append(name)
    if malformed:
        yield Finding(
            "warning", f"{len(malformed)} journals have malformed lines: {names(malformed)}", "They are passed over."
        )
    if gaps:
        yield Finding("warning", f"events are missing or doubled in {len(gaps)} journals: {names(gaps)}", "")
    if behind:
        yield Finding("problem", f"{len(behind)} journals were changed after they were read: {names(behind)}", REBUILD)


def _states(scene: Scene) -> Iterator[Finding]:
    """Compared only where the database has read all there is: the others are on their way."""
    known = {
        run: rest for run, *rest in scene.ask("SELECT run_id, state, attempt, reason FROM runs WHERE removed IS NULL")
    }
    ledger = dict(scene.ask("SELECT file, byte_offset FROM ingested_journals"))
    differ = []
    for run in scene.runs:
        sources = look_at(run).journals
        if run.run_id not in known or any(
            ledger.get(str(source.path.relative_to(scene.workspace.root))) != source.size for source in sources
        ):
            continue
        state = run.state()
        if [state.state, state.attempt, text(state.reason)] != known[run.run_id]:
            differ.append(f"{run.run_id} ({known[run.run_id][0]}; files: {state.state})")
    if differ:
        yield Finding("problem", f"the database is wrong about {len(differ)} runs: {names(differ)}", REBUILD)


def _checkpoints(scene: Scene) -> Iterator[Finding]:
    models = {model for (model,) in scene.ask("SELECT model_id FROM models WHERE run_id IS NOT NULL")}
    stray = []
    for run in scene.runs:
        folder = run.path / "checkpoints"
        if folder.is_dir():
            stray += [
                f"{run.run_id}/{name}"
                for name in sorted(os.listdir(folder))
                if not name.startswith(".") and name != "resume" and f"{run.run_id}@{name}" not in models
            ]
    if stray:
        yield Finding("warning", f"{len(stray)} checkpoints belong to no state: {names(stray)}", "Delete them by hand.")


def _deleted(scene: Scene) -> Iterator[Finding]:
    waiting = sorted(half_deleted(scene.workspace))
    if waiting:
        yield Finding(
            "problem", f"the deletion of {names(waiting)} was interrupted", "Any command, like `odyssey runs`, ends it."
        )


def _waiting(scene: Scene) -> Iterator[Finding]:
    open_runs = {run_id for (run_id,) in scene.ask("SELECT run_id FROM runs WHERE NOT closed")}
    closed = [look_at(run) for run in scene.runs if run.run_id not in open_runs]
    if waiting := [files.run.run_id for files in closed if files.shards]:
        yield Finding("problem", f"shards of finished runs wait to be read: {names(waiting)}", REBUILD)
    ledger = dict(scene.ask("SELECT file, byte_offset FROM ingested_journals"))
    again = {*waiting_runs(scene.workspace), *reopened_runs(scene.workspace)}
    journals = {
        str(source.path.relative_to(scene.workspace.root)): source
        for files in closed
        if files.run.run_id not in again
        for source in files.journals
    }
    if longer := [name for name, source in journals.items() if _ends_beyond(source, ledger.get(name, 0))]:
        yield Finding("problem", f"journals of finished runs hold more than was read: {names(longer)}", REBUILD)


def _ends_beyond(source: Source, offset: int) -> bool:
    """Whether a journal has complete lines after ``offset``; one that cannot be read is another check's."""
    try:
        return source.size > offset and read_events(source.path, offset)[1] > offset
    except DataError:
        return False


def _leftovers(scene: Scene) -> Iterator[Finding]:
    by_kind: dict[str, list[int]] = {}
    for left in find_leftovers(scene.workspace):
        by_kind.setdefault(left.kind, []).append(left.n_bytes)
    for kind, sizes in by_kind.items():
        severity = "warning" if kind == "quarantine" else "info"
        hint = _GC_AGED if kind in _AGED else _GC
        yield Finding(severity, f"{kind}: {sum(sizes) / 1e6:.1f} MB in {len(sizes)}", hint)


def _unknown(scene: Scene) -> Iterator[Finding]:
    found = [str(path.relative_to(scene.workspace.root)) for path in unknown_files(scene.workspace)]
    if found:
        yield Finding("info", f"{len(found)} files in run directories are not odyssey's: {names(found)}", "")


def _room(scene: Scene) -> Iterator[Finding]:
    unused, whole = unused_bytes(scene.con), scene.workspace.database_path.stat().st_size
    if unused > max(0.2 * whole, 50e6):
        yield Finding("info", f"{unused / 1e6:.0f} MB of the database's file are unused", _GC)


CHECKS = (
    Check("runs have directories", _directories),
    Check("specifications can be read", _specifications),
    Check("journals are as they were read", _journals),
    Check("events count without gaps", _sequences, deep=True),
    Check("states are those of the files", _states),
    Check("finished runs have been read to the end", _waiting),
    Check("deletions are complete", _deleted),
    Check("checkpoints are of states", _checkpoints),
    Check("no files are left over", _leftovers),
    Check("all files are known", _unknown),
    Check("the database has no holes", _room),
)
