"""A worker bound to the command that started it: when that ends, the run is stopped at its next safe point.

``python -m engine.bound_worker WORKSPACE WORKER_ID``, with a pipe from the command as standard input.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine import worker
from engine.launch.mailbox import Mailbox, Order, Watched, parse_order
from store.errors import OdysseyError
from store.workspace import Workspace

GONE = "the command that ran it ended"


def main(*, jobs: Mapping[str, str] = worker.JOBS, heavy: Sequence[str] = worker.HEAVY) -> None:
    """Work as any worker does until told to leave, or until the pipe closes."""
    root, worker_id = sys.argv[1:]
    mailbox = Mailbox(Workspace.open(root).workers / worker_id)
    threading.Thread(target=_outlive, args=(mailbox,), name="owner", daemon=True).start()
    worker.main([root, worker_id], jobs=jobs, heavy=heavy)


def _outlive(mailbox: Mailbox) -> None:
    """Once the command is gone, write what it would have: the inbox has no other writer then."""
    while os.read(0, 1):
        pass
    try:
        order = Watched(mailbox.inbox, parse_order).read() or Order()
        mailbox.write_order(replace(order, stop=order.stop or GONE, exit=True))
    except OdysseyError:
        os.kill(os.getpid(), signal.SIGTERM)  # on a full disk there is still this way to stop at a safe point


if __name__ == "__main__":
    main()
