"""What can be wrong with the points, the form or the limits of a law: one class, shown as message and hint."""

from __future__ import annotations

from store.errors import DataError


class LawError(DataError):
    """A law cannot be fitted, used or planned with as asked."""
