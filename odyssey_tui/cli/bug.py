"""The log an unexpected exception leaves behind."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from pathlib import Path


def write_traceback(error: BaseException) -> Path:
    """Write the traceback and the command that met it; returns the file (XDG state folder, or the temporary one)."""
    text = "".join(traceback.format_exception(error))
    body = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(sys.argv)}\n{text}"
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    for folder in (state / "odyssey", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(body)
        except OSError:
            continue
        return folder / name
    return Path(os.devnull)
