"""The attempts of a run: how each before the newest ended, and from where the next went on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import count, cut

if TYPE_CHECKING:
    from store.run_dir import RunDir

ENDED = {"failed": "failed", "cancelled": "was cancelled", "lost": "was lost"}
REASON_LENGTH = 120
_TELLING = (b'"resumed"', b'"failed"', b'"cancelled"', b'"lost"', b'"retried"')


def read_history(run: RunDir) -> tuple[str, ...]:
    """A line for every attempt after the first: what ended the one before, and how much of it was kept."""
    attempts = run.attempts()
    if len(attempts) < 2:
        return ()
    ends: dict[int, str] = {}
    for event in _telling(run.control):
        number = event.get("attempt") or 0
        if event["event"] in ENDED:
            ends[number] = _ending(event)
        elif event["event"] == "retried" and event.get("by") == "worker":
            # A worker that was told to end has given the run back: nobody calls its attempt lost.
            ends[number - 1] = _ending(event)
    lines = []
    for attempt in attempts:
        events = _telling(attempt.events)
        if attempt.number > 1:
            resumed = next((event for event in events if event["event"] == "resumed"), None)
            start = "began anew" if resumed is None else f"went on from {count(resumed['tokens'])} tokens"
            before = ends.get(attempt.number - 1)
            lines.append(f"attempt {attempt.number} {start}{f'; the one before {before}' if before else ''}")
        ended = [event for event in events if event["event"] in ENDED]
        if ended:
            ends[attempt.number] = _ending(ended[-1])
    return tuple(lines)


def _ending(event: dict[str, Any]) -> str:
    reason = str(event.get("reason") or "")
    return f"{ENDED.get(event['event'], 'stopped')}: {cut(reason, REASON_LENGTH)}" if reason else ENDED[event["event"]]


def _telling(journal: Path) -> list[dict[str, Any]]:
    """The few events that matter here, of journals that are mostly metrics."""
    try:
        with open(journal, "rb") as file:
            lines = [line for line in file if any(name in line for name in _TELLING)]
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a torn or damaged line, which ingest reports
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.append(event)
    return events
