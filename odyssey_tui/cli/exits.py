"""Exit statuses of the command line; errors that carry their own (``OdysseyError.exit_code``) use the same numbers."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a script may rely on."""

    OK = 0
    FAILED = 1
    """The command worked, but a run it waited for failed, or the error has no narrower class."""
    USAGE = 2
    """A wrong option, argument or configuration, or no terminal for the TUI."""
    WORKSPACE = 3
    DATA = 4
    BUG = 70
    """An unexpected exception; the traceback is in the log named on stderr (sysexits' EX_SOFTWARE)."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141
