"""What other tools recorded, as runs of a workspace: specification and journals like those of any other run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.importers.recorded import Measurement, Recorded
from engine.spec.run import ImportedJob, RunSpec
from engine.spec.strict import content_key
from store.event_rows import ordered
from store.exchange.renewal import renew_run
from store.files import cannot_write, temporary_name, write_atomic
from store.journal import read_events
from store.workspace import Workspace

METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "loss": ("train/loss", "train_loss", "training_loss", "loss/train", "train.loss"),
    "valid_loss": ("eval/loss", "eval_loss", "val/loss", "val_loss", "valid/loss", "validation/loss", "loss/val"),
    "lr": ("train/learning_rate", "learning_rate", "train/lr"),
    "grad_norm": ("train/grad_norm",),
    "tokens_per_s": ("tokens_per_second", "train/tokens_per_second", "tokens/s"),
    "tokens": ("num_tokens", "train/num_tokens", "train/num_input_tokens_seen", "num_input_tokens_seen", "tokens_seen"),
}
"""Metrics under the names that tables and curves here know, and what trackers call them; ``tokens`` is an axis."""
_LABELS: dict[str, type] = {
    "domain": str,
    "size": str,
    "method": str,
    "replay_ratio": float,
    "ptpp": float,
    "rank": float,
    "lr": float,
}
_EVENTS, _CONTROL, _SPEC = "attempts/1/events.jsonl", "control.jsonl", "spec.json"


@dataclass(frozen=True)
class Kept:
    """What became of one run. ``state``: new, longer, changed or known; counts are of values and points in all."""

    run_id: str
    experiment: str
    recorded: Recorded
    state: str
    n_values: int
    n_points: int
    before: int
    """Values and points that it had."""


def keep(
    workspace: Workspace, recorded: Recorded, experiment: str | None, mapped: Mapping[str, str], *, write: bool = True
) -> Kept:
    """Write the run, or what it has grown by; ``write=False`` only says what would be done.

    A tracker's run keeps what earlier imports brought (its log may be in parts); a table's points are replaced.
    """
    run_id = identify(workspace, recorded, experiment)
    run = workspace.run(run_id)
    old_spec = run.spec() if run.exists() else None
    if old_spec is not None:
        # The name a folder gives it depends on where it was looked for; the first one stays.
        recorded = replace(recorded, name=old_spec["name"])
        experiment = experiment or old_spec["experiment"]
    experiment = experiment or recorded.project or "imported"
    old = read_events(run.attempt(1).events)[0] if old_spec is not None else []
    names = choose_names((name for m in recorded.measurements for name in m.values), mapped)
    if old_spec is not None and recorded.tool != "table" and old_spec["job"].get("names", {}) == names:
        recorded = _with_earlier(recorded, old, names)
    spec = describe(run_id, recorded, experiment, names)
    files = {
        _SPEC: _json(spec.content(), indent=2) + "\n",
        _EVENTS: _lines(events_of(recorded, names)),
        _CONTROL: _lines(control_of(recorded)),
    }
    kept = Kept(
        run_id,
        experiment,
        recorded,
        "new",
        sum(len(m.values) for m in recorded.measurements),
        len(recorded.points),
        sum(len(e["values"]) if e["event"] == "metric" else e["event"] == "point" for e in old),
    )
    if old_spec is None:
        if write:
            _write_new(workspace, run_id, files)
        return kept
    same = all(_content(workspace, run_id, name) == files[name] for name in (_EVENTS, _CONTROL))
    if same and _without_source(old_spec) == _without_source(spec.content()):
        return replace(kept, state="known")
    if write:
        renew_run(workspace, run_id, files)
    longer = kept.n_values + kept.n_points > kept.before
    return replace(kept, state="longer" if longer else "changed")


def identify(workspace: Workspace, recorded: Recorded, experiment: str | None) -> str:
    """The run's identifier here: its name, and a key of the tool and what the tool calls it.

    The key decides, whatever the name was when the run came first. A table has no identity of its own: it is its
    file's name within an experiment.
    """
    within = [experiment or recorded.project] if recorded.tool == "table" else []
    key = content_key([recorded.tool, recorded.source_id, *within], 8)
    for known in sorted(workspace.runs.glob(f"*-{key}")):
        if workspace.run(known.name).is_imported():
            return known.name
    readable = re.sub(r"[^A-Za-z0-9._=+,-]+", "-", recorded.name).strip("-._=+,")[:60] or recorded.tool
    return f"{readable}-{key}"


def choose_names(present: Iterable[str], mapped: Mapping[str, str]) -> dict[str, str]:
    """The name here → the name there, of the metrics that have another one here."""
    there = dict.fromkeys(present)
    names = {here: name for here, name in mapped.items() if name in there}
    for here, others in METRIC_NAMES.items():
        if here not in there and here not in names:
            free = [name for name in others if name in there and name not in names.values()]
            names |= {here: free[0]} if free else {}
    return names


def describe(run_id: str, recorded: Recorded, experiment: str, names: Mapping[str, str]) -> RunSpec:
    """The specification of an imported run: labels are what its configuration has of the axes that runs have here."""
    labels = {name: value for name in _LABELS if (value := _label(name, recorded.config.get(name))) is not None}
    seed = recorded.config.get("seed")
    return RunSpec(
        run_id=run_id,
        name="".join(char if char.isprintable() else "\ufffd" for char in recorded.name),
        experiment=experiment,
        labels=labels,
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else 0,
        job=ImportedJob(
            tool=recorded.tool,
            tool_version=recorded.version,
            source=str(recorded.source.resolve()),
            source_id=recorded.source_id,
            names=dict(names),
            config=json.loads(ordered(json.loads(_json(recorded.config)))),
        ),
    )


def _label(name: str, value: Any) -> str | float | None:
    if value is None or isinstance(value, bool | dict | list):
        return None
    try:
        return _LABELS[name](value)
    except ValueError:
        return None


def events_of(recorded: Recorded, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The journal of the run's one attempt, without ``seq``; times are those of the recording."""
    begun = recorded.started or 0.0
    yield {"t": begun, "event": "starting", "host": recorded.host, "device": "", "git": ""} | (
        {"versions": {recorded.tool: recorded.version}} if recorded.version else {}
    )
    yield {"t": begun, "event": "running", "unit": "points" if recorded.points else "steps"}
    here = {there: name for name, there in names.items() if name != "tokens"}
    counted = names.get("tokens", "tokens")
    for m in recorded.measurements:
        values = {here.get(name, name): value for name, value in m.values.items()}
        tokens = m.values.get(counted)
        whole = int(tokens) if tokens is not None and tokens >= 0 and tokens == int(tokens) else None
        yield {"t": m.t, "event": "metric", "step": m.step, "tokens": whole, "branch": "trunk", "values": values}
    for point in recorded.points:
        yield {"t": begun, "event": "point", **point}
    ended = recorded.ended if recorded.ended is not None else begun
    if recorded.state == "failed":
        yield {"t": ended, "event": "failed", "reason": recorded.reason, "hint": "", "error_type": ""}
    if recorded.state == "done":
        yield {"t": ended, "event": "done", "seconds": round(ended - begun, 3)}


def control_of(recorded: Recorded) -> Iterator[dict[str, Any]]:
    """The scheduler's journal: when it was queued, and that it was lost where no end was recorded."""
    begun, ended = recorded.started or 0.0, recorded.ended or recorded.started or 0.0
    yield {"t": begun, "event": "queued"}
    if recorded.state == "lost":
        yield {"t": ended, "event": "lost", "attempt": 1, "reason": recorded.reason, "hint": "Import it again later."}


def _with_earlier(recorded: Recorded, old: list[dict[str, Any]], names: Mapping[str, str]) -> Recorded:
    """``recorded`` with the measurements that an earlier import brought and this one does not."""
    there = {name: other for name, other in names.items() if name != "tokens"}
    earlier = [
        Measurement(e["t"], e.get("step"), {there.get(name, name): value for name, value in e["values"].items()})
        for e in old
        if e["event"] == "metric"
    ]
    known = {_identity(m) for m in recorded.measurements}
    missing = [m for m in earlier if _identity(m) not in known]
    if not missing:
        return recorded
    merged = sorted([*missing, *recorded.measurements], key=lambda m: m.t)
    times = [m.t for m in merged]
    return replace(
        recorded,
        measurements=tuple(merged),
        started=min([*times, recorded.started or times[0]]),
        ended=max([*times, recorded.ended or times[-1]]),
    )


def _identity(measurement: Measurement) -> str:
    # repr tells not-a-number from itself neither, unlike ==.
    return repr((measurement.t, measurement.step, sorted(measurement.values.items())))


def _without_source(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the recording elsewhere is the same recording."""
    return {**spec, "job": {**spec["job"], "source": ""}}


def _lines(events: Iterable[dict[str, Any]]) -> str:
    return "".join(_json({"seq": seq, **event}, separators=(",", ":")) + "\n" for seq, event in enumerate(events))


def _json(value: Any, **options: Any) -> str:
    # What others wrote may hold characters that UTF-8 has not.
    return json.dumps(value, ensure_ascii=False, default=str, **options).encode(errors="replace").decode()


def _content(workspace: Workspace, run_id: str, name: str) -> str:
    try:
        return (workspace.run(run_id).path / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _write_new(workspace: Workspace, run_id: str, files: Mapping[str, str]) -> None:
    """The directory appears complete, by one rename: half an import is none."""
    staged = workspace.runs / temporary_name(run_id)
    try:
        for name, content in files.items():
            write_atomic(staged / name, content)
        os.rename(staged, workspace.run(run_id).path)
    except OSError as error:
        raise cannot_write(workspace.run(run_id).path, error) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
