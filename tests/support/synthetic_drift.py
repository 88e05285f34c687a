"""A drift run beside a synthetic workspace's adaptation: as a worker writes it, with numbers that fit its ledger."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from engine.plan.drift import make_drift_run
from engine.spec.run import RunSpec
from engine.spec.strict import content_key
from store.database import lease
from store.ingest import ingest
from store.queries.tokens import open_pair, read_ledger
from store.workspace import Workspace
from tests.support.synthetic_writer import Clock, RunWriter

HIDDEN_SHARE = 0.75
"""Of every type's contribution, what comes from the hidden states; the order of the changes makes no difference."""


def write_drift(workspace: Workspace, adaptation: str, before_id: str, after_id: str) -> str:
    """The finished drift of the last state of ``adaptation`` over all positions of its target set; its run_id."""
    spec = make_drift_run(RunSpec.model_validate(workspace.run(adaptation).spec()))
    with lease(workspace) as con:
        pair = open_pair(con, before_id, after_id)
        ledger = read_ledger(con, pair)
    n, before, after = ledger.count, ledger.sum_before, ledger.sum_after
    hidden = before + HIDDEN_SHARE * (after - before)
    output = before + (1 - HIDDEN_SHARE) * (after - before)
    drift = 0.1 + 0.3 * np.abs(np.sin(ledger.token_id))
    drift_id = content_key([spec.run_id, pair.eval_set_id])
    sums = {"sum_before": before, "sum_after": after, "sum_output": output, "sum_hidden": hidden}
    moves = {f"{name}_drift": drift * factor for name, factor in (("hidden", 1.0), ("input", 0.5), ("output", 0.4))}
    cosines = {name.replace("drift", "cosine"): 1 - column**2 / 2 for name, column in moves.items()}
    table = pa.table({"drift_id": [drift_id] * len(n), "token_id": ledger.token_id, "n": n, **sums, **moves, **cosines})
    run = RunWriter(workspace, spec, Clock())
    run.start(ledger.positions, "tokens")
    run.emit(
        "drift",
        drift_id=drift_id,
        model_before=pair.before.model_id,
        model_after=pair.after.model_id,
        evaluation_before=before_id,
        evaluation_after=after_id,
        eval_set_id=pair.eval_set_id,
        role=pair.before.role,
        scheme=pair.before.scheme,
        max_tokens=100_000,
        positions=ledger.positions,
        predicted=ledger.positions,
        tied=False,
        **{name.replace("sum", "loss"): float(column.sum()) / ledger.positions for name, column in sums.items()},
        hidden_drift=0.25,
        hidden_cosine=0.97,
        input_drift=0.12,
        output_drift=0.1,
        seconds=1.0,
        shard=run.shard("type_drift", table),
    )
    run.end("done", seconds=1)
    ingest(workspace)
    return spec.run_id
