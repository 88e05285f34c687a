"""Tokens of training texts, as preparations in a workspace counted them."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import OdysseyError

if TYPE_CHECKING:
    from engine.plan.plan import Plan
    from store.workspace import Workspace


def count_tokens(workspace: Workspace, plan: Plan) -> dict[str, int]:
    """Tokens of train splits by ``Corpus.key()``, in the plan's tokenizer and first separator; what is not prepared yet
    is left out. Quick, and never an error."""
    job = next((run.job for run in plan.runs if run.job.kind == "prepare"), None)
    if job is None:
        return {}
    found: dict[str, int] = {}
    for run_id in sorted(name for name in workspace.run_ids() if name.startswith("prepare-")):
        attempts = workspace.run(run_id).path / "attempts"
        for journal in sorted(attempts.glob("*/events.jsonl")):
            spec = workspace.run(run_id).spec_path
            try:
                counted = _read(str(spec), str(journal), os.stat(journal).st_mtime_ns)
            except OSError:
                continue
            if counted is not None and counted[0] == (job.tokenizer.key(), job.separators[0]):
                found |= dict(counted[1])
    return found


Counted = tuple[tuple[str, str], tuple[tuple[str, int], ...]]


@functools.lru_cache(maxsize=256)
def _read(spec: str, journal: str, _mtime_ns: int) -> Counted | None:
    """Tokenizer and separator of a preparation, and the tokens of its corpora; None where it cannot be read."""
    from pydantic import ValidationError

    from engine.spec.run import PrepareJob, RunSpec
    from store.files import read_json
    from store.journal import read_events

    try:
        job = RunSpec.model_validate(read_json(Path(spec))).job
        events, _ = read_events(Path(journal))
        if not isinstance(job, PrepareJob):
            return None
        tokens = tuple((event["corpus_key"], int(event["tokens"]["train"])) for event in events if _counts(event))
        return (job.tokenizer.key(), job.separators[0]), tokens
    except (OSError, OdysseyError, ValidationError, KeyError, TypeError, ValueError):
        return None


def _counts(event: dict[str, object]) -> bool:
    return event.get("event") == "corpus" and bool(event.get("tokens"))
