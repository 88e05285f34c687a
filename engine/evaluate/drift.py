"""What moved between two states of a model, by type of target token, and which part of the loss's change it makes.

h is the last hidden state, as the output layer reads it, W the output layer; 0 is before, 1 after. At a position with
the target v the change of the loss is, exactly and in either order,

    ℓ(h1,W1) − ℓ(h0,W0) = [ℓ(h0,W1) − ℓ(h0,W0)] + [ℓ(h1,W1) − ℓ(h0,W1)]        the output layer first
                        = [ℓ(h1,W1) − ℓ(h1,W0)] + [ℓ(h1,W0) − ℓ(h0,W0)]        the hidden states first

so four losses of a position say all of it; the mean of the two orders is the Shapley value of either change (Shapley
1953). Losses are float32 whatever the scheme's precision, sums float64, logits exist for a chunk of rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine.evaluate.batches import Batch, plan_batches
from engine.evaluate.losses import check_feasible, require_finite
from engine.evaluate.windows import Window, plan_windows
from engine.models.device import compute_in, explain_out_of_memory
from engine.models.head import row_losses
from store.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.models.decoder import Decoder
    from engine.spec.run import Scheme

    Array = NDArray[np.float64]

CHUNK_ROWS = 4096
"""Rows of an embedding matrix that are compared at a time."""
LOSSES = ("before", "after", "output", "hidden")
"""Of hidden states and output layer both as before, both as after, and with one of the two alone as after."""
SUMS = (*LOSSES, "drift", "cosine")


@dataclass(frozen=True, eq=False)
class Moved:
    """How far rows (types, width) moved: ‖b − a‖ / ‖a‖ and the cosine of a and b, each (types,).

    NaN where a row is zero before (the cosine: or after). ``matrix`` is ‖B − A‖ / ‖A‖ of the whole matrix (Frobenius).
    """

    drift: Array
    cosine: Array
    matrix: float


@dataclass(frozen=True, eq=False)
class Drift:
    """All arrays (types,): the types that are a target at one of ``positions`` places, in the order of their ids."""

    positions: int
    predicted: int
    """Places that the scheme predicts in the whole text; ``positions`` of them were looked at."""
    token_id: NDArray[np.int64]
    count: NDArray[np.int64]
    sum_before: Array
    """Σ ℓ(h0, W0), nats."""
    sum_after: Array
    """Σ ℓ(h1, W1)"""
    sum_output: Array
    """Σ ℓ(h0, W1): the output layer changed alone."""
    sum_hidden: Array
    """Σ ℓ(h1, W0): the hidden states changed alone."""
    hidden_drift: Array
    """Mean of ‖h1 − h0‖ / ‖h0‖."""
    hidden_cosine: Array
    """Mean of cos(h0, h1)."""
    input: Moved
    output: Moved
    """Rows of the output matrix; the same as ``input`` where they are ``tied``."""
    tied: bool
    """Whether input and output embeddings are one matrix, before and after."""

    @property
    def contribution(self) -> Array:
        """c_v in nats per position of all types; they sum to ΔL."""
        return (self.sum_after - self.sum_before) / self.positions

    def mean(self, sums: Array) -> float:
        """A sum per position, over all types."""
        return float(sums.sum()) / self.positions

    def mean_of(self, means: Array) -> float:
        """The mean over positions of what is given as means of types."""
        return float(means @ self.count) / self.positions

    def summary(self) -> dict[str, int | float | bool]:
        """The text as a whole, under the names of the store's ``drifts``."""
        return {
            "positions": self.positions,
            "predicted": self.predicted,
            "tied": self.tied,
            **{f"loss_{name}": self.mean(getattr(self, f"sum_{name}")) for name in LOSSES},
            "hidden_drift": self.mean_of(self.hidden_drift),
            "hidden_cosine": self.mean_of(self.hidden_cosine),
            "input_drift": self.input.matrix,
            "output_drift": self.output.matrix,
        }

    def columns(self) -> dict[str, Array]:
        """What is known of every type, under the names of the store's ``type_drifts``."""
        return {
            **{f"sum_{name}": getattr(self, f"sum_{name}") for name in LOSSES},
            "hidden_drift": self.hidden_drift,
            "hidden_cosine": self.hidden_cosine,
            "input_drift": self.input.drift,
            "input_cosine": self.input.cosine,
            "output_drift": self.output.drift,
            "output_cosine": self.output.cosine,
        }


def measure_drift(
    before: Decoder,
    after: Decoder,
    tokens: NDArray[np.integer],
    scheme: Scheme,
    *,
    max_tokens: int,
    bos_id: int | None = None,
    batch_tokens: int = 8192,
    names: tuple[str, str] = ("the model before", "the model after"),
    pulse: Callable[[int], None] | None = None,
) -> Drift:
    """Compare two states over the token stream ``tokens`` (n,), in the windows of ``scheme``, always in float32.

    Of a text that predicts more than ``max_tokens`` tokens, whole windows that lie evenly over it. ``pulse`` is called
    after each batch with the positions it predicted. Errors as of ``per_token_losses``; ``DataError`` as of
    ``require_comparable``, and when nothing is predicted.
    """
    require_comparable(before, after, names)
    everything = plan_windows(len(tokens), scheme)
    for decoder in (before, after):
        check_feasible(decoder, tokens, everything, scheme, bos_id)
    windows = choose_windows(everything, max_tokens)
    if not windows:
        raise DataError("the text predicts nothing: it holds a single token at most", "Give a longer text.")
    sums = _Sums(before.vocab_size)
    hint = "Two models are in memory at once: lower evaluate.batch_tokens, or use a machine with more memory."
    with torch.no_grad(), compute_in(before.device, "fp32"), explain_out_of_memory(hint):
        for batch in plan_batches(windows, batch_tokens):
            sums.add(*_compare(before, after, tokens, batch, bos_id))
            if pulse is not None:
                pulse(batch.n_predicted)
        types = np.flatnonzero(sums.count)
        moved, tied = _compare_embeddings(before, after, types)
    found = sums.of(types)
    count = sums.count[types]
    return Drift(
        positions=int(count.sum()),
        predicted=count_predicted(everything),
        token_id=types,
        count=count,
        **{f"sum_{name}": found[name] for name in LOSSES},
        hidden_drift=found["drift"] / count,
        hidden_cosine=found["cosine"] / count,
        input=moved[0],
        output=moved[1],
        tied=tied,
    )


def count_positions(n_tokens: int, scheme: Scheme, max_tokens: int) -> int:
    """How many places of a text ``measure_drift`` looks at."""
    return count_predicted(choose_windows(plan_windows(n_tokens, scheme), max_tokens))


def choose_windows(windows: Sequence[Window], max_tokens: int) -> list[Window]:
    """Windows that predict ``max_tokens`` tokens at most together: all, or some that lie evenly over the text.

    Of a single window that predicts more, its beginning.
    """
    found = [window for window in windows if window.last > window.first]
    total = count_predicted(found)
    if total <= max_tokens:
        return found
    # Windows predict unequally many: the first of a strided text its whole length, the others a stride.
    for rows in range(max_tokens * len(found) // total, 0, -1):
        chosen = [found[row * len(found) // rows] for row in range(rows)]
        if count_predicted(chosen) <= max_tokens:
            return chosen
    return [replace(found[0], last=min(found[0].last, found[0].first + max_tokens))]


def count_predicted(windows: Sequence[Window]) -> int:
    """Tokens that windows predict together."""
    return sum(window.last - window.first for window in windows)


def require_comparable(before: Decoder, after: Decoder, names: tuple[str, str]) -> None:
    """``DataError`` unless both are states of one model whose logits are a matrix times its hidden states."""
    for decoder, name in zip((before, after), names, strict=True):
        if not decoder.plain:
            raise DataError(
                f"{name} ({type(decoder.model).__name__}) makes its logits by more than one output layer on its last "
                "hidden states, such as a cap or a factor",
                "Its losses cannot be split between hidden states and output embeddings.",
            )
    sizes = before.vocab_size, after.vocab_size
    hint = "Drift is that of one model between two of its states: compare an adapted state with its own base."
    if sizes[0] != sizes[1]:
        raise DataError(f"{names[0]} knows {sizes[0]:,} tokens, {names[1]} {sizes[1]:,}", hint)
    shapes = [
        {name: tuple(part.shape) for name, part in decoder.model.state_dict().items()} for decoder in (before, after)
    ]
    if type(before.model) is not type(after.model) or shapes[0] != shapes[1]:
        raise DataError(
            f"{names[0]} and {names[1]} are no states of one model: {_difference(before, after, shapes)}", hint
        )


def _difference(before: Decoder, after: Decoder, shapes: list[dict[str, tuple[int, ...]]]) -> str:
    kinds = type(before.model).__name__, type(after.model).__name__
    if kinds[0] != kinds[1]:
        return f"{kinds[0]} and {kinds[1]}"
    name = next(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name))
    one, other = ("×".join(map(str, found[name])) if name in found else "absent" for found in shapes)
    return f"{name} is {one} and {other}"


class _Sums:
    """Sums by token id, float64, of values that come in batches of positions."""

    def __init__(self, vocabulary: int) -> None:
        self.count = np.zeros(vocabulary, dtype=np.int64)
        self._sums = {name: np.zeros(vocabulary) for name in SUMS}

    def add(self, targets: NDArray[np.int64], values: dict[str, NDArray[np.float32]]) -> None:
        self.count += np.bincount(targets, minlength=len(self.count))
        for name, column in values.items():
            self._sums[name] += np.bincount(targets, weights=column, minlength=len(self.count))

    def of(self, types: NDArray[np.int64]) -> dict[str, Array]:
        return {name: column[types] for name, column in self._sums.items()}


def _compare(
    before: Decoder, after: Decoder, tokens: NDArray[np.integer], batch: Batch, bos_id: int | None
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float32]]]:
    """The targets of a batch, and of each the four losses and how its hidden state moved."""
    predicted = batch.predicted
    targets = tokens[predicted].astype(np.int64)
    device = before.device
    inputs, rows = torch.from_numpy(batch.inputs(tokens, bos_id)).to(device), torch.from_numpy(batch.rows).to(device)
    h0, h1 = (decoder.hidden(inputs).flatten(0, 1)[rows].float() for decoder in (before, after))
    wanted = torch.from_numpy(targets).to(device)

    def losses(hidden: Tensor, decoder: Decoder) -> NDArray[np.float32]:
        found = row_losses(hidden, decoder.weight, decoder.bias, wanted).cpu().numpy()
        require_finite(found, predicted)
        return found

    drift, cosine = _moved(h0, h1)
    return targets, {
        "before": losses(h0, before),
        "after": losses(h1, after),
        "output": losses(h0, after),
        "hidden": losses(h1, before),
        "drift": drift.cpu().numpy(),
        "cosine": cosine.cpu().numpy(),
    }


def _moved(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """‖b − a‖ / ‖a‖ and cos(a, b) of every row; NaN where they are not defined."""
    lengths = a.norm(dim=-1), b.norm(dim=-1)
    return (b - a).norm(dim=-1) / lengths[0], (a * b).sum(-1) / (lengths[0] * lengths[1])


def _compare_embeddings(before: Decoder, after: Decoder, types: NDArray[np.int64]) -> tuple[tuple[Moved, Moved], bool]:
    """How the rows of input and output embeddings moved, and whether they are one matrix."""
    inputs = [decoder.model.get_input_embeddings().weight for decoder in (before, after)]
    outputs = [decoder.weight for decoder in (before, after)]
    tied = all(one.data_ptr() == other.data_ptr() for one, other in zip(inputs, outputs, strict=True))
    found = _compare_rows(*inputs, types)
    return (found, found if tied else _compare_rows(*outputs, types)), tied


def _compare_rows(before: Tensor, after: Tensor, types: NDArray[np.int64]) -> Moved:
    squares = [0.0, 0.0]
    drift, cosine = np.empty(before.shape[0]), np.empty(before.shape[0])
    for rows in _chunks(before.shape[0]):
        a, b = before[rows].double(), after[rows].double()
        squares[0] += float((b - a).square().sum())
        squares[1] += float(a.square().sum())
        drift[rows], cosine[rows] = (part.cpu().numpy() for part in _moved(a, b))
    matrix = (squares[0] / squares[1]) ** 0.5 if squares[1] else float("nan")
    return Moved(*(np.where(np.isfinite(part), part, np.nan)[types] for part in (drift, cosine)), matrix)


def _chunks(rows: int) -> Iterator[slice]:
    return (slice(first, min(first + CHUNK_ROWS, rows)) for first in range(0, rows, CHUNK_ROWS))
