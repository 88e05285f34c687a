"""Exit statuses of the command line; errors that carry their own (``OdysseyError.exit_code``) use the same numbers."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a script may rely on; docs/commands.md has the same table."""

    meaning: str

    OK = 0, "done"
    FAILED = (
        1,
        "a run that was waited for failed, a check found something wrong, no cell meets the limits of a plan, or an "
        "error without a narrower class",
    )
    USAGE = 2, "a wrong option, argument or configuration, or no terminal for the screens"
    WORKSPACE = 3, "no workspace there, or it cannot be used: its folder, its database, somebody who holds it"
    DATA = 4, "text, a table or a file of results cannot be used as it is"
    BUG = 70, "an unexpected exception; standard error names the log with the traceback"
    INTERRUPTED = 130, "Ctrl-C, or a question that was not answered with yes"
    BROKEN_PIPE = 141, "the reader of the output left, as `head` does"

    def __new__(cls, status: int, meaning: str) -> Exit:
        member = int.__new__(cls, status)
        member._value_ = status
        member.meaning = meaning
        return member
