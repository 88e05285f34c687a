"""A command that executes one run of a workspace in its foreground: WORKSPACE RUN_ID."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from engine.launch.foreground import Foreground
    from engine.spec.run import RunSpec
    from store.workspace import Workspace

    workspace = Workspace.open(sys.argv[1])
    spec = RunSpec.model_validate(workspace.run(sys.argv[2]).spec())
    worker = (sys.executable, str(Path(__file__).with_name("scripted_bound_worker.py")))
    with Foreground(workspace, [spec], command=worker) as foreground:
        foreground.work(lambda moment: None)
