"""What losses may be compared in: nats per token only with one tokenizer, bits per byte with several.

A token of another tokenizer is another amount of text, so its losses, perplexities and changes have another unit. Bytes
are the same for all: Σ loss / (ln 2 · bytes of the predicted tokens) is bits per byte. Losses themselves, other than
their changes, are comparable only on one text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.tokenizers import ScoredText

TOKEN_UNIT, BYTE_UNIT = "nats/token", "bits/byte"
MOST_NAMED = 3
UNRECORDED = (
    "Not of every run a tokenizer is recorded: losses per token and perplexities can be compared only where it is the "
    "same."
)


class Scored(Protocol):
    """What is looked at of an evaluation."""

    @property
    def eval_set_id(self) -> str | None: ...

    @property
    def tokenizer_id(self) -> str | None: ...


@dataclass(frozen=True)
class Fairness:
    """How losses may stand side by side; ``sentence`` says so on a screen, and is empty where there is no limit."""

    unit: str
    """nats/token or bits/byte: what changes of the loss may be compared in."""
    one_text: bool
    """Whether losses themselves, and perplexities where the unit is nats/token, may be compared too."""
    sentence: str

    @property
    def per_token(self) -> bool:
        """Whether losses per token have one unit."""
        return self.unit == TOKEN_UNIT


def judge(scored: Iterable[Scored], names: Mapping[str, str] | None = None) -> Fairness:
    """What these evaluations may be compared in. ``names``: words for tokenizers, by identifier.

    Evaluation sets are told apart by identifier: two tokenizers never share one, so that the same text cut by both
    counts as one only where ``judge_sets`` looks at the text.
    """
    found = list(scored)
    sets = {one.eval_set_id for one in found}
    return weigh([one.tokenizer_id for one in found], names, one_text=len(sets) <= 1)


def judge_sets(con: Connection, eval_set_ids: Iterable[str | None]) -> Fairness:
    """What evaluations on these sets may be compared in; the same text under two tokenizers is one text."""
    from store.queries.tokenizers import list_texts, name_tokenizers

    wanted = set(eval_set_ids)
    texts = list_texts(con, wanted)
    unknown = wanted - {text.eval_set_id for text in texts}
    tokenizers = [*(text.tokenizer_id for text in texts), *(None for _ in unknown)]
    one_text = len({text_of(text) for text in texts}) + len(unknown) <= 1
    return weigh(tokenizers, name_tokenizers(con), one_text=one_text)


def text_of(text: ScoredText) -> tuple[str | int | None, ...]:
    """What is the same for one text under every tokenizer, as long as it is cut after the same bytes."""
    return text.name, text.split, text.fingerprint or text.eval_set_id, text.n_bytes


def weigh(
    tokenizers: Iterable[str | None], names: Mapping[str, str] | None = None, *, one_text: bool = True
) -> Fairness:
    """The verdict on losses of these tokenizers, in the order of first mention; None: nobody recorded which.

    What is not recorded (other tools' runs) is taken for the same, and the sentence says so.
    """
    found = list(tokenizers)
    distinct = list(dict.fromkeys(one for one in found if one is not None))
    if len(distinct) <= 1:
        doubtful = None in found and len(found) > 1
        return Fairness(TOKEN_UNIT, one_text, UNRECORDED if doubtful else "")
    words = [names[one] for one in distinct if one in names] if names else []
    more = f"; and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    listed = f" ({'; '.join(words[:MOST_NAMED])}{more})" if words else ""
    return Fairness(
        BYTE_UNIT,
        one_text,
        f"{len(distinct)} different tokenizers{listed}: losses per token and perplexities cannot be compared, only "
        "bits per byte.",
    )


def bits_per_byte(loss: float | None, predicted: int | None, n_bytes: int | None) -> float | None:
    """A mean loss in nats per predicted token as bits per byte of those tokens; a change of loss likewise."""
    if loss is None or not predicted or not n_bytes:
        return None
    return loss * predicted / (math.log(2) * n_bytes)
