"""A worker bound to the command that started it, whose ``prepare`` jobs are scripted: WORKSPACE WORKER_ID."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

if __name__ == "__main__":
    from engine.bound_worker import main

    main(jobs={"prepare": "scripted_job"}, heavy=())
