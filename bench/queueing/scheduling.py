"""The scheduler with workers that wait: ``python -m bench.queueing.scheduling WORKSPACE``."""

from __future__ import annotations

import sys

from engine.launch.scheduler import main

if __name__ == "__main__":
    main(command=(sys.executable, "-P", "-m", "bench.queueing.waiting"))
