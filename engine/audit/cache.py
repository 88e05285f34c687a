"""Audits of experiments' texts in the cache, for whoever wants to see them before a launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.files import write_json

if TYPE_CHECKING:
    from store.workspace import Workspace


def cache_audit(workspace: Workspace, found: dict[str, Any]) -> None:
    """Keep an audit under the key of its pair (``engine.spec.auditing.TextPair``)."""
    write_json(workspace.cache / "audits" / f"{found['pair_key']}.json", found)
