"""What becomes of a run when its worker has finished with it or died, and whom that pauses."""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass
from math import isfinite

from engine.launch.entry import Entry
from engine.launch.experiments import Wanting
from engine.launch.mailbox import UNFINISHED
from engine.launch.pauses import Pauses
from engine.launch.roster import Roster
from engine.launch.workers import Worker, tail
from store.run_state import RunState
from store.space import NO_SPACE

_LOG = logging.getLogger(__name__)
DEATHS = 2
"""Early deaths in a row that pause an experiment, or the queue."""
FAILURES = 3
"""Runs of an experiment that fail early, one after the other and for the same reason, before it is paused."""


@dataclass(frozen=True)
class End:
    """How the execution of an attempt ended, and what to do about it."""

    words: str
    hint: str
    lived_s: float
    """Seconds that it lasted."""


class Endings:
    """Journals how attempts ended, queues again what deserves it, and pauses what only burns the queue.

    A run that was lost is queued again by itself at most ``retries`` times after a person asked for it. What ends
    before ``early_s`` seconds have passed is early.
    """

    def __init__(self, roster: Roster, pauses: Pauses, wanting: Wanting, early_s: float, retries: int) -> None:
        self._roster = roster
        self._pauses = pauses
        self._wanting = wanting
        self._early_s = early_s
        self._retries = retries
        self._unbegun = 0
        """Workers in a row that died before they began anything."""
        self._dying: set[str] = set()
        """Experiments of which runs died early since any run of any experiment ended well."""
        self._deaths: Counter[str] = Counter()
        self._failures: dict[str, tuple[str, int]] = {}

    def forgive(self, *experiments: str) -> None:
        """Forget early ends, of some experiments or of all: a run ended well, or somebody has looked at them."""
        self._unbegun = 0
        self._dying.clear()
        for name in experiments or (*self._failures, *self._deaths):
            self._deaths.pop(name, None)
            self._failures.pop(name, None)

    def conclude(self, entry: Entry, worker: Worker, alive: bool) -> None:
        """A worker has finished with a run, or died on it."""
        cancelling = entry.cancelling
        entry.worker = None
        words = "its worker ended without saying how the run ended" if alive else worker.ending()
        self.judge(entry, End(words, worker.advice(), worker.occupied_s), cancelling=cancelling)

    def judge(self, entry: Entry, end: End, *, cancelling: bool = False) -> None:
        """Nobody executes the attempt any more: it has ended, or its run is lost, or queued again."""
        state = entry.run.state()
        if state.finished:
            _LOG.info("run %s: %s %s", entry.run_id, state.state, state.reason)
            self._roster.drop(entry)
            self._note_end(entry, state, end.lived_s < self._early_s)
            return
        if cancelling:
            entry.say("cancelled", attempt=entry.attempt, reason=f"cancelled; {end.words}")
            self._roster.drop(entry)
            return
        began = entry.run.attempt(entry.attempt).events.exists()
        early = not began or (state.state != "stopping" and end.lived_s < self._early_s)
        when = f"after {end.lived_s:.0f} s" if isfinite(end.lived_s) else "when the machine was restarted"
        reason = self.lose(entry, f"{end.words} {when}", early=early, hint=end.hint)
        if not began:
            self.count_unbegun(reason)
        elif early:
            self._count_death(self._beneficiary(entry), reason)
        else:
            self.forgive(self._beneficiary(entry))

    def vanished(self, entry: Entry) -> None:
        """An active run was found without a worker."""
        self.lose(entry, "its worker vanished while no scheduler was there", early=False)

    def lose(self, entry: Entry, ending: str, *, early: bool, hint: str = "") -> str:
        """Journal that an attempt ended without a word, queue the run again if that is sensible; returns the reason."""
        attempt = entry.run.attempt(entry.attempt)
        said = tail(attempt.console)
        reason = f"{ending}: {said}" if said else ending
        _LOG.warning("run %s, attempt %d: %s", entry.run_id, entry.attempt, reason)
        entry.worker, entry.cancel_by = None, None
        self._roster.dirty = True
        if not attempt.events.exists():
            # The worker never began, so the run is not to blame.
            entry.say("retried", attempt=entry.attempt + 1, by="scheduler", reason=reason)
            return reason
        asked = entry.run.state().reason
        if asked in UNFINISHED:
            # It saved what it had: nothing is wrong with the run, so this counts as no retry.
            entry.say("retried", attempt=entry.attempt + 1, by="worker", reason=f"{asked}; {ending}")
            return reason
        entry.say("lost", attempt=entry.attempt, reason=reason, hint=hint)
        resumable = entry.run.checkpoint("resume").exists()
        if (not early or resumable) and entry.count_losses() <= self._retries:
            entry.say("retried", attempt=entry.attempt + 1, by="scheduler", reason=reason)
        else:
            self._roster.drop(entry)
        return reason

    def bury(self, worker: Worker) -> None:
        """An idle worker has died; that is expected of one that was told to leave."""
        if worker.order.exit or worker.child is None:
            return
        said = tail(worker.mailbox.console)
        reason = f"an idle worker: {worker.ending()}{f': {said}' if said else ''}"
        _LOG.warning("%s", reason)
        if worker.occupied_s < self._early_s:
            self.count_unbegun(reason)

    def _note_end(self, entry: Entry, state: RunState, early: bool) -> None:
        """A worker said how the run ended, so workers live; a failure may be one that every run of a sweep repeats."""
        self._unbegun = 0
        if state.state == "failed" and state.reason.startswith(NO_SPACE):
            self._pauses.pause(state.reason)
        elif state.state == "failed" and early:
            self._count_failure(entry, state.reason)
        elif state.state != "cancelled":
            self.forgive(self._beneficiary(entry))

    def _beneficiary(self, entry: Entry) -> str:
        """The experiment for which the run was started: that which first asked for it, unless that is paused."""
        own, paused = entry.spec.experiment, self._pauses.experiments.keys()
        if own not in paused:
            return own
        return min(self._wanting.names(entry.run_id) - paused, default=own)

    def _count_failure(self, entry: Entry, reason: str) -> None:
        experiment = self._beneficiary(entry)
        own = re.sub(rf"(?<!\w)({re.escape(entry.run_id)}|{re.escape(entry.spec.name)})(?!\w)", "RUN", reason)
        before, times = self._failures.get(experiment, ("", 0))
        times = times + 1 if before == own else 1
        self._failures[experiment] = own, times
        if times >= FAILURES:
            told = f"{FAILURES} of its runs failed within seconds, for the same reason"
            self._pause_experiment(experiment, f"{told}: {reason}")

    def _count_death(self, experiment: str, reason: str) -> None:
        """Two in a row: the experiment is to blame, or the machine if they are of several experiments."""
        self._unbegun = 0
        self._dying.add(experiment)
        self._deaths[experiment] += 1
        told = f"{DEATHS} workers died within seconds of starting"
        if len(self._dying) >= DEATHS:
            self._pause_queue(f"{told} runs of {' and '.join(sorted(self._dying))}; the last: {reason}")
        elif self._deaths[experiment] >= DEATHS:
            self._pause_experiment(experiment, f"{told} its runs; the last: {reason}")

    def count_unbegun(self, reason: str) -> None:
        """Something died before it began its run: the second time in a row no run is to blame."""
        self._unbegun += 1
        if self._unbegun >= DEATHS:
            self._pause_queue(f"{DEATHS} workers died before they began anything; the last: {reason}")

    def _pause_experiment(self, name: str, reason: str) -> None:
        if name not in self._pauses.experiments:
            self._pauses.pause_experiment(name, reason)

    def _pause_queue(self, reason: str) -> None:
        self.forgive()
        if not self._pauses.queue:
            self._pauses.pause(reason)
