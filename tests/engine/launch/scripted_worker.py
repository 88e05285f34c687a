"""A real worker process whose ``prepare`` jobs are scripted: WORKSPACE WORKER_ID."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

if __name__ == "__main__":
    from engine.worker import main

    rank = ("-P", str(Path(__file__).with_name("scripted_rank.py")))
    main(jobs={"prepare": "scripted_job"}, heavy=(), rank=rank)
