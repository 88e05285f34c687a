"""The nearest name there is to one that was mistyped."""

from __future__ import annotations

from collections.abc import Iterable


def suggest(wanted: str, known: Iterable[str], otherwise: str = "") -> str:
    """``Did you mean 'NAME'?``, or ``otherwise`` where nothing resembles ``wanted``."""
    # Needed only after a mistake, and slow to import.
    import difflib

    close = difflib.get_close_matches(wanted, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else otherwise
