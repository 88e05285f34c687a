"""The base of every spec: frozen, unknown keys refused, canonical JSON for content addressing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen model that refuses unknown keys and silent type coercion between text and numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    def content(self) -> dict[str, Any]:
        """The plain-JSON content, defaults included."""
        return self.model_dump(mode="json")

    def essence(self) -> dict[str, Any]:
        """The content that differs from the defaults: what keys are computed from.

        So a field added later changes no key, as long as its default is what was done before it; a default that has
        been released therefore never changes.
        """
        return self.model_dump(mode="json", exclude_defaults=True)

    def key(self, length: int = 12) -> str:
        """A hexadecimal key of the essence (SHA-256, shortened)."""
        return content_key(self.essence(), length)


def content_key(value: Any, length: int = 12) -> str:
    """Hexadecimal SHA-256 of a JSON value in canonical form, cut to ``length`` digits."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]
