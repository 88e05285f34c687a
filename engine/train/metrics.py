"""What a run measures of its training: losses as they come, work, speed and memory, written as metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.models.count import count_parameters
from engine.models.device import forget_peak_memory, peak_flops, peak_memory
from store.errors import OdysseyError

if TYPE_CHECKING:
    from engine.models.decoder import Decoder
    from engine.report import Report
    from engine.spec.run import Training


class Meter:
    """Steps since the last metric line, and the work of the whole run.

    Losses and norms stay on the device until they are logged, so that no step waits for the one before.

    FLOPs are 6·N per trained token (Kaplan et al. 2020, section 2.1), N the model's parameters: 2·N forward, 2·N back
    to the activations, 2 per trained parameter back to the weights, so 4·N + 2·(trained) where an adapter leaves N
    frozen; 2·N per token that is only scored, also by a base model that training is held to. Work done twice
    (activation checkpointing, what a killed process lost) is not counted, so ``mfu`` is model FLOPs utilisation
    (2204.02311, appendix B) without its attention term.
    """

    def __init__(self, decoder: Decoder, training: Training, report: Report, world: int, *, held: bool = False) -> None:
        """``held``: every token is scored by a base model, too."""
        counts = count_parameters(decoder.model)
        self.trained = 0
        """Tokens trained on, branches included."""
        self.scored = 0
        """Tokens scored without training."""
        self._per_trained = (4 + 2 * held) * counts.total + 2 * counts.trained
        self._per_scored = 2 * counts.total
        self._sequence = training.sequence
        self._precision = training.precision
        self._report = report
        self._device = decoder.device
        peak = peak_flops(decoder.device, training.precision)
        self._peak = peak and peak * world
        self._pending: list[tuple[Tensor, Tensor, float]] = []
        self._held: list[Tensor] = []
        self._last_finite: tuple[int, float] | None = None
        self._clock = time.perf_counter()
        self._timed = 0
        forget_peak_memory(decoder.device)

    def start(self) -> None:
        """Begin to time training."""
        self._clock, self._timed = time.perf_counter(), 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent within is not training's."""
        self._wait()
        paused = time.perf_counter()
        yield
        self._wait()
        self._clock += time.perf_counter() - paused

    def add(self, loss: Tensor, norm: Tensor, rate: float, sequences: int) -> None:
        """A step: its loss per target, the norm of its gradient before clipping (scalars), its rate."""
        self._pending.append((loss, norm, rate))
        self.trained += sequences * self._sequence
        self._timed += sequences * self._sequence

    def add_divergence(self, held: Tensor) -> None:
        """Of the step: Σ KL(p_base ‖ p) in nats, and the targets it was taken at; (2,)."""
        self._held.append(held)

    def log(self, step: int, tokens: int, branch: str) -> None:
        """Write the mean loss since the last line; ``OdysseyError`` if one is not finite."""
        if not self._pending:
            return
        losses, norm = self._read(step)
        values = {"loss": math.fsum(losses) / len(losses), "lr": self._pending[-1][2], "grad_norm": norm}
        self._pending.clear()
        if self._held:
            divergence, targets = torch.stack(self._held).sum(0).tolist()
            values["divergence"] = divergence / max(targets, 1.0)
            self._held.clear()
        now = time.perf_counter()
        # A run resumed at the very end of a branch has losses to log but trained none of them itself.
        if self._timed:
            values["tokens_per_s"] = self._timed / (now - self._clock)
            if self._peak:
                values["mfu"] = values["tokens_per_s"] * self._per_trained / self._peak
        self._clock, self._timed = now, 0
        values["flops"] = float(self._per_trained * self.trained + self._per_scored * self.scored)
        values["memory_bytes"] = peak_memory(self._device)
        self._report.metric(step, tokens, branch, **values)

    def log_validation(self, loss: float, step: int, tokens: int, branch: str) -> None:
        """Write the loss on held-out text after ``step``; ``OdysseyError`` if it is not finite."""
        if not math.isfinite(loss):
            raise self._diverged(f"the loss on held-out text became {loss} after step {step}", None)
        self._report.metric(step, tokens, branch, valid_loss=loss)

    def check(self, step: int) -> None:
        """``OdysseyError`` if a loss or a gradient up to ``step`` that is not logged yet is not finite."""
        if self._pending:
            self._read(step)

    def state(self) -> dict[str, Any]:
        """What a resumed run must know to write the same lines, but for the counts of work."""
        return {"pending": self._pending, "held": self._held, "last_finite": self._last_finite}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to ``state``."""
        self._pending = [(loss.to(self._device), norm.to(self._device), rate) for loss, norm, rate in state["pending"]]
        self._held = [held.to(self._device) for held in state["held"]]
        self._last_finite = state["last_finite"]

    def _read(self, step: int) -> tuple[list[float], float]:
        """Losses of the pending steps, the last of which is ``step``, and its norm."""
        scalars = torch.stack([value for loss, norm, _ in self._pending for value in (loss, norm)]).tolist()
        losses, norms = scalars[::2], scalars[1::2]
        first = step - len(losses) + 1
        for number, (loss, norm) in enumerate(zip(losses, norms, strict=True), first):
            rate = self._pending[number - first][2]
            if not math.isfinite(loss):
                raise self._diverged(f"the loss became {loss} at step {number}", rate)
            self._last_finite = (number, loss)
            # An update with such a gradient leaves weights that are no numbers.
            if not math.isfinite(norm):
                raise self._diverged(f"the gradient's norm became {norm} at step {number}", rate)
        return losses, norms[-1]

    def _diverged(self, what: str, rate: float | None) -> OdysseyError:
        at = "" if rate is None else f", at a learning rate of {rate:.3g}"
        last = "no loss before it was finite"
        if self._last_finite is not None:
            last = f"the last finite loss was {self._last_finite[1]:.4f} at step {self._last_finite[0]}"
        precision = ", or use training.precision: fp32" if self._precision == "bf16" else ""
        return OdysseyError(
            f"{what}{at}; {last}",
            "A run's specification is fixed, and a retry would diverge again from the last checkpoint, which is kept: "
            f"lower training.lr, lengthen training.warmup_share or lower training.clip{precision}, and launch again.",
        )

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
