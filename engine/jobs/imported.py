"""Points of imported tables, as the records that runs of this program leave."""

from __future__ import annotations

import json
from typing import Any

SCHEME = {"kind": "imported"}
"""Losses of a table are comparable among each other, and with no others."""
_SCHEME_KEY = json.dumps(SCHEME)


def take_point(
    models: dict[str, dict[str, Any]],
    evaluations: dict[tuple[str, str, str], dict[str, Any]],
    run_id: str,
    event: dict[str, Any],
) -> None:
    """Add a ``point`` event: a base state, and where it was adapted the adapted state, each with its mean loss.

    A trajectory stands for a run, and its base state is its own, so that losses of other rows are never taken for its.
    """
    trajectory = f"{run_id}#{event['trajectory']}"
    base_id = f"{trajectory}@base"
    texts = f"{event.get('eval_set') or run_id}:{event['domain']}:{event['role']}"
    of_base = ("n_params", "ptpp", "tokens_seen", "base_epochs")
    base = {name: event[name] for name in of_base if event.get(name) is not None}
    models.setdefault(base_id, {"run_id": trajectory, "imported": event["domain"]}).update(base)
    adapted = event.get("adapt_tokens")
    zero_shot = event.get("zero_shot_loss") if adapted else event["loss"]
    if zero_shot is not None:
        evaluations[base_id, texts, _SCHEME_KEY] = _evaluation(base_id, texts, event, zero_shot)
    if not adapted:
        return
    model_id = f"{trajectory}@{adapted}"
    kept = ("atpp", "adapt_tokens", "replay_ratio", "domain", "method", "target_epochs", "replay_epochs")
    fields = {name: event[name] for name in kept if event.get(name) is not None}
    models[model_id] = {"run_id": trajectory, "parent": base_id, **fields}
    evaluations[model_id, texts, _SCHEME_KEY] = _evaluation(model_id, texts, event, event["loss"])


def _evaluation(model_id: str, texts: str, event: dict[str, Any], loss: float) -> dict[str, Any]:
    # A table gives means; how many tokens they are of, it does not say.
    return {
        "model_id": model_id,
        "eval_set_id": texts,
        "scheme": SCHEME,
        "role": event["role"],
        "sum_loss": loss,
        "predicted": 1,
    }
