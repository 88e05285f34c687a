"""The state of a run: a fold over what the scheduler said and what the newest attempt's worker said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

TERMINAL = frozenset({"done", "failed", "cancelled", "lost"})
_CONTROL = frozenset({"queued", "submitted", "assigned", "held", "lost", "cancelled", "retried"})
_ATTEMPT = frozenset({"starting", "running", "stopping", "done", "failed", "cancelled"})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e300


def _is_pid(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("host", "boot_id", "device", "phase", "unit"), _is_text),
    **dict.fromkeys(("total", "done", "pid_started"), _is_amount),
    "eta_s": lambda value: value is None or _is_amount(value),
    "pid": _is_pid,
}
"""Fields of an event that are part of the state, where they are what they should be: a journal may be damaged."""


@dataclass(frozen=True)
class RunState:
    """What a run is doing, as its files say. Times are unix seconds; ``done`` and ``total`` are units of work."""

    state: str = "queued"
    attempt: int = 0
    """The attempt the state speaks of; 0 before the first."""
    reason: str = ""
    hint: str = ""
    done: float = 0.0
    total: float = 0.0
    phase: str = ""
    eta_s: float | None = None
    started: float | None = None
    ended: float | None = None
    pid: int | None = None
    host: str | None = None
    unit: str = ""
    queued: float | None = None
    heartbeat: float | None = None
    """Time of the last event of the attempt: its last sign of life."""
    pid_started: float | None = None
    boot_id: str | None = None
    device: str | None = None
    worker: str | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen unless the run is retried."""
        return self.state in TERMINAL


@dataclass(frozen=True)
class RunFold:
    """Everything the state depends on. Immutable: ``control`` and ``events`` return the fold after more events.

    The scheduler and the worker write separate journals, so neither order in time nor clocks are trusted between
    them: a scheduler's word about attempt n holds against events of attempt n and older, a newer attempt overrules it.
    """

    said: str = "queued"
    said_of: int = 0
    """The attempt the scheduler's last word is about."""
    said_at: float | None = None
    said_reason: str = ""
    said_hint: str = ""
    attempt: RunState = RunState()

    def control(self, events: Iterable[Mapping[str, Any]]) -> RunFold:
        """The fold after events of ``control.jsonl``."""
        fold = self
        for event in events:
            name = event["event"]
            if name not in _CONTROL:
                continue
            newest = max(fold.said_of, fold.attempt.attempt)
            number = event.get("attempt")
            number = number if type(number) is int and 0 <= number < 2**31 else newest
            fold = replace(
                fold,
                said=name,
                # A retry is about the attempt to come, whichever number it was written with.
                said_of=max(number, newest + 1) if name == "retried" else number,
                said_at=event["t"],
                said_reason=str(event.get("reason") or ""),
                said_hint=str(event.get("hint") or ""),
            )
            if name in ("queued", "retried"):
                fold = replace(fold, attempt=replace(fold.attempt, queued=event["t"]))
            if name == "assigned":
                worker = event.get("worker")
                fold = replace(fold, attempt=replace(fold.attempt, worker=worker if _is_text(worker) else None))
        return fold

    def events(self, number: int, events: Iterable[Mapping[str, Any]]) -> RunFold:
        """The fold after events of attempt ``number``; those of an attempt older than the newest known are ignored."""
        if number < self.attempt.attempt:
            return self
        state = self.attempt
        if number > state.attempt:
            state = RunState(attempt=number, state="starting", queued=state.queued, worker=state.worker)
        for event in events:
            state = _step(state, event)
        return replace(self, attempt=state)

    def state(self) -> RunState:
        """The state of the run."""
        attempt = self.attempt
        known = attempt.attempt
        if self.said in ("queued", "held") and known == 0:
            return replace(attempt, state=self.said, reason=self.said_reason)
        if self.said == "assigned" and self.said_of > known:
            return RunState(state="starting", attempt=self.said_of, queued=attempt.queued, worker=attempt.worker)
        if self.said == "submitted" and self.said_of > known:
            return RunState(state="queued", attempt=known, reason=self.said_reason, queued=attempt.queued)
        if self.said == "retried" and self.said_of > known:
            again = f"again: {self.said_reason}" if self.said_reason else ""
            return RunState(state="queued", attempt=known, reason=again, queued=attempt.queued)
        if self.said in ("held", "queued") and (self.said_of > known or (attempt.finished and self.said_of == known)):
            return RunState(state=self.said, attempt=known, reason=self.said_reason, queued=attempt.queued)
        if self.said in ("lost", "cancelled") and (self.said_of > known or not attempt.finished):
            return replace(
                attempt,
                state=self.said,
                attempt=self.said_of,
                reason=self.said_reason,
                hint=self.said_hint,
                ended=self.said_at,
                eta_s=None,
            )
        return attempt

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for storing; ``from_dict`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> RunFold:
        return cls(**{**value, "attempt": RunState(**value["attempt"])})


def _step(state: RunState, event: Mapping[str, Any]) -> RunState:
    name, at = event["event"], event["t"]
    changes: dict[str, Any] = {"heartbeat": at} if at else {}
    if name in _ATTEMPT:
        changes["state"] = name
        changes["reason"] = str(event.get("reason") or "")
        changes["hint"] = str(event.get("hint") or "")
    if name in TERMINAL:
        changes |= {"ended": at, "eta_s": None}
    if name in ("starting", "running", "progress"):
        changes |= {key: event[key] for key, fits in _FIELDS.items() if key in event and fits(event[key])}
    if name == "starting":
        changes["started"] = at
    if name == "progress" and state.state == "stopping":
        changes.pop("eta_s", None)
    return replace(state, **changes)
