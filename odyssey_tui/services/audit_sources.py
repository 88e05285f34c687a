"""What is to be audited: files, or the texts of an experiment; and audits that are there already."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey_tui.services.audit import Audit, Warned, collect_warnings, run_audit
from store.errors import DataError, OdysseyError
from store.names import suggest

if TYPE_CHECKING:
    from engine.spec.run import RunSpec
    from odyssey_tui.services.asking import Hear, Started
    from store.workspace import Workspace


def audit_files(
    train: Sequence[str],
    evaluation: Sequence[str],
    *,
    base: Sequence[str] = (),
    tokenizer: str | None = None,
    max_bytes: int | None = None,
    hear: Hear,
) -> Audit:
    """Audit files and folders, without a workspace; a ``tokenizer`` is a hub id or folder."""
    from engine.spec.auditing import MAX_BYTES, Auditing
    from engine.spec.run import Tokenizer

    asked = Auditing(
        train=tuple(train),
        evaluation=tuple(evaluation),
        base=tuple(base),
        tokenizer=Tokenizer(model=tokenizer) if tokenizer else None,
        max_bytes=max_bytes or MAX_BYTES,
    )
    (found,) = run_audit(asked, hear)
    return found


def audit_runs(
    runs: Sequence[RunSpec],
    workspace: Workspace | None,
    *,
    max_bytes: int | None = None,
    hear: Hear,
    started: Started | None = None,
) -> list[Audit]:
    """Audit every text that runs of a plan train on with those that they score; kept in the workspace's cache."""
    from engine.plan.pairs import base_of, list_pairs, tokenizer_of
    from engine.spec.auditing import MAX_BYTES, Auditing

    pairs = list_pairs(runs)
    if not pairs:
        raise DataError("this experiment trains on nothing that it scores", "Add `adapt`, or corpora of the base.")
    asked = Auditing(
        pairs=pairs,
        tokenizer=tokenizer_of(runs),
        model=base_of(runs),
        workspace=str(workspace.root) if workspace is not None else None,
        max_bytes=max_bytes or MAX_BYTES,
    )
    audits = run_audit(asked, hear, started)
    return with_measured(workspace, audits) if workspace is not None else audits


def audit_experiment(
    path: Path, overrides: Sequence[str], workspace: Workspace | None, *, max_bytes: int | None = None, hear: Hear
) -> list[Audit]:
    """Audit the texts of an experiment as they would be trained on and scored."""
    from engine.plan.expand import expand
    from engine.plan.known import look_up
    from engine.spec.load import load_experiment

    experiment = load_experiment(path, overrides)
    plan = expand(experiment, look_up(experiment, workspace))
    return audit_runs(plan.runs, workspace, max_bytes=max_bytes, hear=hear)


def with_measured(workspace: Workspace, audits: Sequence[Audit]) -> list[Audit]:
    """Audits with what the workspace has measured of the classes they warn of."""
    from store.database import lease
    from store.queries.audits import measured_rises

    if not (workspace.database_path.exists() and any(finding.share for audit in audits for finding in audit.findings)):
        return list(audits)
    with lease(workspace) as con:
        rises = measured_rises(con)
    return [audit.with_measured(rises) for audit in audits] if rises else list(audits)


@dataclass(frozen=True)
class Known:
    """Audits of a plan that are in the cache, and how many of its pairs have none."""

    audits: tuple[Audit, ...]
    missing: int

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """What is more than a note, the serious first."""
        return collect_warnings(self.audits)

    @property
    def summary(self) -> str:
        """``7 pairs of texts, 1 serious, 2 cautions``; which are not audited yet."""
        if not self.audits:
            return "not audited yet" if self.missing else "nothing to audit"
        levels = [warned.finding.level for warned in self.warnings]
        parts = [
            f"{len(self.audits)} pair{'' if len(self.audits) == 1 else 's'} of texts",
            f"{levels.count('serious')} serious" if "serious" in levels else "",
            f"{levels.count('caution')} caution{'' if levels.count('caution') == 1 else 's'}"
            if "caution" in levels
            else "",
            "" if levels else "no warnings",
            f"{self.missing} not audited yet" if self.missing else "",
        ]
        return ", ".join(part for part in parts if part)


def read_known(workspace: Workspace, runs: Sequence[RunSpec]) -> Known:
    """What is known of a plan's texts without reading them: quick, and never an error."""
    from engine.plan.pairs import list_pairs, tokenizer_of

    tokenizer = tokenizer_of(runs)
    pairs = list_pairs(runs) if tokenizer is not None else ()
    found = [_read_cached(workspace, pair.pair_key(tokenizer)) for pair in pairs if tokenizer is not None]
    audits = tuple(audit for audit in found if audit is not None)
    return Known(audits, len(found) - len(audits))


def list_cached(workspace: Workspace) -> list[Audit]:
    """Every audit in the cache: those of ``odyssey audit CONFIG`` too, of texts that no run has prepared."""
    keys = sorted(path.stem for path in (workspace.cache / "audits").glob("[!.]*.json"))
    return [audit for key in keys if (audit := _read_cached(workspace, key)) is not None]


def choose_audit(audits: Sequence[Audit], name: str) -> list[Audit]:
    """Those whose domain or evaluation set is called so. ``DataError`` with the nearest name where none is."""
    chosen = [audit for audit in audits if name in (audit.record["domain"], audit.record["eval_set"])]
    if not chosen:
        names = sorted({audit.record["domain"] for audit in audits})
        raise DataError(f"no audited text is called {name!r}", suggest(name, names, f"There are {', '.join(names)}."))
    return chosen


def _read_cached(workspace: Workspace, key: str) -> Audit | None:
    path = workspace.cache / "audits" / f"{key}.json"
    try:
        return _read(str(path), os.stat(path).st_mtime_ns)
    except (OSError, OdysseyError, KeyError, TypeError):
        return None  # an audit that cannot be read is one that is not there: it can be made again


@functools.lru_cache(maxsize=256)
def _read(path: str, _mtime_ns: int) -> Audit:
    from store.files import read_json

    return Audit.of(read_json(Path(path)))
