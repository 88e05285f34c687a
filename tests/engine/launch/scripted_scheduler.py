"""A real scheduler process with scripted workers: WORKSPACE IDLE_EXIT_S. Exit status 3: another one works already."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from engine.launch.scheduler import Scheduler
    from store.workspace import Workspace

    command = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))
    scheduler = Scheduler(Workspace.open(sys.argv[1]), command=command, idle_exit_s=float(sys.argv[2]))
    sys.exit(0 if scheduler.run() else 3)
