"""Which packed sequence comes next: target and replayed text mixed exactly, as a pure function of the position."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.data.tokens import TokenStream
from engine.plan.mixing import count_replayed, count_turns, exact_ratio
from store.errors import DataError


class Mixture:
    """Packed sequences of a target corpus and of replayed corpora in the ratio ``replay_ratio``.

    Of the first k sequences, round(k · replay_ratio) are replayed (error diffusion), so every prefix holds the
    requested share within one sequence; replay corpora take turns. A corpus's stream is cut into whole sequences of
    ``length`` tokens, the rest is left out; their order is permuted anew in each epoch, by ``seed``. Everything depends
    on the position k alone: a training cursor is one integer.

    Raises DataError when a corpus that is drawn from is shorter than one sequence.
    """

    def __init__(
        self,
        target: TokenStream | None,
        replay: Sequence[TokenStream],
        replay_ratio: float,
        sequence: int,
        seed: int,
    ) -> None:
        self.replay_ratio = replay_ratio
        self.length = sequence
        self._seed = seed % 2**32
        self._ratio = exact_ratio(replay_ratio)
        if not 0 <= self._ratio <= 1:
            raise DataError(f"replay ratio {replay_ratio} lies outside [0, 1]")
        if target is None and self._ratio < 1:
            raise DataError(f"replay ratio {replay_ratio} asks for target text, but there is no target corpus")
        if not replay and self._ratio > 0:
            raise DataError(f"replay ratio {replay_ratio} asks for replayed text, but no replay corpus is named")
        self._target = target if self._ratio < 1 else None
        self._replay = tuple(replay) if self._ratio > 0 else ()
        for stream in self._drawn():
            if len(stream) < sequence:
                raise DataError(
                    f"corpus '{stream.name}': its {stream.split} split has {len(stream):,} tokens, fewer than one "
                    f"sequence of {sequence:,}",
                    "Give it more text, or set a shorter `sequence`.",
                )
        # One epoch of each corpus is in use, and two while a batch reaches into the next.
        self._permutation = functools.lru_cache(maxsize=2 * len(self._drawn()))(self._permute)

    def sequence(self, k: int) -> np.ndarray:
        """The tokens of sequence ``k`` (from 0): ``length`` of them, int64."""
        stream, position, epoch, source = self._locate(k)
        index = int(self._permutation(source, epoch, len(stream) // self.length)[position])
        start = index * self.length
        return np.asarray(stream.tokens[start : start + self.length], dtype=np.int64)

    def batch(self, first: int, count: int) -> np.ndarray:
        """Sequences ``first`` to ``first + count - 1``: int64, shape (count, length)."""
        batch = np.empty((count, self.length), dtype=np.int64)
        for row in range(count):
            batch[row] = self.sequence(first + row)
        return batch

    def is_replay(self, k: int) -> bool:
        """Whether sequence ``k`` is replayed text."""
        return self._replayed(k + 1) > self._replayed(k)

    def realised(self, k: int) -> dict[str, Any]:
        """What the first ``k`` sequences held: the fields of the ``mixture`` event.

        Epochs are sequences drawn over sequences there are; ``replay_epochs`` is that of the corpus repeated most.
        """
        replayed = self._replayed(k)
        drawn = count_turns(replayed, len(self._replay))
        epochs = [n / (len(s) // self.length) for n, s in zip(drawn, self._replay, strict=True)]
        target_epochs = 0.0 if self._target is None else (k - replayed) / (len(self._target) // self.length)
        return {
            "replay_requested": self.replay_ratio,
            "replay_realised": replayed / k if k else self.replay_ratio,
            "sequences": k,
            "target_tokens": (k - replayed) * self.length,
            "replay_tokens": replayed * self.length,
            "target_epochs": target_epochs,
            "replay_epochs": max(epochs, default=0.0),
        }

    def _replayed(self, k: int) -> int:
        """How many of the first ``k`` sequences are replayed."""
        return count_replayed(self._ratio, k)

    def _locate(self, k: int) -> tuple[TokenStream, int, int, int]:
        """The stream of sequence ``k``, the position within its epoch, the epoch, and the stream's number."""
        replayed = self._replayed(k)
        if self.is_replay(k):
            turn, source = divmod(replayed, len(self._replay))
            stream, number = self._replay[source], source + 1
        else:
            if self._target is None:
                raise AssertionError("a mixture without target replays every sequence")
            stream, turn, number = self._target, k - replayed, 0
        epoch, position = divmod(turn, len(stream) // self.length)
        return stream, position, epoch, number

    def _permute(self, source: int, epoch: int, count: int) -> np.ndarray:
        return np.random.default_rng([self._seed, source, epoch]).permutation(count)

    def _drawn(self) -> tuple[TokenStream, ...]:
        return self._replay if self._target is None else (self._target, *self._replay)
