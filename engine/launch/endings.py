"""What becomes of a run when its worker has finished with it or died, and whom that pauses."""

from __future__ import annotations

import logging
import time

from engine.launch.entry import Entry
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


class Endings:
    """Journals how attempts ended, queues again what deserves it, and pauses what only burns the queue.

    A run that was lost is queued again by itself at most ``retries`` times after a person asked for it. What ends
    before ``early_s`` seconds have passed is early.
    """

    def __init__(self, roster: Roster, pauses: Pauses, early_s: float, retries: int) -> None:
        self._roster = roster
        self._pauses = pauses
        self._early_s = early_s
        self._retries = retries
        self._unbegun = 0
        self._deaths: list[str] = []
        self._failures: dict[str, list[str]] = {}

    def forgive(self, *experiments: str) -> None:
        """Forget the early ends so far, of some experiments or of all: somebody has looked at them."""
        wanted = experiments or (*self._failures, *self._deaths)
        self._unbegun = 0
        self._deaths = [name for name in self._deaths if name not in wanted]
        for name in wanted:
            self._failures.pop(name, None)

    def conclude(self, entry: Entry, worker: Worker, alive: bool) -> None:
        """A worker has finished with a run, or died on it."""
        state = entry.run.state()
        entry.worker = None
        lived_s = time.time() - worker.assigned_at
        if state.finished:
            _LOG.info("run %s: %s %s", entry.run_id, state.state, state.reason)
            self._roster.drop(entry)
            self._note_end(entry, state, lived_s < self._early_s)
            return
        ending = "its worker ended without saying how the run ended" if alive else worker.ending()
        if entry.cancel_by is not None:
            entry.say("cancelled", attempt=entry.attempt, reason=f"cancelled; {ending}")
            self._roster.drop(entry)
            return
        began = entry.run.attempt(entry.attempt).events.exists()
        early = not began or (state.state != "stopping" and lived_s < self._early_s)
        reason = self.lose(entry, f"{ending} after {lived_s:.0f} s", early=early, hint=worker.advice())
        if not began:
            self._count_unbegun(reason)
        elif early:
            self._count_death(entry.spec.experiment, reason)
        else:
            self.forgive()

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
        if time.time() - worker.born < self._early_s:
            self._count_unbegun(reason)

    def _note_end(self, entry: Entry, state: RunState, early: bool) -> None:
        """A worker said how the run ended, so workers live; a failure may be one that every run of a sweep repeats."""
        self._unbegun = 0
        if state.state == "cancelled":
            return
        if state.state == "failed" and state.reason.startswith(NO_SPACE):
            self._pauses.pause(state.reason)
        elif state.state == "failed" and early:
            self._count_failure(entry, state.reason)
        else:
            self.forgive()

    def _count_failure(self, entry: Entry, reason: str) -> None:
        experiment = entry.spec.experiment
        own = reason.replace(entry.run_id, "").replace(entry.spec.name, "")
        before = self._failures.get(experiment, [])
        self._failures[experiment] = [own, *before] if before[:1] == [own] else [own]
        if len(self._failures[experiment]) >= FAILURES and experiment not in self._pauses.experiments:
            self._failures.pop(experiment)
            self._pauses.pause_experiment(
                experiment, f"{FAILURES} of its runs failed within seconds, for the same reason: {reason}"
            )

    def _count_death(self, experiment: str, reason: str) -> None:
        """Two in a row: the experiment is to blame, or the machine if they are of several experiments."""
        self._unbegun = 0
        self._deaths.append(experiment)
        told = "workers died within seconds of starting"
        if len(set(self._deaths)) >= DEATHS:
            self._pause_queue(f"{told} runs of {' and '.join(sorted(set(self._deaths)))}; the last: {reason}")
        elif len(self._deaths) >= DEATHS and experiment not in self._pauses.experiments:
            self._pauses.pause_experiment(experiment, f"{DEATHS} {told} its runs; the last: {reason}")

    def _count_unbegun(self, reason: str) -> None:
        self._unbegun += 1
        if self._unbegun >= DEATHS:
            self._pause_queue(f"{DEATHS} workers died before they began anything; the last: {reason}")

    def _pause_queue(self, reason: str) -> None:
        self.forgive()
        if not self._pauses.queue:
            self._pauses.pause(reason)
