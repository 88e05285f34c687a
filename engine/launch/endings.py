"""What becomes of a run when its worker has finished with it or died, and of the queue when workers die early."""

from __future__ import annotations

import logging
import time

from engine.launch.entry import Entry
from engine.launch.mailbox import TOLD_TO_END
from engine.launch.pauses import Pauses
from engine.launch.roster import Roster
from engine.launch.workers import Worker, tail
from store.space import NO_SPACE

_LOG = logging.getLogger(__name__)


class Endings:
    """Journals how attempts ended, queues again what deserves it, and counts early deaths in a row."""

    def __init__(self, roster: Roster, pauses: Pauses, early_death_s: float) -> None:
        self._roster = roster
        self._pauses = pauses
        self._early_death_s = early_death_s
        self._deaths = 0

    def forgive(self) -> None:
        """Forget the deaths so far: somebody has looked at them."""
        self._deaths = 0

    def conclude(self, entry: Entry, worker: Worker, alive: bool) -> None:
        """A worker has finished with a run, or died on it."""
        state = entry.run.state()
        entry.worker = None
        if state.finished:
            self._deaths = 0
            _LOG.info("run %s: %s %s", entry.run_id, state.state, state.reason)
            self._roster.drop(entry)
            if state.state == "failed" and state.reason.startswith(NO_SPACE):
                self._pauses.pause(state.reason)
            return
        ending = "its worker ended without saying how the run ended" if alive else worker.ending()
        lived_s = time.time() - worker.assigned_at
        if entry.cancel_by is not None:
            entry.say("cancelled", attempt=entry.attempt, reason=f"cancelled; {ending}")
            self._roster.drop(entry)
            return
        began = entry.run.attempt(entry.attempt).events.exists()
        early = not began or (state.state != "stopping" and lived_s < self._early_death_s)
        reason = self.lose(entry, f"{ending} after {lived_s:.0f} s", early=early, hint=worker.advice())
        self._count_death(early, reason)

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
        if entry.run.state().reason == TOLD_TO_END:
            # It saved what it had: nothing is wrong with the run, so this counts as no retry.
            entry.say("retried", attempt=entry.attempt + 1, by="worker", reason=f"{TOLD_TO_END}; {ending}")
            return reason
        entry.say("lost", attempt=entry.attempt, reason=reason, hint=hint)
        resumable = entry.run.checkpoint("resume").exists()
        if (not early or resumable) and not entry.retried_by_scheduler():
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
        self._count_death(time.time() - worker.born < self._early_death_s, reason)

    def _count_death(self, early: bool, reason: str) -> None:
        self._deaths = self._deaths + 1 if early else 0
        if self._deaths >= 2 and not self._pauses.queue:
            self._pauses.pause(f"two workers died within seconds of starting; the last: {reason}")
