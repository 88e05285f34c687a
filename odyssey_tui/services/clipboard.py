"""The clipboard of the terminal one sits at, also over SSH: OSC 52, and tmux's own way where there is a tmux.

The terminal reads ``ESC ] 52 ; c ; BASE64 BEL`` (xterm's control sequences, "Operating System Commands"). tmux drops
that from programs inside it unless ``set-clipboard`` is ``on``, but hands on what ``load-buffer -w`` gives it (3.2).
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence

TMUX_S = 2.0
"""tmux answers at once or not at all."""
LOADS_TO_CLIPBOARD = (3, 2)
"""The tmux from which `load-buffer` knows ``-w``."""


def osc52(text: str) -> str:
    """The sequence that puts ``text`` on the clipboard."""
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a"


def through_tmux(sequence: str) -> str:
    """A sequence for the terminal around tmux, which passes it where ``allow-passthrough`` is on (tmux(1))."""
    return f"\x1bPtmux;{sequence.replace(chr(27), chr(27) * 2)}\x1b\\"


def sequences(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What to write to the terminal; inside a tmux both for it and for the terminal around it."""
    direct = osc52(text)
    return direct + through_tmux(direct) if environment.get("TMUX") else direct


def hand_to_tmux(text: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Give the text to the tmux around us, for its buffers and the clipboard; whether it took it."""
    program = shutil.which("tmux")
    if not environment.get("TMUX") or program is None:
        return False
    command = (program, "load-buffer", "-w", "-")
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=TMUX_S, check=False, env=dict(environment)
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def tmux_version() -> tuple[int, int] | None:
    """Of the tmux on this machine; None where it does not say."""
    try:
        done = subprocess.run(("tmux", "-V"), capture_output=True, text=True, timeout=TMUX_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else None


def tsv(rows: Iterable[Sequence[object]]) -> str:
    """Rows as tab-separated lines, for a spreadsheet; tabs and line ends within a cell become spaces."""
    return "\n".join("\t".join(" ".join(str(cell).split()) for cell in row) for row in rows)
