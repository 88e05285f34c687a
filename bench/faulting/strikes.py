"""When somebody is killed: at random moments, and aimed at the moments at which something could be lost."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.faulting.crew import Crew, read_cards
from bench.faulting.ingest_client import POINTS
from bench.faulting.sweep import Nurse
from store.errors import OdysseyError
from store.files import temporary_name
from store.workspace import Workspace

LOOK_S = 0.001
PATIENCE_S = 15.0
"""An aimed strike whose moment does not come in this time is given up."""
STUCK_S = 180.0
"""Without a kill for so long the sweep counts as stuck."""


@dataclass(frozen=True)
class Strike:
    """A kill: ``victim`` at a moment that ``aim`` names."""

    victim: str
    aim: str

    def __str__(self) -> str:
        return f"{self.victim}, {self.aim}"


RANDOM = "any moment"
AIMED = (
    Strike("worker", "as a shard gets its name"),
    Strike("worker", "while it writes a checkpoint"),
    Strike("worker", "as a checkpoint gets its name"),
    Strike("scheduler", "as an attempt begins"),
    *(Strike("ingest", point) for point in POINTS),
)


def plan_strikes(number: int, seed: int) -> list[Strike]:
    """``number`` strikes in random order: every aim in turn, and as many at random moments; the same for a seed."""
    rng = random.Random(seed)
    victims = ("worker", "worker", "scheduler", "TUI", "ingest")
    chosen = [
        AIMED[index // 2 % len(AIMED)] if index % 2 else Strike(rng.choice(victims), RANDOM) for index in range(number)
    ]
    rng.shuffle(chosen)
    return chosen


@dataclass
class Storm:
    """Strikes one after another while a sweep works. ``kills`` counts what hit."""

    workspace: Workspace
    nurse: Nurse
    crew: Crew
    rng: random.Random
    kills: Counter[Strike] = field(default_factory=Counter)

    def rage(self, strikes: Sequence[Strike]) -> list[Strike]:
        """Kill until the strikes are used up or the sweep is done; returns those that are left."""
        left = list(strikes)
        while left and not self._look():
            strike = left.pop(0)
            if self._land(strike):
                self.kills[strike] += 1
                print(f"killed: {strike}", file=sys.stderr)
            else:
                left.append(strike)
        return left

    def _look(self) -> bool:
        self.crew.look_after()
        return self.nurse.look()

    def _land(self, strike: Strike) -> bool:
        if strike.aim in POINTS:
            self.crew.aim_ingest(strike.aim)
            return self._until(self.crew.ingest_died)
        moment = MOMENTS[strike.aim](self)
        return self._until(moment) and self.crew.kill(strike.victim)

    def _until(self, moment: Callable[[], bool]) -> bool:
        """Wait for a moment, looking often and after the queue now and then; False when it does not come."""
        give_up, next_look = time.monotonic() + PATIENCE_S, 0.0
        while not moment():
            now = time.monotonic()
            if now > give_up:
                return False
            if now > next_look:
                if self.nurse.look():
                    return False
                next_look = now + 0.2
            time.sleep(LOOK_S)
        return True

    def any_moment(self) -> Callable[[], bool]:
        """Mostly some time after a worker has begun to work, so that the sweep gets on; now and then at once."""
        wait_s = self.rng.uniform(0.0, 1.5)
        idle_too = self.rng.random() < 0.15
        begun: list[float] = []

        def come() -> bool:
            if not begun and (idle_too or any(works for _, works in read_cards(self.workspace))):
                begun.append(time.monotonic())
            return bool(begun) and time.monotonic() - begun[0] > wait_s

        return come

    def new_name(self, pattern: str) -> Callable[[], bool]:
        """A file of a run appears that was not there, or one takes another's place."""
        known = _versions(self.workspace, pattern)
        return lambda: bool(_versions(self.workspace, pattern) - known)


def _versions(workspace: Workspace, pattern: str) -> set[tuple[Path, int]]:
    found = set()
    for path in workspace.runs.glob(pattern):
        try:
            found.add((path, path.stat().st_ino))
        except FileNotFoundError:
            continue
    return found


_TEMPORARY = temporary_name("state.pt").split("state.pt")[0] + "state.pt.*"
MOMENTS: dict[str, Callable[[Storm], Callable[[], bool]]] = {
    RANDOM: Storm.any_moment,
    "as a shard gets its name": lambda storm: storm.new_name("*/attempts/*/spool/[!.]*"),
    "while it writes a checkpoint": lambda storm: storm.new_name(f"*/checkpoints/resume/{_TEMPORARY}"),
    "as a checkpoint gets its name": lambda storm: storm.new_name("*/checkpoints/resume/state.pt"),
    "as an attempt begins": lambda storm: storm.new_name("*/attempts/*"),
}


def weather(storm: Storm, strikes: Sequence[Strike]) -> list[Strike]:
    """Let the storm rage over one sweep and see the sweep through; returns the strikes for another one."""
    storm.nurse.begin()
    left = storm.rage(strikes)
    deadline = time.monotonic() + STUCK_S
    while not storm._look():
        if time.monotonic() > deadline:
            raise OdysseyError("the sweep did not go on after the last kill")
        time.sleep(0.1)
    storm.crew.dismiss()
    return left
