"""The one root of errors a user may meet: a message that names the place, and a hint that says what to do."""

from __future__ import annotations


class OdysseyError(Exception):
    """An error to show once, without a traceback.

    ``message`` says what is wrong and where (file, line, key); ``hint`` says what to do about it.
    ``exit_code`` is the process's exit status when the error ends a command.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class WorkspaceError(OdysseyError):
    """The workspace cannot be used: not a workspace, not writable, of a newer version, locked too long."""

    exit_code = 3


class ConfigError(OdysseyError):
    """A configuration or option is wrong; the message names file, line and key."""

    exit_code = 2


class DataError(OdysseyError):
    """Text, a journal, a shard or another input cannot be used as it is."""

    exit_code = 4
