"""The canary: a fixed text that every evaluated model state is scored on first, so that a mistake shows before numbers.

Losses are wrong without a sign of it when targets are shifted, BOS or padding is another one, the tokenizer belongs to
another model or the weights are not those that were saved. Each of these changes the canary's losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.evaluate.losses import check_window, per_token_losses
from engine.evaluate.windows import Window, plan_windows
from engine.models.device import compute_in
from engine.spec.run import Scheme
from store.errors import OdysseyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.data.tokenizer import LoadedTokenizer
    from engine.models.decoder import Decoder

TEXT = (
    "The ship left Ithaca in 1184 BC with 12 sails and 47 oars;\nby nightfall the wind had turned.\n\n"
    "\tΤρεῖς ἡμέρας ἔπλεον· là-bas, une île.\n  Корабль шёл на юг. 船は島へ着いた。 وصلت السفينة\n"
    "if x > 0: return 'home'  # 3.14159, 100 %\n"
)
"""Several scripts, digits, punctuation, blank lines, a tab and runs of spaces. Never change it: states remember it."""
LOSS_WINDOW = 64
"""Window of ``Canary.loss``, whatever the scheme of the evaluation."""
LOSS_TOLERANCE = 1e-4
"""Share by which ``Canary.loss`` may differ between devices and libraries: float32 rounding is a hundredth of it, and
TF32, with no direction in its errors, a tenth."""
TOKEN_TOLERANCE = {"fp32": 1e-3, "bf16": 4e-2}
"""How far a token's loss may be from the plain one, as a share of 1 + its largest logit: rounding grows with those.
Some ten units of the last place of bfloat16; in float32 room for kernels that round their inputs (TF32)."""
MEAN_SHARE = 0.25
"""The mean difference stays below this share of the mean tolerance: rounding has no direction, a shift has."""

OWN_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
"""One of these is beside a model that brings a tokenizer which needs no further library."""


class CanaryError(OdysseyError):
    """The canary's losses or tokens are not what they must be: no loss of this model can be trusted."""

    exit_code = 4


@dataclass(frozen=True)
class Canary:
    """``TEXT`` in the tokens of one tokenizer, (n,) int64."""

    tokens: NDArray[np.int64]
    tokenizer: LoadedTokenizer

    @classmethod
    def of(cls, tokenizer: LoadedTokenizer) -> Canary:
        """Encode the text. ``CanaryError`` when a byte-level tokenizer's tokens are not the text's bytes."""
        (tokens,) = tokenizer.encode([TEXT])
        if tokenizer.byte_level:
            content = b"".join(tokenizer.token_bytes[token] for token in tokens)
            if content != TEXT.encode():
                raise CanaryError(
                    f"canary: tokens of the tokenizer ({tokenizer.source}) spell {_cut(content)}, not the text they "
                    f"were made from, {_cut(TEXT.encode())}",
                    "Its tokenizer.json is damaged, or no byte-level vocabulary: fetch it again.",
                )
        return cls(tokens.astype(np.int64), tokenizer)

    def loss(self, decoder: Decoder) -> float:
        """Mean loss (nats) in float32: a fingerprint of the weights, saved with a state and asked of it when loaded."""
        losses = per_token_losses(decoder, self.tokens, Scheme(window=min(LOSS_WINDOW, decoder.context or LOSS_WINDOW)))
        return float(np.nanmean(losses, dtype=np.float64))

    def check_losses(self, decoder: Decoder, scheme: Scheme, bos_id: int | None, batch_tokens: int) -> None:
        """Compare the losses that evaluations compute with those of the model's plain logits, token by token.

        The scheme is used with windows short enough for several of them. ``CanaryError`` says what differs, and when
        the pattern tells, why.
        """
        check_window(decoder, scheme)  # as it was asked for
        short = _shorten(scheme, len(self.tokens))
        windows = plan_windows(len(self.tokens), short)
        bos = self._own_bos()
        if any(window.bos for window in windows) and bos_id != bos:
            raise CanaryError(
                f"canary: token {bos_id} stands before the text, the BOS of the tokenizer ({self.tokenizer.source}) "
                f"is token {bos}",
                "The losses would be those of another beginning.",
            )
        found = per_token_losses(decoder, self.tokens, short, bos_id=bos_id, batch_tokens=batch_tokens)
        plain, largest = _plain_losses(decoder, self.tokens, windows, bos, short)
        tolerance = TOKEN_TOLERANCE[scheme.precision] * (1 + largest)
        difference = np.abs(found.astype(np.float64) - plain)
        # Comparisons with NaN are false: a loss that is missing on one side only counts as different.
        wrong = ~(difference <= tolerance) & ~(np.isnan(found) & np.isnan(plain))
        scored = np.isfinite(difference)
        biased = difference[scored].sum() > MEAN_SHARE * tolerance[scored].sum()
        if wrong.any() or biased:
            raise self._mismatch(found, plain, wrong if wrong.any() else scored)

    def check_weights(self, decoder: Decoder, expected: float | None, model_id: str) -> None:
        """Compare ``loss`` with the one saved beside the weights; nothing to compare with is no mismatch."""
        if expected is None:
            return
        loss = self.loss(decoder)
        if not abs(loss - expected) <= LOSS_TOLERANCE * abs(expected):
            raise CanaryError(
                f"canary: the weights of {model_id} have a loss of {loss:.6f} on the canary text; it was "
                f"{expected:.6f} when they were saved",
                "They were damaged or replaced since: run what made them again, or restore their folder.",
            )

    def check_tokenizer_id(self, expected: str | None, model_id: str) -> None:
        """Compare the tokenizer with the one that a state of a run was trained with."""
        if expected is not None and expected != self.tokenizer.tokenizer_id:
            raise CanaryError(
                f"canary: {model_id} was trained with tokenizer {expected}, the one given "
                f"({self.tokenizer.source}) is {self.tokenizer.tokenizer_id}",
                "Use the tokenizer that the state was trained with.",
            )

    def check_own_tokens(self, folder_or_id: str, revision: str | None, *, trust_remote_code: bool) -> None:
        """Compare the tokens with those of the tokenizer that the model's own folder or repository brings, if any."""
        own = _own_tokens(folder_or_id, revision, trust_remote_code)
        if own is None or own == self.tokens.tolist():
            return
        place, ours, theirs = _first_difference(self.tokens.tolist(), own)
        raise CanaryError(
            f"canary: the tokenizer ({self.tokenizer.source}) and that of the model ({folder_or_id}) differ: token "
            f"{place} of the canary text is {ours} with the one and {theirs} with the other",
            "Use the tokenizer that belongs to the model.",
        )

    def _own_bos(self) -> int:
        bos = self.tokenizer.hf.bos_token_id
        return self.tokenizer.eos_id if bos is None else int(bos)

    def _mismatch(
        self, found: NDArray[np.float32], plain: NDArray[np.float64], wrong: NDArray[np.bool_]
    ) -> CanaryError:
        token = int(np.flatnonzero(wrong)[0])
        counts = f"{int(wrong.sum())} of {int(np.isfinite(plain).sum())} tokens differ"
        return CanaryError(
            f"canary: the loss of token {token} is {found[token]:.4f} as evaluations compute it and {plain[token]:.4f} "
            f"from the model's plain logits; {counts}{_explain(found, plain)}",
            "No loss of this model can be trusted. Its code in `transformers` behaves otherwise than expected: "
            "please report its name and the versions of torch and transformers.",
        )


@torch.no_grad()
def _plain_losses(
    decoder: Decoder, tokens: NDArray[np.int64], windows: list[Window], bos: int, scheme: Scheme
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Losses as one writes them down: one window at a time, all logits, their log-softmax, the shift in plain sight.

    Also the largest logit (absolute) each prediction was made from.
    """
    losses, largest = np.full(len(tokens), np.nan), np.zeros(len(tokens))
    with compute_in(decoder.device, scheme.precision):
        for window in windows:
            if window.first == window.last:
                continue
            text = [int(token) for token in tokens[window.start : window.stop]]
            inputs = [bos, *text] if window.bos else text
            logits = decoder.model(input_ids=torch.tensor([inputs], device=decoder.device), use_cache=False).logits
            # Row r of the logits predicts what follows input r: the first prediction is made one row before its token.
            before = len(inputs) - len(text) + (window.first - window.start) - 1
            logits = logits[0, before : before + window.last - window.first].float().cpu()
            targets = torch.from_numpy(tokens[window.first : window.last]).unsqueeze(1)
            chosen = torch.log_softmax(logits, -1).gather(1, targets).squeeze(1)
            losses[window.first : window.last] = -chosen.double().numpy()
            largest[window.first : window.last] = logits.abs().amax(-1).numpy()
    return losses, largest


def _shorten(scheme: Scheme, n_tokens: int) -> Scheme:
    """The scheme with a window of a third of the text, and a stride that is a part of that."""
    window = min(scheme.window, max(4, n_tokens // 3))
    stride = max(1, window // 2) if scheme.kind == "strided" else scheme.stride
    return scheme.model_copy(update={"window": window, "stride": stride})


def _explain(found: NDArray[np.float32], plain: NDArray[np.float64]) -> str:
    """What a known mistake would give and this is."""
    if np.isnan(found).all():
        return ": there are no losses at all"
    for shift, words in ((1, "later"), (-1, "earlier")):
        moved = np.roll(plain, shift)
        both = np.isfinite(found) & np.isfinite(moved)
        if both.any() and np.median(np.abs(found - moved)[both]) < 0.1 * np.nanmedian(np.abs(found - plain)):
            return f", as if each were that of its neighbour one token {words}"
    return ""


def _own_tokens(folder_or_id: str, revision: str | None, trust_remote_code: bool) -> list[int] | None:
    """The canary's tokens by the model's own tokenizer as ``transformers`` applies it; None when it brings none."""
    from transformers import AutoTokenizer
    from transformers.utils.hub import cached_file

    where = {"revision": revision} if revision else {}
    quietly = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    if not any(cached_file(folder_or_id, name, **where, **quietly) for name in OWN_TOKENIZER_FILES):
        return None
    try:
        own = AutoTokenizer.from_pretrained(folder_or_id, trust_remote_code=trust_remote_code, **where)
    except Exception as error:  # damaged or foreign files: the types differ by library version
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CanaryError(
            f"canary: the tokenizer that belongs to the model ({folder_or_id}) cannot be loaded to compare: {reason}",
            "Download it again.",
        ) from error
    ids: list[int] = own(TEXT, add_special_tokens=False)["input_ids"]
    return ids


def _first_difference(ours: list[int], theirs: list[int]) -> tuple[int, int | str, int | str]:
    shared = min(len(ours), len(theirs))
    place = next((place for place in range(shared) if ours[place] != theirs[place]), shared)
    ours_there: int | str = ours[place] if place < len(ours) else "missing"
    theirs_there: int | str = theirs[place] if place < len(theirs) else "missing"
    return place, ours_there, theirs_there


def _cut(content: bytes, limit: int = 40) -> str:
    return repr(content[:limit].decode(errors="replace")) + ("…" if len(content) > limit else "")
