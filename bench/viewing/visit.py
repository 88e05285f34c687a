"""A program in a terminal, used as a person would: ``python -m bench.viewing.visit VISIT.json``.

Seconds until its first frame and its first rows; then keys one at a time, each pressed when the last one's drawing has
ended; at the end a while in which nothing is pressed.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.harness import MIB, leave_result
from bench.viewing.terminal import Answer, Terminal

START_QUIET_S, START_PATIENCE_S = 2.0, 30.0
"""What is still read and drawn behind the first rows has ended when nothing has come for so long; and how long that is
waited for."""


@dataclass(frozen=True)
class Step:
    """Keys pressed one after another, ``times`` times over. A named step is measured; another only leads somewhere.

    ``shows``: what has to be on screen before the next step. A measured key that draws nothing is an error.
    """

    keys: tuple[str, ...]
    name: str = ""
    times: int = 1
    shows: str = ""


@dataclass(frozen=True)
class Visit:
    """What to start, how to know its rows, and what to do with it."""

    command: tuple[str, ...]
    rows: str
    """A pattern that only a row of data matches; empty where there are none to wait for."""
    folder: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    quiet_s: float = 0.3
    """A key's drawing has ended when nothing has come for so long."""
    idle_s: float = 0.0

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: str | Path) -> Visit:
        content = json.loads(Path(path).read_text())
        steps = tuple(Step(**{**step, "keys": tuple(step["keys"])}) for step in content.pop("steps"))
        pairs = tuple((name, value) for name, value in content.pop("environment"))
        return cls(**{**content, "command": tuple(content["command"])}, steps=steps, environment=pairs)


def main() -> None:
    leave_result(pay(Visit.read(sys.argv[1])))


def pay(visit: Visit, patience_s: float = 20.0) -> dict[str, float]:
    """All measurements of one visit. ``RuntimeError`` when something expected does not appear.

    ``patience_s``: how long a key is waited for that draws nothing.
    """
    environment = {**os.environ, **dict(visit.environment)}
    found: dict[str, float] = {}
    with Terminal(visit.command, environment, visit.folder or None) as terminal:
        found["first_frame_s"] = terminal.wait_for_frame()
        if visit.rows:
            found["first_rows_s"] = terminal.wait_for(visit.rows)
        found["first_rows_cpu_s"] = terminal.cpu_s()
        if (last := terminal.wait_until_quiet(START_QUIET_S, START_PATIENCE_S)) is not None:
            found["start_s"] = last
            found["start_cpu_s"] = terminal.cpu_s()
            found["start_kb"] = terminal.n_bytes / 1e3
        found["start_rss_mib"] = terminal.rss_bytes() / MIB
        for step in visit.steps:
            found |= dict(_take(terminal, step, visit.quiet_s, patience_s))
        if visit.steps:
            found["rss_mib"] = terminal.rss_bytes() / MIB
        if visit.idle_s:
            found |= _wait(terminal, visit.idle_s)
    return found


def _take(terminal: Terminal, step: Step, quiet_s: float, patience_s: float) -> Iterator[tuple[str, float]]:
    since, worked = terminal.n_bytes, terminal.cpu_s()
    answers: list[Answer] = []
    for _ in range(step.times):
        for key in step.keys:
            answer = terminal.answer_to(key, quiet_s, patience_s)
            if step.name and answer.painted_s is None:
                raise RuntimeError(f"{step.name}: {key!r} drew nothing")
            answers.append(answer)
    if step.shows:
        terminal.wait_for(step.shows, since=since)
        terminal.wait_until_quiet(START_QUIET_S)
    if step.name:
        painted = sorted(answer.painted_s or 0.0 for answer in answers)
        frames = [size for answer in answers for size in answer.frames]
        yield f"{step.name}_p50_ms", statistics.median(painted) * 1e3
        yield f"{step.name}_p95_ms", percentile(painted, 0.95) * 1e3
        yield f"{step.name}_settled_ms", statistics.median(answer.settled_s or 0.0 for answer in answers) * 1e3
        yield f"{step.name}_cpu_ms", (terminal.cpu_s() - worked) / len(answers) * 1e3
        yield f"{step.name}_frame_kb", statistics.median(frames) / 1e3
        yield f"{step.name}_largest_kb", max(frames) / 1e3


def _wait(terminal: Terminal, idle_s: float) -> Mapping[str, float]:
    """Nothing is pressed: bytes sent, and the share of one core that was used."""
    terminal.wait_until_quiet(START_QUIET_S)
    since, worked, began = terminal.n_bytes, terminal.cpu_s(), time.perf_counter()
    while (left := began + idle_s - time.perf_counter()) > 0:
        terminal.listen(left)
    spent = terminal.cpu_s() - worked
    return {"idle_bytes": terminal.n_bytes - since, "idle_cpu_percent": 100 * spent / (time.perf_counter() - began)}


def percentile(values: list[float], share: float) -> float:
    """The smallest of ``values`` (sorted) that at least ``share`` of them do not exceed."""
    return values[max(0, -int(-share * len(values) // 1) - 1)]


if __name__ == "__main__":
    main()
