"""Who can be killed: workers, the scheduler, the full-screen application in a terminal, a client that ingests."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from engine.launch.mailbox import Card, Mailbox, parse_card
from engine.launch.status import read_status
from store.errors import DataError
from store.files import read_json
from store.workspace import Workspace


class Screen:
    """``odyssey`` behind a pseudo-terminal that somebody reads."""

    def __init__(self, workspace: Workspace) -> None:
        leader, follower = pty.openpty()
        command = (sys.executable, "-m", "odyssey_tui", "-w", str(workspace.root))
        self.process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
        )
        os.close(follower)
        threading.Thread(target=_read_on, args=(leader,), daemon=True).start()


def _read_on(leader: int) -> None:
    try:
        while os.read(leader, 65536):
            pass
    except OSError:  # the program has closed its side
        pass
    os.close(leader)


class Crew:
    """Keeps the application and the ingesting client alive, and kills whomever it is told to."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._screen: Screen | None = None
        self._ingester: subprocess.Popen[bytes] | None = None
        self._kill: dict[str, Callable[[], bool]] = {
            "worker": self._kill_worker,
            "scheduler": self._kill_scheduler,
            "TUI": self._kill_screen,
            "ingest": self._kill_ingester,
        }

    @property
    def victims(self) -> tuple[str, ...]:
        return tuple(self._kill)

    def look_after(self) -> None:
        """Start what is not there."""
        if self._screen is None or self._screen.process.poll() is not None:
            self._screen = Screen(self._workspace)
        if self._ingester is None or self._ingester.poll() is not None:
            self._ingester = self._start_ingester(())

    def kill(self, victim: str) -> bool:
        """SIGKILL; whether there was anybody to kill."""
        return self._kill[victim]()

    def aim_ingest(self, point: str) -> None:
        """Replace the ingesting client by one that dies at ``point``; ``ingest_died`` says whether it has."""
        self._kill_ingester()
        self._ingester = self._start_ingester((point,))

    def ingest_died(self) -> bool:
        """Whether the ingesting client was killed."""
        return self._ingester is not None and self._ingester.poll() == -signal.SIGKILL

    def dismiss(self) -> None:
        """End both."""
        self._kill_screen()
        self._kill_ingester()

    def _start_ingester(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "bench.faulting.ingest_client", str(self._workspace.root), *arguments)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _kill_worker(self) -> bool:
        """One with a run if there is any."""
        cards = read_cards(self._workspace)
        busy = [card for card, works in cards if works] or [card for card, _ in cards]
        return bool(busy) and _kill_now(busy[0].identity.pid)

    def _kill_scheduler(self) -> bool:
        status = read_status(self._workspace)
        return status is not None and status.identity.alive() and _kill_now(status.identity.pid)

    def _kill_screen(self) -> bool:
        return self._screen is not None and _end(self._screen.process)

    def _kill_ingester(self) -> bool:
        return self._ingester is not None and _end(self._ingester)


def read_cards(workspace: Workspace) -> list[tuple[Card, bool]]:
    """Living workers, and whether each works on a run."""
    found = []
    for folder in sorted(workspace.workers.glob("[!.]*")):
        mailbox = Mailbox(folder)
        try:
            card, order = parse_card(read_json(mailbox.card)), read_json(mailbox.inbox)
        except (FileNotFoundError, DataError):
            continue  # it is being started, or has just left
        if card.identity.alive():
            found.append((card, order["seq"] > card.finished))
    return found


def _kill_now(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        return False
    process.kill()
    process.wait()
    return True
