"""What becomes of a run when its Slurm job is over: the rules for runs on this machine, and what only clusters do."""

from __future__ import annotations

import sys

from engine.launch.endings import End, Endings
from engine.launch.entry import Entry
from engine.launch.roster import Roster
from engine.launch.slurm.client import Row
from engine.launch.slurm.job import last_attempt
from engine.launch.slurm.states import CANCELLED, ENDED
from engine.launch.workers import tail

_UNBORN_HINT = (
    f"Look at resources.slurm.setup, and whether the cluster's nodes have {sys.executable} and this workspace; "
    "then retry it."
)
_VANISHED_HINT = "Slurm forgets ended jobs after some minutes (MinJobAge); `odyssey retry` goes on from the checkpoint."


class Verdicts:
    """Journals how runs ended in Slurm, and takes their jobs from them."""

    def __init__(self, roster: Roster, endings: Endings) -> None:
        self._roster = roster
        self._endings = endings

    def finished(self, entry: Entry) -> None:
        """The run's own journal says how it ended."""
        entry.job, entry.attempt = None, last_attempt(entry.run)
        self._endings.judge(entry, End("", "", _lived_s(entry)))

    def unwanted(self, entry: Entry) -> None:
        """The run was cancelled, and its job has not begun."""
        self._cancelled(entry, "cancelled before it started")

    def vanished(self, entry: Entry) -> None:
        """Slurm knows no such job, and the run has not said how it ended."""
        job, begun = entry.job, last_attempt(entry.run)
        words = f"Slurm does not know its job any more ({job.number or job.batch.name})"
        if entry.cancel_by is not None:
            self._cancelled(entry, "cancelled on request")
        elif job.number is None:
            # Never handed in: whoever was to do so died, or Slurm did not take it. One that comes late does nothing.
            job.batch.withdraw(job.index)
            entry.job = None
            entry.say("queued", attempt=job.before + 1)
            self._roster.dirty = True
        elif begun > job.before:
            self._judge(entry, begun, words, _VANISHED_HINT)
        else:
            job.batch.withdraw(job.index)
            self._retry(entry, job.before + 1, words)

    def ended(self, entry: Entry, row: Row, code: str) -> None:
        """The job ended and its run did not say how; ``code`` is its exit status and signal, as far as known."""
        job, begun, ending = entry.job, last_attempt(entry.run), ENDED[row.state]
        words = f"its Slurm job {row.job} {ending.words}{f' (exit code {code})' if code else ''}"
        if entry.cancel_by is not None or row.state == CANCELLED:
            self._cancelled(entry, "cancelled on request" if entry.cancel_by is not None else words)
        elif ending.blameless:
            self._retry(entry, max(begun, job.before) + 1, words)
        elif begun > job.before:
            self._judge(entry, begun, words, ending.hint)
        else:
            self._stillborn(entry, words)

    def _cancelled(self, entry: Entry, reason: str) -> None:
        entry.say("cancelled", attempt=max(last_attempt(entry.run), entry.job.before + 1), reason=reason)
        entry.job = None
        self._roster.drop(entry)

    def _judge(self, entry: Entry, begun: int, words: str, hint: str) -> None:
        entry.job, entry.attempt = None, begun
        self._endings.judge(entry, End(words, hint, _lived_s(entry)))

    def _retry(self, entry: Entry, attempt: int, words: str) -> None:
        entry.say("retried", attempt=attempt, by="slurm", reason=words)
        entry.say("queued", attempt=attempt, reason=words)
        entry.job = None
        self._roster.dirty = True

    def _stillborn(self, entry: Entry, words: str) -> None:
        """The job failed before the run began: every job like it would."""
        job = entry.job
        said = tail(job.batch.output(job.index))
        reason = f"{words} before the run began{f': {said}' if said else ''}"
        entry.say("lost", attempt=job.before + 1, reason=reason, hint=_UNBORN_HINT)
        entry.job = None
        self._roster.drop(entry)
        self._endings.count_unbegun(reason)


def _lived_s(entry: Entry) -> float:
    """How long the newest attempt lived, by the clock of its machine."""
    state = entry.run.state()
    last = state.ended or state.heartbeat
    return last - state.started if last is not None and state.started is not None else 0.0
