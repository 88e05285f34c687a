"""What a trajectory really reads: counted by the tokens that reach the model, against what it reports."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.data.mixture import Mixture
from engine.data.tokens import TokenStream
from engine.plan.trajectory import Point, plan_trajectory
from engine.spec.run import Training
from engine.train.batch import PLAIN, Batch
from engine.train.loop import Trainer
from engine.train.voyage import Voyage

SEQUENCE = 16
SIZES = (7, 11, 5, 13)
"""Sequences of the target and of three replay corpora; corpus c holds the tokens 10·c to 10·c + 9 alone."""


def _stream(corpus: int) -> TokenStream:
    length = SIZES[corpus] * SEQUENCE + 3
    tokens = (10 * corpus + np.random.default_rng(corpus).integers(0, 10, length)).astype(np.uint16)
    return TokenStream(f"c{corpus}", "train", "", tokens, np.array([0, length]), length)


def _mixture(ratio: float) -> Mixture:
    return Mixture(_stream(0), [_stream(corpus) for corpus in (1, 2, 3)], ratio, SEQUENCE, seed=3)


class _Witness:
    """The plain objective, noting of which corpus every sequence is that it is given."""

    reference = None

    def __init__(self) -> None:
        self.seen: list[int] = []

    def prepare(self, tokens: np.ndarray) -> Batch:
        corpora = tokens // 10
        assert np.all(corpora == corpora[:, :1])
        self.seen.extend(corpora[:, 0].tolist())
        return PLAIN.prepare(tokens)


@pytest.mark.parametrize("anneal_share", [0.0, 0.25])
@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.3, 1 / 3, 1.0])
def test_states_hold_the_mix_and_the_budget_that_are_reported(
    tmp_path: Path, make_decoder, recorder, ratio: float, anneal_share: float
) -> None:
    mixture, witness, report = _mixture(ratio), _Witness(), recorder()
    training = Training(
        lr=1e-3, sequence=SEQUENCE, batch_sequences=3, accumulate=2, anneal_share=anneal_share, log_every=100
    )
    budgets = (290, 661, 1400)
    trajectory = plan_trajectory("tokens", budgets, 1, training)
    trainer = Trainer(make_decoder(), training, mixture, report, objective=witness)
    trunk: list[int] = []
    states: list[tuple[Point, list[int]]] = []
    read = 0

    def finish(point: Point, pulse) -> None:
        nonlocal read
        new, read = witness.seen[read:], len(witness.seen)
        on_trunk = point.branch - len(trunk)
        trunk.extend(new[:on_trunk])
        states.append((point, trunk + new[on_trunk:]))

    Voyage(trainer, trajectory, report, tmp_path / "resume").follow(finish, 0)
    for (point, seen), budget in zip(states, budgets, strict=True):
        assert len(seen) == point.end
        assert abs(len(seen) * SEQUENCE - budget) <= SEQUENCE / 2
        counts = Counter(seen)
        replayed = [counts[corpus] for corpus in (1, 2, 3)]
        assert abs(sum(replayed) - ratio * len(seen)) <= 0.5 + 1e-9
        assert max(replayed) - min(replayed) <= 1
        assert mixture.realised(point.end) == {
            "replay_requested": ratio,
            "replay_realised": pytest.approx(sum(replayed) / len(seen)),
            "sequences": len(seen),
            "target_tokens": counts[0] * SEQUENCE,
            "replay_tokens": sum(replayed) * SEQUENCE,
            "target_epochs": pytest.approx(counts[0] / SIZES[0]),
            "replay_epochs": pytest.approx(max(count / size for count, size in zip(replayed, SIZES[1:], strict=True))),
        }


def test_rows_read_apart_are_the_rows_of_the_step() -> None:
    whole = _mixture(0.3).batch(100, 12)
    apart = [_mixture(0.3).batch(100 + first, rows) for first, rows in ((0, 5), (5, 4), (9, 3))]
    assert np.array_equal(np.concatenate(apart), whole)
