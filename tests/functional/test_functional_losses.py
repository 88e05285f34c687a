"""What a queued experiment stores, against ``transformers`` alone: saved weights, stored tokens, a plain forward."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.launch.queue_state import queue_state
from odyssey_tui.cli.main import run
from odyssey_tui.services.tokens import read_tokens
from store.database import lease
from store.ingest import ingest
from store.ingest_losses import LOSS_STEP
from store.workspace import Workspace
from tests.support.queue import wait_for_all
from tests.support.tiny import write_experiment

pytestmark = pytest.mark.slow

DEADLINE_S = 180.0
WINDOW = 32
LORA = "  - {domain: poems, method: lora, rank: 4, lr: 1e-2, replay_ratio: 0.25, atpp: [1]}\n"


@dataclass(frozen=True)
class Stored:
    """One evaluation of a saved state, as the database has it: 1-D arrays over the evaluation stream."""

    evaluation_id: str
    model_id: str
    folder: Path
    method: str | None
    role: str
    predicted: int
    sum_loss: float
    tokens: np.ndarray
    losses: np.ndarray


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The tiny experiment with a LoRA cell, launched through the queue and finished."""
    folder = tmp_path_factory.mktemp("losses")
    config = write_experiment(folder)
    config.write_text(config.read_text().replace("evaluate:", f"{LORA}evaluate:"))
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (("ODYSSEY_SLOTS", "1"), ("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1")):
            environment.setenv(name, value)
        assert run(["launch", str(config), "-w", str(folder / "workspace")]) == 0
    made = Workspace.open(folder / "workspace")
    wait_for_all(made, DEADLINE_S)
    ingest(made)
    yield made
    if (pid := queue_state(made).scheduler_pid) is not None:
        os.kill(pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def stored(workspace: Workspace) -> list[Stored]:
    """Every evaluation of a state whose weights were kept."""
    with lease(workspace) as con:
        rows = con.execute(
            "SELECT evaluation_id, model_id, eval_set_id, path, method, role, predicted, sum_loss "
            "FROM evaluations JOIN models USING (model_id) WHERE path IS NOT NULL ORDER BY model_id, role"
        ).fetchall()
        tokens = "SELECT token_ids FROM eval_tokens WHERE eval_set_id = ? ORDER BY block"
        losses = "SELECT losses FROM token_losses WHERE evaluation_id = ? ORDER BY block"
        return [
            Stored(
                evaluation_id,
                model_id,
                workspace.root / path,
                method,
                role,
                predicted,
                sum_loss,
                np.array([token for (block,) in con.execute(tokens, [eval_set_id]).fetchall() for token in block]),
                np.array(
                    [loss for (block,) in con.execute(losses, [evaluation_id]).fetchall() for loss in block],
                    dtype=np.float64,
                ),
            )
            for evaluation_id, model_id, eval_set_id, path, method, role, predicted, sum_loss in rows
        ]


def plain_losses(folder: Path, tokens: np.ndarray) -> np.ndarray:
    """Cross-entropy of every token in blocks of ``WINDOW``, by ``AutoModelForCausalLM`` and nothing else."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    losses = np.full(len(tokens), np.nan)
    for start in range(0, len(tokens), WINDOW):
        block = torch.from_numpy(tokens[start : start + WINDOW]).unsqueeze(0)
        with torch.no_grad():
            logits = model(input_ids=block).logits[0, :-1].double()
        row = torch.nn.functional.cross_entropy(logits, block[0, 1:], reduction="none")
        losses[start + 1 : start + block.shape[1]] = row.numpy()
    return losses


def test_stored_losses_are_those_of_a_plain_forward_pass(stored: list[Stored]) -> None:
    assert {(entry.method, entry.role) for entry in stored} >= {
        (method, role)
        for method, roles in ((None, "base other"), ("full", "base target"), ("lora", "base target"))
        for role in roles.split()
    }
    for entry in stored:
        expected = plain_losses(entry.folder, entry.tokens)
        np.testing.assert_allclose(entry.losses, expected, rtol=0, atol=LOSS_STEP / 2 + 1e-4, err_msg=entry.model_id)
        assert entry.predicted == np.isfinite(expected).sum()
        assert entry.sum_loss == pytest.approx(np.nansum(expected), abs=1e-4 * entry.predicted)


def test_contributions_add_up_to_the_change_of_loss(workspace: Workspace, stored: list[Stored]) -> None:
    by_id = {entry.evaluation_id: entry for entry in stored}
    adapted = [entry for entry in stored if entry.role == "target"]
    assert len(adapted) == 2
    for entry in adapted:
        view = read_tokens(workspace, entry.model_id.partition("@")[0]).report
        before, after = by_id[view.name.before_id], by_id[view.name.after_id]
        ledger = view.ledger
        # Stored losses are rounded, their sums are not.
        assert ledger.delta == pytest.approx((after.sum_loss - before.sum_loss) / after.predicted, abs=1e-9)
        assert ledger.delta == pytest.approx(np.nanmean(after.losses) - np.nanmean(before.losses), abs=LOSS_STEP)
        assert sum(row.contribution for row in ledger.rows()) == pytest.approx(ledger.delta, abs=1e-12)
        assert sum(row.contribution for row in ledger.by_class) == pytest.approx(ledger.delta, abs=1e-12)
