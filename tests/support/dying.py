"""A process that is killed (SIGKILL) at the n-th time it reaches a place: what a kill there leaves can be looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import importlib, os, signal, sys
target, nth, body = sys.argv[1], int(sys.argv[2]), sys.argv[3]
module, _, name = target.rpartition(":")
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
real = getattr(owner, last)
calls = 0
def deadly(*args, **kwargs):
    global calls
    calls += 1
    if calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
setattr(owner, last, deadly)
exec(body)
print("survived")
"""


def die_at(place: str, body: str, *, nth: int = 1, cwd: Path | None = None) -> bool:
    """Run ``body`` in a process killed when ``place`` (``module:function``) is called; whether it was.

    Raises AssertionError when it failed otherwise.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, place, str(nth), body], capture_output=True, text=True, cwd=cwd, timeout=60
    )
    if done.returncode == -9:
        return True
    assert done.stdout.strip().endswith("survived"), done.stderr
    return False
