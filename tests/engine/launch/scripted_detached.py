"""As ``python -m engine.launch.scheduler WORKSPACE``, with scripted workers."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from engine.launch.scheduler import main

    main(command=(sys.executable, str(Path(__file__).with_name("scripted_worker.py"))))
