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
        self._trained = 0
        self._evaluated = 0
        self._phase = ""
        self._holding = False
        self._saved_at = time.monotonic()

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
        self._saved_at = time.monotonic()
        for index in range(self._point, len(points)):
            point = points[index]
            last = index == len(points) - 1
            if self._trunk is None:
                self._phase = "training"
                self._trainer.train(point.branch, self._trajectory.schedule, "trunk", self._train_pulse)
                # The last branch is not returned from, so nothing has to be kept.
                self._trunk = {} if last else self._trainer.state()
            self._phase = f"annealing {point.state}" if self._trajectory.annealed else "training"
            self._trainer.train(point.end, self._trajectory.rates(point), point.state, self._train_pulse)
            self._phase = f"evaluating {point.state}"
            self._evaluated = index * evaluated_tokens
            with self._trainer.opened():
                on_point(point, self._evaluation_pulse)
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
        return round(self._trained + self._evaluated / EVALUATION_COST)

    def _train_pulse(self, tokens: int) -> None:
        self._trained += tokens
        self._pulse()

    def _evaluation_pulse(self, tokens: int) -> None:
        self._evaluated += tokens
        self._pulse()

    def _pulse(self) -> None:
        self._report.progress(self._done(), self._phase)
        due = time.monotonic() - self._saved_at > self._trainer.training.checkpoint_every_s
        wish = STOP if self._report.should_stop() else SAVE if due else GO_ON
        # Clocks differ, and a request to stop reaches one process: all of several do what the first decides.
        wish = self._trainer.group.agree(wish)
        if wish != GO_ON and not self._holding:
            self._save()
        if wish == STOP:
            raise StopRequested(self._report.stop_reason or "")

    def _save(self) -> None:
        self._trainer.check_finite()
        trainer = self._trainer.state()
        if self._trainer.group.rank == 0:
            content = {"trainer": trainer, "trunk": self._trunk, "point": self._point, "trained": self._trained}
            save_resume(self._folder, content)
        self._report.emit("checkpoint", state="resume", tokens=self._trainer.position * self._trainer.training.sequence)
        self._saved_at = time.monotonic()

    def _resume(self, evaluated_tokens: int) -> None:
        saved = self._trainer.group.hand_out(lambda: load_resume(self._folder))
        if saved is None:
            return
        self._trainer.restore(saved["trainer"])
        self._trunk = saved["trunk"]
        self._point = saved["point"]
        self._evaluated = self._point * evaluated_tokens
        self._trained = saved["trained"]
