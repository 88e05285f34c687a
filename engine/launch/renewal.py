"""A scheduler outlives upgrades and edits of the code: it notices them, and goes on as the new code."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from engine.code import hash_sources, stamp_sources

_LOG = logging.getLogger(__name__)
LOOK_S = 1.0
SETTLE_S = 2.0
"""A checkout or an upgrade writes many files: they must have rested for so long."""
_PROBE = "import engine.launch.scheduler, engine.launch.dispatcher, engine.launch.progress, engine.worker"


class Renewal:
    """Compares the sources on the disk with those that this process began with."""

    def __init__(self) -> None:
        self._own = self._disk = hash_sources()
        self._stamp = stamp_sources()
        self._looked = self._changed = time.monotonic()
        self._refused = ""

    def look(self) -> str:
        """The hash of the sources on the disk; looks at most once a second, and reads them only if one was written."""
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked, stamp = now, stamp_sources()
            if stamp != self._stamp:
                self._stamp, self._changed, self._disk = stamp, now, hash_sources()
        return self._disk

    @property
    def due(self) -> bool:
        """Whether this process should give way to the code on the disk: it has rested, and it can be imported."""
        if self._disk in (self._own, self._refused) or time.monotonic() - self._changed < SETTLE_S:
            return False
        probe = subprocess.run((sys.executable, "-P", "-c", _PROBE), capture_output=True, text=True, check=False)
        if probe.returncode:
            self._refused = self._disk
            said = probe.stderr.strip().rpartition("\n")[2]
            _LOG.error("the code has changed, and cannot be imported: going on with what is in memory: %s", said)
        return not probe.returncode


def start_anew() -> None:
    """Replace this process by a fresh start of the command that began it; files without inheritance are closed."""
    _LOG.info("the code has changed: process %d begins again with what is on the disk", os.getpid())
    os.execv(sys.executable, (sys.executable, *sys.orig_argv[1:]))
