"""Runs that a Slurm cluster executes: handed in when they may start, followed, and concluded by the rules for all.

Nothing needs this process: jobs write their runs' journals themselves. Whoever comes next finds in a run's control
journal which batch has it, and in the batch's folder, or in the queue itself, which job that is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from engine.launch.entry import Entry
from engine.launch.slurm.batches import job_name, new_batch, write_batch_script
from engine.launch.slurm.client import Client, NoAnswer, Refused, Row
from engine.launch.slurm.job import Job, last_attempt, remember
from engine.launch.slurm.script import array_option, job_options, keeping_options, write_script
from engine.launch.slurm.states import ENDED, WAITING
from engine.launch.slurm.verdicts import Verdicts
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """Seconds."""

    files_s: float = 1.0
    """Between two looks at the runs' own journals."""
    queue_s: float = 2.0
    """Between two questions to squeue, at first; while nothing changes it grows."""
    slow_s: float = 15.0
    """The longest time between two questions."""
    silence_s: float = 60.0
    """The longest time between two questions to a controller that does not answer."""
    settle_s: float = 5.0
    """A job has ended or is unknown for so long before its run, whose last words may still travel, is judged."""
    unborn_s: float = 30.0
    """The same of a job of whose start nothing is seen: network file systems show new folders late."""
    refused_s: float = 300.0
    """Until what Slurm refused is tried again."""
    tick_s: float = 5.0
    """No further kind of run is handed in after so long within one tick: the runs on this machine wait."""


class SlurmBackend:
    """The dispatcher's way to a cluster. Its entries take no slots; those with a ``job`` are in Slurm's hands."""

    def __init__(
        self,
        workspace: Workspace,
        entries: Callable[[], Collection[Entry]],
        verdicts: Verdicts,
        patience: Patience,
    ) -> None:
        self._workspace = workspace
        self._all = entries
        self._verdicts = verdicts
        self._client = Client()
        self._patience = patience
        self._name = job_name(workspace)
        self._to_cancel: set[str] = set()
        self._array_size: int | None = None
        self._files_at, self._queue_at, self._refused_at = 0.0, 0.0, float("inf")
        self._pause_s = patience.queue_s
        self.silence = ""
        """Why the controller does not answer; empty while it does."""

    @property
    def active(self) -> bool:
        """Whether anything is in Slurm's hands, or is to be taken out of them."""
        return bool(self._to_cancel or self.entries())

    def entries(self) -> list[Entry]:
        """Runs in Slurm's hands."""
        return [entry for entry in self._all() if entry.job is not None]

    def adopt(self, entry: Entry) -> bool:
        """Take over the job that an earlier scheduler handed in for the run; False when it has none."""
        entry.job = remember(self._workspace, entry.run)
        if entry.job is None:
            return False
        _LOG.info("run %s: adopted, %s", entry.run_id, entry.job.place)
        if entry.job.batch.withdrawn(entry.job.index):
            self.cancel(entry)
        return True

    # Handing in

    def submit(self, entries: Sequence[Entry]) -> bool:
        """Hand in runs that may start: those that want the same together. Returns whether any was asked for."""
        if not entries or (self.silence and time.monotonic() < self._queue_at):
            return False
        by_wish = sorted(entries, key=lambda entry: entry.spec.resources.model_dump_json())
        begun = time.monotonic()
        for _, alike in groupby(by_wish, key=lambda entry: entry.spec.resources.model_dump_json()):
            if time.monotonic() - begun > self._patience.tick_s:
                break  # the rest at the next tick
            chosen = list(alike)
            try:
                size = self._largest_array()
                for start in range(0, len(chosen), size):
                    self._hand_in(chosen[start : start + size])
            except NoAnswer as error:
                self._note_silence(error)
                return True
            except Refused as error:
                self._refuse(chosen, error)
        self._pause_s, self._queue_at = self._patience.queue_s, time.monotonic() + self._patience.files_s
        return True

    def _hand_in(self, entries: Sequence[Entry]) -> None:
        wanted = entries[0].spec.resources
        batch = new_batch(self._workspace, tuple(entry.run_id for entry in entries))
        options = (
            f"--job-name={self._name}",
            f"--comment={batch.name}",
            array_option(len(entries), wanted),
            f"--chdir={self._workspace.root}",
            f"--output={batch.output_pattern()}",
            *keeping_options(wanted),
            *job_options(wanted),
        )
        names = tuple(entry.run_id for entry in entries)
        write_batch_script(batch, write_script(wanted, options, names, (str(self._workspace.root), batch.name)))
        for index, entry in enumerate(entries):
            # Said before it is asked for: a scheduler that dies in between leaves a trace of what may be there.
            entry.job = Job(batch, index, last_attempt(entry.run))
            self._say_waiting(entry, "being submitted to Slurm")
        try:
            number = self._client.submit(options, batch.script)
        except Refused as error:
            self._refuse(entries, error)
            return
        batch.set_number(number)
        _LOG.info("batch %s: Slurm job %s for %s", batch.name, number, " ".join(names))
        for entry in entries:
            self._say_waiting(entry, f"slurm {number}_{entry.job.index}: submitted")

    def _refuse(self, entries: Sequence[Entry], error: Refused) -> None:
        _LOG.warning("refused: %s: %s", " ".join(entry.run_id for entry in entries), error.message)
        self._refused_at = time.monotonic() + self._patience.refused_s
        for entry in entries:
            entry.job, entry.refused = None, f"Slurm refuses it: {error.message}"

    def _largest_array(self) -> int:
        if self._array_size is None:
            self._array_size = self._client.array_size()
        return self._array_size

    # Following

    def poll(self, parked: Callable[[Entry], bool] = lambda entry: False) -> bool:
        """Look at runs and, now and then, at the queue; returns whether anything changed.

        ``parked`` says of a run whether its job, if it waits, should not start for now.
        """
        now = time.monotonic()
        changed = self._forgive(now)
        jobs = self.entries()
        if now >= self._files_at:
            self._files_at = now + self._patience.files_s
            changed |= self._look_at_files(jobs, now)
        if now < self._queue_at:
            return changed
        if left := self.entries():
            return self._ask(left, parked) or changed
        if self._to_cancel:
            self._ask([], parked)
        elif self.silence:
            # What could not be handed in is tried again.
            self.silence, changed = "", True
        return changed

    def _look_at_files(self, jobs: Sequence[Entry], now: float) -> bool:
        states = {entry.run_id: entry.run.state() for entry in jobs}
        ended = [entry for entry in jobs if states[entry.run_id].finished]
        for entry in ended:
            self._verdicts.finished(entry)
        if any(state.state == "stopping" for state in states.values()):
            # Its job is about to end, or to wait again: only Slurm knows which.
            self._queue_at = min(self._queue_at, now + self._patience.queue_s)
        return bool(ended)

    def cancel(self, entry: Entry) -> None:
        """End the run's job. One that waits is cancelled at once, one that runs when it has stopped."""
        job = entry.job
        job.batch.withdraw(job.index)
        if last_attempt(entry.run) == job.before:
            self._verdicts.unwanted(entry)
        else:
            entry.cancel_by = float("inf")
        self._to_cancel.update(job.number for job in [job] if job.number)
        self._queue_at = min(self._queue_at, time.monotonic())

    def forgive(self) -> None:
        """Try what Slurm refused again now: somebody has looked at it."""
        self._refused_at = 0.0

    def _forgive(self, now: float) -> bool:
        if now < self._refused_at:
            return False
        self._refused_at = float("inf")
        refused = [entry for entry in self._all() if entry.refused]
        for entry in refused:
            entry.refused = ""
        return bool(refused)

    def _ask(self, entries: Sequence[Entry], parked: Callable[[Entry], bool]) -> bool:
        # What runs had done before Slurm is asked: an attempt that begins meanwhile is no requeued one.
        begun = {entry.run_id: last_attempt(entry.run) for entry in entries}
        try:
            self._cancel_jobs()
            rows = {(row.batch, row.index): row for row in self._client.list_jobs(self._name)}
            changed = any([self._follow(entry, rows.get(entry.job.key), begun[entry.run_id]) for entry in entries])
            self._park([entry for entry in entries if entry.job is not None], parked)
        except NoAnswer as error:
            self._note_silence(error)
            return True
        if self.silence:
            _LOG.info("Slurm answers again")
            self.silence = ""
        self._pause_s = self._patience.queue_s if changed else min(1.3 * self._pause_s, self._patience.slow_s)
        hurried = any(entry.job is not None and entry.job.missed is not None for entry in entries)
        self._queue_at = time.monotonic() + (self._patience.queue_s if hurried else self._pause_s)
        return changed

    def _cancel_jobs(self) -> None:
        if not self._to_cancel:
            return
        try:
            self._client.cancel(self._to_cancel)
        except Refused as error:
            _LOG.warning("Slurm does not cancel %s: %s", " ".join(sorted(self._to_cancel)), error.message)
        self._to_cancel.clear()

    def _note_silence(self, error: NoAnswer) -> None:
        if not self.silence:
            _LOG.warning("Slurm does not answer: %s", error.message)
        self.silence = error.message
        self._pause_s = min(2 * self._pause_s, self._patience.silence_s)
        self._queue_at = time.monotonic() + self._pause_s

    def _follow(self, entry: Entry, row: Row | None, begun: int) -> bool:
        """Take note of what Slurm says of one run's job; returns whether it was news."""
        job, before = entry.job, entry.job.row
        job.row = row or before
        if row is None or row.state in ENDED:
            return self._consider(entry, row)
        job.missed = None
        if job.batch.number() is None:
            job.batch.set_number(row.job.partition("_")[0])
        if row.state in WAITING:
            if begun > job.before:
                self._requeued(entry, begun)
            elif before is None or (before.state, before.reason) != (row.state, row.reason):
                self._say_waiting(entry, f"slurm {row.job}: {job.standing}")
            else:
                return False
            return True
        return self._say_running(entry, begun)

    def _say_running(self, entry: Entry, begun: int) -> bool:
        job = entry.job
        attempt = begun if begun > job.before else job.before + 1
        if job.assigned == attempt:
            return False
        job.assigned = entry.attempt = attempt
        entry.say("assigned", attempt=attempt, worker=job.place)
        _LOG.info("run %s, attempt %d: %s", entry.run_id, attempt, job.place)
        return True

    def _requeued(self, entry: Entry, begun: int) -> None:
        """A job that had begun waits again: the attempt is over, and the next will be the same job's."""
        job = entry.job
        job.before = begun
        reason = f"slurm {job.row.job} was requeued"
        _LOG.info("run %s: %s", entry.run_id, reason)
        entry.say("retried", attempt=begun + 1, by="slurm", reason=reason)
        self._say_waiting(entry, f"{reason}: {job.standing}")

    def _say_waiting(self, entry: Entry, reason: str) -> None:
        job = entry.job
        parked = {"parked": True} if job.held else {}
        entry.say("submitted", attempt=job.before + 1, reason=reason, batch=job.batch.name, index=job.index, **parked)

    def _consider(self, entry: Entry, row: Row | None) -> bool:
        """Judge a run whose job has ended or is unknown, once its last words must have arrived."""
        job, now = entry.job, time.monotonic()
        if job.missed is None:
            job.missed = now
        begun = last_attempt(entry.run) > job.before
        if row is None and begun and job.grows(entry.run):
            # Slurm has forgotten a job that goes on: its run tells the rest.
            job.missed = now
        if now - job.missed < (self._patience.settle_s if begun and row is not None else self._patience.unborn_s):
            return False
        if entry.run.state().finished:
            self._verdicts.finished(entry)
        elif row is None:
            self._verdicts.vanished(entry)
        else:
            code = self._client.exit_code(row.job) if row.state == "FAILED" else ""
            self._verdicts.ended(entry, row, code)
        return True

    def _park(self, entries: Sequence[Entry], parked: Callable[[Entry], bool]) -> None:
        """Hold waiting jobs in Slurm while the workspace's queue would not start them; let go only what was held so."""
        waiting = [e for e in entries if e.job.row is not None and e.job.row.state in WAITING]
        to_hold = [entry for entry in waiting if parked(entry) and not entry.job.held]
        to_release = [entry for entry in waiting if entry.job.held and not parked(entry)]
        to_stop = [e for e in entries if e.job.running and e.ticket.held and not e.job.held and not e.cancelling]
        for chosen, tell in (
            (to_hold, self._client.hold),
            (to_release, self._client.release),
            (to_stop, self._client.requeue_held),
        ):
            if chosen:
                self._tell(chosen, tell)

    def _tell(self, chosen: Sequence[Entry], tell: Callable[[Collection[str]], None]) -> None:
        try:
            tell([entry.job.row.job for entry in chosen])
        except Refused as error:
            _LOG.warning("Slurm neither holds nor releases: %s", error.message)
            return
        for entry in chosen:
            entry.job.held = not entry.job.held
            _LOG.info("run %s: slurm %s is %s", entry.run_id, entry.job.row.job, entry.job.standing)
            if not entry.job.running:
                self._say_waiting(entry, f"slurm {entry.job.row.job}: {entry.job.standing}")
