"""Work that needs heavy libraries, asked of a process of its own; what it says is read line by line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, Any

from store.errors import OdysseyError

Hear = Callable[[dict[str, Any]], None]
"""Gets progress: ``phase``, ``done``, ``total``."""
Started = Callable[[subprocess.Popen[str]], None]
LEAVE_S = 5.0
"""What a process that was told to end gets to take its temporary files away."""


class ProcessBug(Exception):
    """The process met an unexpected error; its traceback is a note."""


def ask(
    module: str,
    request: str,
    hear: Hear,
    *,
    noun: str,
    killed_hint: str,
    started: Started | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Have ``python -m MODULE`` (one that ``engine.speaker.serve``s) answer ``request``, a JSON text.

    ``hear`` gets its progress. The process ends with this call, however it ends. OdysseyError for what it found wrong
    and for its sudden death: ``noun`` is what died, ``killed_hint`` what to do where the kernel killed it. ``started``
    gets the process, for who may want to end it from another thread. What the user's own environment says comes before
    ``environment``.
    """
    from engine.launch.workers import MALLOC

    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as console,
        subprocess.Popen(
            (sys.executable, "-m", module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=console,
            text=True,
            encoding="utf-8",
            env={**environment, **os.environ, **MALLOC},
        ) as process,
    ):
        if started is not None:
            started(process)
        try:
            _ask(process, request)
            result = _listen(process, hear)
            process.wait()
        except BaseException:
            _end(process)
            raise
        if result is None:
            raise _explain_death(process.returncode, console, noun, killed_hint)
        return result


def _ask(process: subprocess.Popen[str], request: str) -> None:
    assert process.stdin is not None
    process.stdin.write(request)
    process.stdin.close()


def _listen(process: subprocess.Popen[str], hear: Hear) -> Any:
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        if "progress" in message:
            hear(message["progress"])
        elif "error" in message:
            error = OdysseyError(message["error"]["message"], message["error"]["hint"])
            error.exit_code = message["error"]["exit_code"]
            raise error
        elif "bug" in message:
            bug = ProcessBug(message["bug"]["message"])
            bug.add_note(message["bug"]["traceback"])
            raise bug
        else:
            return message["result"]
    return None


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(LEAVE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()


def _explain_death(status: int, console: IO[str], noun: str, killed_hint: str) -> OdysseyError:
    console.seek(0)
    said = [line for line in console.read().splitlines() if line.strip()]
    if status == -9:
        return OdysseyError(f"the {noun} was killed, most likely because memory ran out", killed_hint)
    words = f"; its last words: {said[-1].strip()}" if said else ""
    return OdysseyError(f"the {noun} died with status {status}{words}", "Try again; if it dies again, report it.")
