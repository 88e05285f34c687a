"""The directory of one run: specification, journals, spool and checkpoints."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.errors import DataError
from store.files import cannot_read, cannot_write, read_json, temporary_name, write_json
from store.journal import read_events
from store.run_state import RunFold, RunState

if TYPE_CHECKING:
    from store.workspace import Workspace

SPEC_FILE = "spec.json"
_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+,-]{0,199}")


@dataclass(frozen=True)
class AttemptDir:
    """One execution of a run: its journal, its console output and its spool of shards."""

    number: int
    path: Path

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def console(self) -> Path:
        return self.path / "console.log"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def quarantine(self) -> Path:
        """Shards that could not be read, kept for inspection."""
        return self.path / "quarantine"


class RunDir:
    """One run's directory. An instance remembers how far it has read: a second ``state()`` reads only what is new."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._fold = RunFold()
        self._offsets: dict[Path, int] = {}
        self.unread = False
        """Whether the last ``state()`` could not read a journal: the next may, though no file has changed."""

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def spec_path(self) -> Path:
        return self.path / SPEC_FILE

    @property
    def control(self) -> Path:
        """The scheduler's journal of this run."""
        return self.path / "control.jsonl"

    def exists(self) -> bool:
        return os.path.exists(self.spec_path)

    def spec(self) -> dict[str, Any]:
        """The run's specification; ``DataError`` when there is no such run, or its directory has lost it."""
        try:
            return read_json(self.spec_path)
        except DataError as error:
            hint = f"Restore it, or delete {self.path} and launch its experiment again."
            raise DataError(error.message, hint) from error
        except (FileNotFoundError, NotADirectoryError) as error:
            if self.path.is_dir():
                raise DataError(
                    f"{self.spec_path} is missing",
                    f"Restore it, or delete {self.path} and launch its experiment again.",
                ) from error
            raise DataError(f"no run {self.run_id!r} in {self.path.parent}", "`odyssey runs` lists them.") from error

    def name(self) -> str:
        """The run's name; its identifier where the specification cannot be read."""
        try:
            spec = self.spec()
        except DataError:
            return self.run_id
        return str(spec.get("name") or self.run_id) if isinstance(spec, dict) else self.run_id

    def is_imported(self) -> bool:
        """Whether another tool recorded it: there is nothing to execute."""
        try:
            spec = self.spec()
        except DataError:
            return False
        job = spec.get("job") if isinstance(spec, dict) else None
        return isinstance(job, dict) and job.get("kind") == "imported"

    def checkpoint(self, state: str) -> Path:
        """The folder of the checkpoint ``state`` (``ptpp15``, ``atpp4``, ``resume``), whether it exists or not."""
        return self.path / "checkpoints" / state

    def attempt(self, number: int) -> AttemptDir:
        """The directory of attempt ``number`` (from 1), whether it exists or not."""
        return AttemptDir(number, self.path / "attempts" / str(number))

    def attempts(self) -> list[AttemptDir]:
        """All attempts, oldest first."""
        try:
            names = os.listdir(self.path / "attempts")
        except OSError:  # none yet; or no folder that can be looked into, which find_strays says
            return []
        return [self.attempt(number) for number in sorted(int(name) for name in names if _ATTEMPT.fullmatch(name))]

    def latest_attempt(self) -> AttemptDir | None:
        """The newest attempt, or None before the first."""
        attempts = self.attempts()
        return attempts[-1] if attempts else None

    def new_attempt(self) -> AttemptDir:
        """Make the directory of the next attempt."""
        newest = self.latest_attempt()
        number = newest.number + 1 if newest else 1
        try:
            while True:
                attempt = self.attempt(number)
                try:
                    attempt.path.mkdir(parents=True)
                except FileExistsError:
                    number += 1
                    continue
                attempt.spool.mkdir()
                if number > 1:
                    # Ingest skips the directories of finished runs; this says that one of them goes on.
                    reopened = self.path.parent.parent / "queue" / "reopened"
                    reopened.mkdir(parents=True, exist_ok=True)
                    (reopened / self.run_id).touch()
                return attempt
        except OSError as error:
            raise cannot_write(self.attempt(number).path, error) from error

    def state(self) -> RunState:
        """The state according to the files alone: the scheduler's journal and the newest attempt's.

        Of a journal that cannot be read now, what was read of it before holds; where nothing was, the run is ``held``.
        """
        with self._lock:
            offsets = dict(self._offsets)
            try:
                fold = self._fold.control(self._read(self.control))
                attempt = self.latest_attempt()
                if attempt is not None:
                    fold = fold.events(attempt.number, self._read(attempt.events))
            except DataError as error:
                # Neither journal counts as read: what the one said belongs to what the other will say.
                self._offsets = offsets
                self.unread = True
                if self._fold == RunFold():
                    return RunState(state="held", reason=error.message, hint=error.hint)
                return self._fold.state()
            self._fold = fold
            self.unread = False
            return fold.state()

    def trouble(self) -> DataError | None:
        """Why the run's journals cannot be read; None while they can."""
        attempt = self.latest_attempt()
        for journal in (self.control, *((attempt.events,) if attempt else ())):
            try:
                with open(journal, "rb"):
                    pass
            except FileNotFoundError:
                continue
            except OSError as error:
                return cannot_read(journal, error, f"Restore it, or move {self.path} away.")
        return None

    def _read(self, journal: Path) -> list[dict[str, Any]]:
        events, self._offsets[journal] = read_events(journal, self._offsets.get(journal, 0))
        return events


def create_run(workspace: Workspace, spec: Mapping[str, Any]) -> RunDir:
    """Make the directory of the run that ``spec`` describes; one that exists already is returned untouched.

    The directory appears complete, by one rename. ``DataError`` for an identifier that cannot name a directory.
    """
    run_id = spec.get("run_id")
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise DataError(
            f"{run_id!r} cannot be a run's identifier",
            "Use at most 200 letters, digits and . _ = + , - and start with a letter or digit.",
        )
    run = workspace.run(run_id)
    if run.exists():
        return run
    staged = workspace.runs / temporary_name(run_id)
    try:
        staged.mkdir(parents=True)
        write_json(staged / SPEC_FILE, dict(spec))
        (staged / "attempts").mkdir()
        os.rename(staged, run.path)
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        # Another process queued the same run first; identical identifiers mean identical specifications.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise cannot_write(run.path, error) from error
    return run
