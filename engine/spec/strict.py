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
        """The plain-JSON content, defaults included: what a content key is computed from."""
        return self.model_dump(mode="json")

    def key(self, length: int = 12) -> str:
        """A hexadecimal key of the content (SHA-256, shortened)."""
        return content_key(self.content(), length)


def content_key(value: Any, length: int = 12) -> str:
    """Hexadecimal SHA-256 of a JSON value in canonical form, cut to ``length`` digits."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]
