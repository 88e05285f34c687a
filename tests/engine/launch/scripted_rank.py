"""A real process of several whose ``prepare`` jobs are scripted: WORKSPACE RUN_ID ATTEMPT, started by torchrun."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

if __name__ == "__main__":
    from engine.rank import main

    main(jobs={"prepare": "scripted_job"})
