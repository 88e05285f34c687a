"""One piece of work in a process of its own: asked for in JSON on stdin, answered in lines of JSON on stdout.

``{"progress": {phase, done, total}}`` when there is news, at last ``{"result": …}``, ``{"error": …}`` or
``{"bug": …}``. The other end is ``odyssey_tui.services.asking``.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from store.errors import OdysseyError

Say = Callable[[str, int, int], None]
"""``say(phase, done, total)`` passes progress on."""
SAY_EVERY_S = 0.1


class Speaker:
    """Lines of JSON on the stdout this process was given; whatever else writes there goes to stderr."""

    def __init__(self) -> None:
        self._lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)
        self._said = (-math.inf, "")

    def say(self, phase: str, done: int, total: int) -> None:
        """Pass progress on, at most every ``SAY_EVERY_S``."""
        now = time.monotonic()
        if phase != self._said[1] or now - self._said[0] >= SAY_EVERY_S or (total and done >= total):
            self._said = (now, phase)
            self.send(progress={"phase": phase, "done": done, "total": total})

    def send(self, **message: Any) -> None:
        """Write one line."""
        self._lines.write(json.dumps(message) + "\n")


def serve(answer: Callable[[str, Say], Any], *, memory_hint: str = "") -> None:
    """Answer what stdin asks for. Ends at once, without leaving files, when told to or when nobody listens.

    ``answer(asked, say)`` gets the JSON text and returns the result. ``memory_hint``: what to do where memory ran out.
    """
    # The parent decides what an interrupt means, and ends this process with SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _leave)
    speaker = Speaker()
    try:
        speaker.send(result=answer(sys.stdin.read(), speaker.say))
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OdysseyError as error:
        speaker.send(error={"message": error.message, "hint": error.hint, "exit_code": error.exit_code})
    except MemoryError:
        speaker.send(error={"message": "memory ran out", "hint": memory_hint, "exit_code": 1})
    except Exception as error:
        speaker.send(bug={"message": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()})


def _leave(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
