"""Follow a trajectory: train the trunk, leave it for a branch at every point, hand over each state, go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.report import StopRequested
from engine.train.resume import discard_resume, load_resume, save_resume

if TYPE_CHECKING:
    from engine.plan.trajectory import Point, Trajectory
    from engine.report import Report
    from engine.train.loop import Trainer

Pulse = Callable[[int], None]
OnPoint = Callable[["Point", Pulse], None]
GO_ON, SAVE, STOP = range(3)
EVALUATION_COST = 3
"""An evaluated token is a third of a trained one: forward only."""
SAVING_SHARE = 0.05
"""At most this share of the time goes into checkpoints: where writing one takes long they are written less often."""


class Voyage:
    """One run along a trajectory, with its progress and its checkpoint.

    Work is counted in trained tokens; an evaluated token counts a third.
    """

    def __init__(self, trainer: Trainer, trajectory: Trajectory, report: Report, folder: Path) -> None:
        self._trainer = trainer
        self._trajectory = trajectory
        self._report = report
        self._folder = folder
        self._point = 0
        self._trunk: dict[str, Any] | None = None
        self._evaluated = 0
        self._branch = "trunk"
        self._phase = ""
        self._holding = False
        self._next_save = 0.0

    def follow(self, on_point: OnPoint, evaluated_tokens: int) -> None:
        """Train through all points, calling ``on_point(point, pulse)`` while the model is in the point's state.

        ``on_point`` evaluates and saves; it calls ``pulse(tokens)`` after every batch, ``evaluated_tokens`` in all at
        each point. Continues from the checkpoint if there is one; when a stop is requested, writes it and raises
        ``StopRequested``. The checkpoint is removed at the end.
        """
        self._resume(evaluated_tokens)
        points = self._trajectory.points
        sequence = self._trainer.training.sequence
        total = self._trajectory.sequences * sequence + len(points) * evaluated_tokens / EVALUATION_COST
        self._report.running(round(total), "tokens", self._done())
        self._next_save = time.monotonic() + self._trainer.training.checkpoint_every_s
        for index in range(self._point, len(points)):
            point = points[index]
            last = index == len(points) - 1
            if self._trunk is None:
                self._branch, self._phase = "trunk", "training"
                self._trainer.train(point.branch, self._trajectory.schedule, self._branch, self._train_pulse)
                # The last branch is not returned from, so nothing has to be kept.
                self._trunk = {} if last else self._trainer.state()
            self._branch = point.state
            self._phase = f"annealing {point.state}" if self._trajectory.annealed else "training"
            self._trainer.train(point.end, self._trajectory.rates(point), self._branch, self._train_pulse)
            self._phase = f"evaluating {point.state}"
            self._evaluated = index * evaluated_tokens
            with self._trainer.opened():
                on_point(point, self._evaluation_pulse)
            self._trainer.meter.scored += self._evaluated - index * evaluated_tokens
            if self._trunk:
                self._trainer.restore(self._trunk)
            self._trunk = None
            self._point = index + 1
        self._report.progress(round(total), "done")
        if self._trainer.group.rank == 0:
            discard_resume(self._folder)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """While the model is not in a state of the trajectory: no checkpoint, and a stop saves once the block is left.

        Enter it before whatever changes the weights, so that they are restored by then.
        """
        self._holding = True
        try:
            yield
        except StopRequested:
            self._holding = False
            self._pulse()
            raise
        finally:
            self._holding = False

    def _done(self) -> int:
        return round(self._trainer.meter.trained + self._evaluated / EVALUATION_COST)

    def _train_pulse(self, tokens: int) -> None:
        self._pulse()

    def _evaluation_pulse(self, tokens: int) -> None:
        self._evaluated += tokens
        self._pulse()

    def _pulse(self) -> None:
        self._report.progress(self._done(), self._phase)
        due = time.monotonic() > self._next_save
        wish = STOP if self._report.should_stop() else SAVE if due else GO_ON
        # Clocks differ, and a request to stop reaches one process: all of several do what the first decides.
        wish = self._trainer.group.agree(wish)
        if wish != GO_ON and not self._holding:
            self._save()
        if wish == STOP:
            raise StopRequested(self._report.stop_reason or "")

    def _save(self) -> None:
        trainer = self._trainer
        trainer.check_finite()
        began = time.monotonic()
        with trainer.meter.paused():
            content = {
                "trainer": trainer.state(),
                "trunk": self._trunk,
                "point": self._point,
                "branch": self._branch,
                "trained": trainer.meter.trained,
                "scored": trainer.meter.scored,
                "attempt": self._report.attempt,
            }
            if trainer.group.rank == 0:
                save_resume(self._folder, content)
        self._report.emit("checkpoint", state="resume", tokens=trainer.tokens)
        now = time.monotonic()
        self._next_save = now + max(trainer.training.checkpoint_every_s, (now - began) / SAVING_SHARE)

    def _resume(self, evaluated_tokens: int) -> None:
        saved = self._trainer.group.hand_out(lambda: load_resume(self._folder, self._report.warning))
        if saved is None:
            return
        trainer = self._trainer
        trainer.restore(saved["trainer"])
        trainer.meter.trained, trainer.meter.scored = saved["trained"], saved["scored"]
        self._trunk = saved["trunk"]
        self._point = saved["point"]
        self._evaluated = self._point * evaluated_tokens
        self._report.emit(
            "resumed", state=saved["branch"], step=trainer.steps, tokens=trainer.tokens, from_attempt=saved["attempt"]
        )
