"""Following a trajectory: states, order, progress, and a resumed run that equals the uninterrupted one bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.models.adapter import attach_method
from engine.plan.trajectory import plan_trajectory
from engine.report import StopRequested
from engine.spec.run import Method, Training
from engine.train.loop import Trainer
from engine.train.resume import FILE
from engine.train.voyage import Voyage
from store.errors import DataError

EVALUATED = 90


@dataclass
class Log:
    """What a run handed over at its points, over all its attempts."""

    states: dict[str, torch.Tensor] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)


def _sail(tmp_path: Path, make_decoder, source, report, log: Log, *, method: str = "full", **changes: Any) -> None:
    training = Training(
        **{"lr": 3e-3, "sequence": 16, "batch_sequences": 4, "log_every": 3, "anneal_share": 0.5, **changes}
    )
    trajectory = plan_trajectory("atpp", (1, 2, 3.5), 16 * 24, training)
    decoder = make_decoder()
    torch.manual_seed(11)
    attach_method(decoder.model, Method(name=method, rank=2, dropout=0.2))
    trainer = Trainer(decoder, training, source, report)

    def finish(point, pulse) -> None:
        for _ in range(3):
            pulse(EVALUATED // 3)
        trained = [p.detach().flatten() for p in decoder.model.parameters() if p.requires_grad]
        log.states[point.state] = torch.cat(trained).clone()

    try:
        Voyage(trainer, trajectory, report, tmp_path / "resume").follow(finish, EVALUATED)
    finally:
        log.metrics.extend(report.metrics)


def test_the_trunk_goes_on_from_unannealed_weights(tmp_path: Path, make_decoder, noise, recorder) -> None:
    report, log = recorder(), Log()
    _sail(tmp_path, make_decoder, noise, report, log)
    # Budgets of 24, 48 and 84 sequences: branches leave at 16, 32 and 56.
    trunk = [*range(16), *range(16, 24), *range(16, 32), *range(32, 48), *range(32, 56), *range(56, 84)]
    assert noise.read == trunk
    assert list(log.states) == ["atpp1", "atpp2", "atpp3.5"]
    assert report.total == len(trunk) * 16 + EVALUATED
    assert report.done == report.total
    assert report.phases[:4] == ["training", "annealing atpp1", "evaluating atpp1", "training"]
    rates = {m["branch"]: m["lr"] for m in report.metrics}
    assert rates["trunk"] == 3e-3
    assert all(0 < rates[state] < 1.5e-3 for state in log.states)


def test_a_state_does_not_depend_on_the_points_before_it(tmp_path: Path, make_decoder, noise, recorder) -> None:
    log = Log()
    _sail(tmp_path, make_decoder, noise, recorder(), log, warmup_share=0.0)
    training = Training(lr=3e-3, sequence=16, batch_sequences=4, anneal_share=0.5, warmup_share=0.0)
    decoder = make_decoder()
    trajectory = plan_trajectory("atpp", (3.5,), 16 * 24, training)
    trainer = Trainer(decoder, training, noise, recorder())
    Voyage(trainer, trajectory, recorder(), tmp_path / "alone").follow(lambda point, pulse: None, 0)
    alone = torch.cat([p.detach().flatten() for p in decoder.model.parameters()])
    assert torch.equal(alone, log.states["atpp3.5"])


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    "stops",
    [(1,), (2, 3), (5,), (7, 1, 1), (8,), (13,), (30, 2)],
    ids=["warm-up", "twice", "branch", "end of branch", "evaluation", "later trunk", "last branch"],
)
def test_a_resumed_run_equals_the_uninterrupted_one(
    tmp_path: Path, make_decoder, noise, recorder, method: str, stops: tuple[int, ...]
) -> None:
    expected, found = Log(), Log()
    _sail(tmp_path / "whole", make_decoder, noise, recorder(), expected, method=method)
    for pulses in stops:
        with pytest.raises(StopRequested):
            _sail(tmp_path / "parts", make_decoder, noise, recorder(pulses), found, method=method)
        assert (tmp_path / "parts" / "resume" / FILE).exists()
    last = recorder()
    _sail(tmp_path / "parts", make_decoder, noise, last, found, method=method)
    assert found.metrics == expected.metrics
    assert found.states.keys() == expected.states.keys()
    assert all(torch.equal(found.states[name], expected.states[name]) for name in expected.states)
    assert last.done == last.total
    assert not (tmp_path / "parts" / "resume").exists()


def test_a_killed_run_goes_on_from_the_last_interval(tmp_path: Path, make_decoder, noise, recorder) -> None:
    class Killed(RuntimeError):
        pass

    class Dying(type(noise)):
        def batch(self, first: int, count: int) -> np.ndarray:
            if len(self.read) > 60:
                raise Killed
            return super().batch(first, count)

    expected, found = Log(), Log()
    _sail(tmp_path / "whole", make_decoder, noise, recorder(), expected)
    with pytest.raises(Killed):
        _sail(tmp_path / "parts", make_decoder, Dying(), recorder(), found, checkpoint_every_s=1e-9)
    noise.read.clear()
    _sail(tmp_path / "parts", make_decoder, noise, recorder(), found)
    assert noise.read[0] > 0
    assert {name: state.tolist() for name, state in found.states.items()} == {
        name: state.tolist() for name, state in expected.states.items()
    }


def test_a_damaged_checkpoint_is_named(tmp_path: Path, make_decoder, noise, recorder) -> None:
    (tmp_path / "resume").mkdir()
    (tmp_path / "resume" / FILE).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match=r"cannot read the checkpoint .*state\.pt") as failure:
        _sail(tmp_path, make_decoder, noise, recorder(), Log())
    assert "Delete" in failure.value.hint
