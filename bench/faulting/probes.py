"""Every command on a damaged workspace, in a process of its own: what it said, and how long it took."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 20.0
BUG = 70
FAILED_PROBE = 71
PRELOADED = (
    "duckdb", "numpy", "pyarrow.parquet", "pydantic", "engine.launch.dispatcher", "engine.launch.progress",
    "engine.launch.scheduler", "engine.launch.submit", "engine.plan.estimate", "engine.plan.expand",
    "engine.plan.known", "engine.spec.load", "odyssey_tui.cli.main", "odyssey_tui.cli.output", "store.ingest",
    *(f"odyssey_tui.cli.{name}" for name in (
        "compare", "forecast", "launch", "plan", "queue", "runs", "show", "similarity", "sql", "tokens")),
    *(f"odyssey_tui.services.{name}" for name in (
        "compare", "forecast", "launch", "ledger", "plan", "queue", "run_detail", "runs", "similarity", "sql",
        "tokens")),
)  # fmt: skip
"""Imported once, by the parent: seconds that a thousand children then save."""


@dataclass(frozen=True)
class Told:
    """What a command said. ``status`` is None for one that had to be ended after ``LIMIT_S`` seconds."""

    command: tuple[str, ...]
    status: int | None
    out: str
    err: str
    seconds: float


def preload() -> None:
    for name in PRELOADED:
        importlib.import_module(name)


def in_child(command: Sequence[str], work: Callable[[], int]) -> Told:
    """Call ``work`` in a forked process whose output is caught; its return value is the status."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if not pid:
            status = FAILED_PROBE
            try:
                os.setsid()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                # Whoever forks may have put others in their place (a test runner does).
                sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
                sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
                _start_no_scheduler()
                status = work()
                sys.stdout.flush()
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(status)
        status = _wait(pid, began + LIMIT_S)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Told(tuple(command), status, texts[0], texts[1], time.monotonic() - began)


def _start_no_scheduler() -> None:
    """Requests are written; the scheduler that would take them up has a probe of its own."""
    from engine.launch import scheduler

    scheduler.ensure_running = lambda workspace: False


def _wait(pid: int, until: float) -> int | None:
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def odyssey(root: Path, *arguments: str) -> Told:
    """The command line on a workspace."""

    def work() -> int:
        from odyssey_tui.cli.main import run

        os.environ["XDG_STATE_HOME"] = str(root.parent / "state")
        status = run([*arguments, "-w", str(root)])
        return status

    return in_child(arguments, work)


def schedule(root: Path) -> Told:
    """A scheduler with a paused queue: it reads everything, says what it thinks of it, ingests and leaves."""

    def work() -> int:
        import logging

        from engine.launch.scheduler import Scheduler
        from odyssey_tui.cli.main import report
        from store.errors import OdysseyError
        from store.workspace import Workspace

        os.environ["ODYSSEY_SLOTS"] = "1"
        logging.basicConfig(level=logging.WARNING)
        try:
            Scheduler(Workspace.open(root), command=("false",), idle_exit_s=0.0).run()
        except OdysseyError as error:
            return report(error)
        return 0

    return in_child(("the scheduler",), work)


def faults_of(told: Told, names: Sequence[str]) -> list[str]:
    """What is wrong with how a command took a damaged file; ``names`` are words one of which an error must hold."""
    text = told.out + told.err
    found = []
    if told.status is None:
        found.append(f"hangs for {LIMIT_S:.0f} s")
    if told.status in (BUG, FAILED_PROBE) or (told.status or 0) < 0 or "Traceback" in text:
        lines = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception).*$", text, re.M) or text.splitlines()[-3:]
        found.append(f"breaks (status {told.status}): {' / '.join(lines)[:400]}")
    elif told.status:
        if not re.search(r"^error: ", told.err, re.M):
            found.append(f"status {told.status} without a message: {text[-300:]!r}")
        elif not any(name in told.err for name in names):
            found.append(f"does not name the file: {told.err!r}")
        elif len(told.err.strip().splitlines()) < 2:
            found.append(f"does not say what to do: {told.err!r}")
    return [f"{' '.join(told.command)} {fault}" for fault in found]
