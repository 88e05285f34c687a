"""A text in the user's own editor: ``$VISUAL``, ``$EDITOR``, or the first of the usual ones that is installed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from store.errors import ConfigError

USUAL = ("sensible-editor", "nano", "vim", "vi")
HINT = "Set EDITOR to the command of an editor that is installed, like `export EDITOR=nano`."


def find_editor() -> list[str]:
    """The command of the editor. ``ConfigError`` when there is none."""
    asked = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    words = shlex.split(asked) if asked else [name for name in USUAL if shutil.which(name)][:1]
    if not words or shutil.which(words[0]) is None:
        raise ConfigError(f"the editor {words[0]} is not installed" if words else "there is no editor", HINT)
    return words


def edit_text(text: str, suffix: str = ".yaml") -> str:
    """The text as the user leaves it. The terminal must be free. ``ConfigError`` when the editor fails."""
    editor = find_editor()
    with tempfile.TemporaryDirectory(prefix="odyssey-") as folder:
        path = Path(folder) / f"experiment{suffix}"
        path.write_text(text, encoding="utf-8")
        status = subprocess.run([*editor, str(path)]).returncode
        if status:
            raise ConfigError(f"the editor {editor[0]} ended with status {status}; nothing was changed", HINT)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("what the editor left cannot be read", "Write it as UTF-8 text.") from error
