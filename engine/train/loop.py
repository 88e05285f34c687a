"""The training loop: next-token loss over a range of sequences, at a given learning rate, exactly resumable.

Everything that moves is in ``Trainer.state``: weights, optimizer, position in the data, steps, losses not yet logged,
and random generators. The data are a pure function of the position, so no reader has a state of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.models.adapter import set_dropout
from engine.models.attention import attending
from engine.models.device import explain_out_of_memory
from engine.train.batch import PLAIN, Batch, Objective
from engine.train.causal_loss import CausalLoss
from engine.train.group import ALONE, Group
from engine.train.metrics import Meter

if TYPE_CHECKING:
    from engine.models.decoder import Decoder
    from engine.report import Report
    from engine.spec.run import Training

MEMORY_HINT = (
    "Lower training.batch_sequences and raise training.accumulate by the same factor (the same steps, less memory), "
    "set training.activation_checkpointing: true, shorten training.sequence, or set training.precision: bf16."
)


class Source(Protocol):
    """Where sequences come from: a pure function of the position."""

    def batch(self, first: int, count: int) -> np.ndarray:
        """Sequences ``first`` to ``first + count`` as int64 (count, sequence)."""


class Rates(Protocol):
    """A learning rate as a function of the position in sequences."""

    def rate(self, position: float) -> float: ...


class Trainer:
    """A model, its optimizer and its place in the data.

    A step takes ``batch_sequences`` · ``accumulate`` sequences (fewer where the range ends), shared out over the
    processes of ``group``, and is one AdamW update with the gradient of their loss per target, clipped by norm. Weight
    decay applies to matrices only. ``held_out``, windows as ``engine.train.validation.hold_out`` cuts them, are scored
    every ``validate_every`` steps under the same objective.
    """

    def __init__(
        self,
        decoder: Decoder,
        training: Training,
        source: Source,
        report: Report,
        *,
        objective: Objective = PLAIN,
        held_out: Sequence[np.ndarray] = (),
        group: Group = ALONE,
    ) -> None:
        self.decoder = decoder
        self.training = training
        self.position = 0
        self.steps = 0
        self._source = source
        self._objective = objective
        self._held_out = held_out
        self.group = group
        self.meter = Meter(decoder, training, report, group.world, held=objective.reference is not None)
        self._module = CausalLoss(_prepare(decoder, training, group.world), training.precision, objective.reference)
        self._loss = group.wrap(self._module)
        self._device = decoder.device
        self._parameters = {n: p for n, p in decoder.model.named_parameters() if p.requires_grad}
        trained = list(self._parameters.values())
        self._trained = trained
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": training.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=training.lr, betas=training.betas, fused=True
        )

    def train(self, end: int, rates: Rates, branch: str, pulse: Callable[[int], None]) -> None:
        """Train from the current position to ``end`` (sequences).

        ``pulse`` is called after every step with the tokens it took; what it raises stops the training between two
        steps. Logs a metric under ``branch`` every ``log_every`` steps and at the end. ``OdysseyError`` when a loss or
        gradient is not finite or memory runs out.
        """
        per_step = self.training.batch_sequences * self.training.accumulate
        self.meter.start()
        set_dropout(self.decoder.model, True)
        with explain_out_of_memory(MEMORY_HINT), attending(self.decoder.model, self.training.attention):
            while self.position < end:
                count = min(per_step, end - self.position)
                rate = rates.rate(self.position + count / 2)
                self._step(count, rate)
                if self.steps % self.training.log_every == 0:
                    self.meter.log(self.steps, self.tokens, branch)
                if self._held_out and self.steps % self.training.validate_every == 0:
                    self._validate(branch)
                pulse(count * self.training.sequence)
        self.meter.log(self.steps, self.tokens, branch)
        set_dropout(self.decoder.model, False)

    @property
    def tokens(self) -> int:
        """Tokens up to the position."""
        return self.position * self.training.sequence

    def opened(self) -> AbstractContextManager[None]:
        """While the decoder is used outside training, to evaluate or to save it."""
        return self.group.opened(self._loss)

    def check_finite(self) -> None:
        """``OdysseyError`` if a loss or a gradient that is not logged yet is not finite."""
        self.meter.check(self.steps)

    def state(self) -> dict[str, Any]:
        """A copy of all that moves, in host memory: a second model rarely fits beside the first on a device.

        Of several processes the first has it whole, the others its form (``Group.collect``).
        """
        return self.group.collect(
            {
                "weights": {name: parameter.detach() for name, parameter in self._parameters.items()},
                "optimizer": self._optimizer.state_dict(),
                "position": self.position,
                "steps": self.steps,
                "meter": self.meter.state(),
                "random": self.group.every(torch.get_rng_state()),
                "random_device": self._device_generators(),
            }
        )

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go back to ``state``, bit for bit if as many processes made it."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self.group.deliver(state["weights"][name], parameter))
        self._optimizer.load_state_dict(self._deliver_moments(state["optimizer"]))
        self._optimizer.zero_grad(set_to_none=True)
        self.position = state["position"]
        self.steps = state["steps"]
        self.meter.restore(state["meter"])
        rank = self.group.rank
        if rank < len(state["random"]):
            torch.set_rng_state(state["random"][rank])
        if rank < len(state["random_device"]) and self._device.type == "cuda":
            torch.cuda.set_rng_state(state["random_device"][rank], self._device)

    def _device_generators(self) -> list[Tensor]:
        return self.group.every(torch.cuda.get_rng_state(self._device)) if self._device.type == "cuda" else []

    def _deliver_moments(self, content: dict[str, Any]) -> dict[str, Any]:
        """A collected state of the optimizer in every process: moments are spread as their parameters are."""
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        moments = {
            index: {name: self.group.deliver(value.clone(), parameters[index]) for name, value in values.items()}
            for index, values in content["state"].items()
        }
        return {"state": moments, "param_groups": content["param_groups"]}

    def _step(self, count: int, rate: float) -> None:
        batches = self._batches(lambda first, rows: self._source.batch(self.position + first, rows), count)
        share = 1.0 / self._targets(batches)
        total = torch.zeros((), device=self._device)
        # The divergence from the base model, and the targets at which it was taken.
        held = torch.zeros(2, device=self._device)
        for batch in batches:
            with self.group.synchronising(self._loss, last=batch is batches[-1]):
                # Wrappers average gradients over processes; the loss is a sum.
                loss = self._loss(batch) * share
                (loss * self.group.world).backward()
            total += loss.detach()
            if batch.divergence is not None:
                held[0] += self._module.diverged
                held[1] += batch.diverging
        total = self.group.total(total)
        norm = self.group.whole(torch.nn.utils.clip_grad_norm_(self._trained, self.training.clip))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.meter.add(total, norm, rate, count)
        if self._objective.reference is not None:
            self.meter.add_divergence(self.group.total(held))
        self.position += count
        self.steps += 1

    def _validate(self, branch: str) -> None:
        with self.meter.paused(), torch.no_grad():
            # Without dropout: no random number is drawn, and training goes on as if nothing had happened.
            set_dropout(self.decoder.model, False)
            batches = [batch for rows in self._held_out for batch in self._batches(_reader(rows), len(rows))]
            total = torch.zeros((), device=self._device)
            for batch in batches:
                total += self._loss(batch)
            loss = self.group.total(total).item() / self._targets(batches)
            set_dropout(self.decoder.model, True)
        self.meter.scored += sum(rows.size for rows in self._held_out)
        self.meter.log_validation(loss, self.steps, self.tokens, branch)

    def _targets(self, batches: Sequence[Batch]) -> float:
        """Targets of all processes, at least 1; counted on the host, so that nothing waits for a device."""
        counted = torch.tensor(sum(batch.targets for batch in batches), dtype=torch.float32)
        return max(self.group.total(counted).item(), 1.0)

    def _batches(self, read: Callable[[int, int], np.ndarray], count: int) -> list[Batch]:
        """This process's part of ``count`` sequences that ``read(first, rows)`` gives, in batches of what fits at once.

        As many in every process, the last of them without targets where its rows end.
        """
        first, rows = self.group.part(count)
        size = self.training.batch_sequences
        batches = []
        for start in range(0, math.ceil(count / self.group.world), size):
            if start < rows:
                batches.append(self._objective.prepare(read(first + start, min(size, rows - start))))
            else:
                batches.append(self._objective.prepare(read(0, 1)).muted())
        return batches


def _prepare(decoder: Decoder, training: Training, world: int) -> Decoder:
    """The decoder as training runs it: with its blocks recomputed, or compiled, if asked for."""
    with attending(decoder.model, training.attention):
        # What cannot be had is said before any work.
        pass
    if training.activation_checkpointing:
        from engine.models.recompute import recompute_layers

        recompute_layers(decoder.model)
    if training.compile:
        from engine.models.compiled import compile_decoder

        rows = min(training.batch_sequences, math.ceil(training.batch_sequences * training.accumulate / world))
        return compile_decoder(decoder, (rows, training.sequence - 1))
    return decoder


def _reader(rows: np.ndarray) -> Callable[[int, int], np.ndarray]:
    return lambda first, count: rows[first : first + count]
