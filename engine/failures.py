"""Why a run failed and what to do about it, in two sentences: known causes by their signs, wherever they arise."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from store.errors import OdysseyError
from store.run_dir import RunDir
from store.space import chain, is_full, look_at

AGAIN = "then `odyssey retry {run}`; it goes on from its last checkpoint."
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_OUT_OF_MEMORY_TYPES = ("OutOfMemoryError", "MemoryError")
_OUT_OF_MEMORY_WORDS = re.compile(r"can't allocate memory|cannot allocate memory|CUDA out of memory|ALLOC_FAILED", re.I)
_TRAINING = (
    "Lower training.batch_sequences and raise training.accumulate by the same factor (the same steps, less memory), or "
    "shorten training.sequence; or run fewer at a time (ODYSSEY_SLOTS)."
)
_MEMORY_HINTS = {
    "pretrain": _TRAINING,
    "adapt": _TRAINING,
    "evaluate": "Lower evaluate.batch_tokens, or run fewer at a time (ODYSSEY_SLOTS).",
    "drift": "Two models are in memory at once: run fewer at a time (ODYSSEY_SLOTS), or lower evaluate.batch_tokens.",
    "prepare": "Give the corpora a `max_bytes`, or run fewer at a time (ODYSSEY_SLOTS).",
}


@dataclass(frozen=True)
class Failure:
    """What the journal says: ``reason`` in one line, ``hint`` what to do."""

    reason: str
    hint: str


@dataclass(frozen=True)
class Case:
    """An error that ended a run, with what caused it (the newest first)."""

    run: RunDir
    console: Path
    causes: tuple[BaseException, ...]

    @property
    def kind(self) -> str:
        """Of the run's job; empty when its specification cannot be read, which may be why it failed."""
        try:
            return str(self.run.spec()["job"]["kind"])
        except (OdysseyError, KeyError, TypeError):
            return ""

    @property
    def words(self) -> str:
        """The error in one line."""
        error = self.causes[0]
        text = error.message if isinstance(error, OdysseyError) else str(error)
        return " ".join(text.split())[:300]

    def again(self, first: str) -> str:
        """A hint: what to do first, and how to go on."""
        return f"{first}, {AGAIN.format(run=self.run.run_id)}"


def explain(error: BaseException, run: RunDir, console: Path) -> Failure:
    """Why ``run``, whose traceback is in ``console``, failed with ``error``."""
    case = Case(run, console, tuple(chain(error)))
    return next(found for rule in _RULES if (found := rule(case)) is not None)


def _no_space(case: Case) -> Failure | None:
    if not is_full(case.causes[0]):
        return None
    room = min(map(look_at, _written_to(case)), key=lambda found: found.free_bytes)
    if any(isinstance(cause, OSError) and cause.errno == errno.EDQUOT for cause in case.causes):
        return Failure(f"the disk quota at {room.place} is used up: {case.words}", case.again("Free some of it"))
    return Failure(f"{room}: {case.words}", case.again("Free some space there"))


def _written_to(case: Case) -> Iterable[Path]:
    yield case.run.path
    yield Path(tempfile.gettempdir())
    for cause in case.causes:
        if isinstance(cause, OSError) and isinstance(cause.filename, str):
            yield Path(cause.filename)


def _too_large(case: Case) -> Failure | None:
    words = any("os error 27" in str(cause) for cause in case.causes)
    if not words and not _has_errno(case, {errno.EFBIG}):
        return None
    return Failure(f"a file would exceed the largest size allowed: {case.words}", case.again("Raise it (ulimit -f)"))


def _out_of_memory(case: Case) -> Failure | None:
    known = any(
        type(cause).__name__ in _OUT_OF_MEMORY_TYPES
        or isinstance(cause, MemoryError)
        or _OUT_OF_MEMORY_WORDS.search(str(cause))
        for cause in case.causes
    )
    if not known:
        return None
    if isinstance(case.causes[0], OdysseyError):
        return Failure(case.words, case.causes[0].hint)
    held, there = psutil.Process().memory_info().rss, psutil.virtual_memory().total
    reason = (
        f"out of memory (this process held {held / 1e9:.1f} GB, the machine has {there / 1e9:.0f} GB): {case.words}"
    )
    return Failure(reason, _MEMORY_HINTS.get(case.kind, "Run fewer at a time (ODYSSEY_SLOTS)."))


def _ours(case: Case) -> Failure | None:
    error = case.causes[0]
    return Failure("; ".join(error.message.splitlines()), error.hint) if isinstance(error, OdysseyError) else None


def _denied(case: Case) -> Failure | None:
    if not _has_errno(case, _DENIED):
        return None
    return Failure(case.words, case.again("Check the permissions there"))


def _vanished(case: Case) -> Failure | None:
    if not _has_errno(case, {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO}):
        return None
    return Failure(f"a file is gone or unreadable: {case.words}", case.again("Restore it"))


def _bug(case: Case) -> Failure:
    return Failure(f"{type(case.causes[0]).__name__}: {case.words}", f"The traceback is in {case.console}.")


def _has_errno(case: Case, numbers: Iterable[int]) -> bool:
    return any(isinstance(cause, OSError) and cause.errno in numbers for cause in case.causes)


_RULES: tuple[Callable[[Case], Failure | None], ...] = (
    _no_space,
    _too_large,
    _out_of_memory,
    _ours,
    _denied,
    _vanished,
    _bug,
)
