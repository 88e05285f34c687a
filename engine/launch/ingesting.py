"""Keeping the database current while runs are running, in a thread that no error ends."""

from __future__ import annotations

import logging
import threading
import time

from store.errors import OdysseyError
from store.ingest import has_news, ingest
from store.workspace import Workspace

_LOG = logging.getLogger(__name__)
EVERY_S = 2.0
LONGEST_S = 5.0
REST = 20
"""Waits at least this many times as long as the last ingest took: at most one twentieth of a core."""


class Ingester:
    """Ingests soon after ``poke``, at most every ``EVERY_S`` seconds, and once more when closed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._due = threading.Event()
        self._closed = threading.Event()
        self._last_error = ""
        self._thread = threading.Thread(target=self._work, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def poke(self) -> None:
        """Say that there may be something new."""
        self._due.set()

    def close(self) -> None:
        """Ingest what is left and stop."""
        self._closed.set()
        self._due.set()
        self._thread.join()
        self._ingest()

    def _work(self) -> None:
        while not self._closed.is_set():
            self._due.wait()
            self._due.clear()
            started = time.monotonic()
            self._ingest()
            self._closed.wait(min(max(EVERY_S, REST * (time.monotonic() - started)), LONGEST_S))

    def _ingest(self) -> None:
        try:
            if has_news(self._workspace):
                ingest(self._workspace)
            self._last_error = ""
        except Exception as error:
            # The journals and shards stay where they are: the next ingest, by anyone, takes them.
            if str(error) != self._last_error:
                known = isinstance(error, OdysseyError)
                _LOG.error("could not ingest; will try again: %s", error, exc_info=None if known else error)
            self._last_error = str(error)
