"""A client that ingests again and again: ``python -m bench.faulting.ingest_client WORKSPACE [POINT]``.

With a POINT it kills itself the first time it gets there with shards in hand: ``written`` (all rows inserted, nothing
committed), ``committed`` (before any shard's file is deleted), ``deleting`` (one file gone, the others not yet).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import store.ingest
from store import ingest_shards
from store.errors import WorkspaceError
from store.workspace import Workspace

PAUSE_S = 0.02


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_when_written() -> None:
    bring_in = ingest_shards.bring_in

    def aimed(*arguments: Any) -> ingest_shards.Taken:
        taken = bring_in(*arguments)
        if taken.ingested:
            die()
        return taken

    ingest_shards.bring_in = aimed


def die_when_committed() -> None:
    finish = store.ingest.finish

    def aimed(taken: ingest_shards.Taken) -> None:
        if taken.ingested:
            die()
        finish(taken)

    store.ingest.finish = aimed


def die_deleting() -> None:
    finish = store.ingest.finish

    def aimed(taken: ingest_shards.Taken) -> None:
        if taken.ingested:
            taken.ingested[0].path.unlink(missing_ok=True)
            die()
        finish(taken)

    store.ingest.finish = aimed


POINTS: dict[str, Callable[[], None]] = {
    "written": die_when_written,
    "committed": die_when_committed,
    "deleting": die_deleting,
}


def main() -> None:
    workspace = Workspace.open(sys.argv[1])
    for point in sys.argv[2:]:
        POINTS[point]()
    while workspace.root.exists():
        try:
            store.ingest.ingest(workspace)
        except WorkspaceError as error:
            print(error, file=sys.stderr, flush=True)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
