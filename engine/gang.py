"""Starts the processes that execute one run together on this machine, by torchrun's launcher, and waits for them.

``python -m engine.gang NUMBER PYTHON_ARGUMENT…``; on several machines torchrun itself does this (docs/parallel.md).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import uuid

from engine.launch.together import FAILED

LOOK_S = 0.2


def main() -> None:
    """Exit with status 0 when all processes did, else say which one ended how and exit with ``FAILED``."""
    number, arguments = int(sys.argv[1]), sys.argv[2:]
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What it would log, a table of processes, would stand between the last words of a process and their reader.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)(*arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode != FAILED:
            print(f"process {rank} of {number} {describe(failure.exitcode)}", file=sys.stderr, flush=True)
        sys.exit(FAILED)


def describe(code: int) -> str:
    """How a process ended, by its exit status (negative: the signal), in words."""
    if code >= 0:
        return f"exited with status {code}"
    hint = ", often for want of memory" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


def _follow(parent: int) -> None:
    """End at once when whoever started this has; the processes notice in the same way."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(FAILED)


if __name__ == "__main__":
    main()
