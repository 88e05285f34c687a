"""A format audit as one process describes it to another: files, or the texts of an experiment."""

from __future__ import annotations

from typing import Any

from pydantic import PositiveInt

from engine.spec.run import Corpus, EvalSet, Model, Separator, Tokenizer
from engine.spec.strict import Strict, content_key

AUDIT_FORMAT = 3
"""Another one when what an audit holds or how it counts changes: older ones are then made anew."""
MAX_BYTES = 64_000_000
"""Read of each text, unless another limit is asked for."""


class TextPair(Strict):
    """A training text and an evaluation text that is scored by models trained on it."""

    domain: str
    """Name of the corpus that is trained on; of several that of the evaluation set."""
    corpora: tuple[Corpus, ...]
    separator: Separator = "eos"
    evaluated: EvalSet
    own: bool = True
    """Whether both are of one text; else a model trained on the one forgets the other."""

    def pair_key(self, tokenizer: Tokenizer) -> str:
        """Names its audit, whoever asks: what the texts are called plays no part in it."""
        scored = {key: value for key, value in self.evaluated.essence().items() if key not in ("name", "role")}
        scored["corpora"] = [corpus.key() for corpus in self.evaluated.corpora]
        trained = [corpus.key() for corpus in self.corpora]
        content: list[Any] = [AUDIT_FORMAT, trained, self.separator, scored, self.own, tokenizer.key()]
        return content_key(content, 16)


class Auditing(Strict):
    """Audit files (``train``, ``evaluation``), or ``pairs`` of texts of an experiment."""

    train: tuple[str, ...] = ()
    """Files or folders."""
    evaluation: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    """Text that the model was pretrained on: how many tokens a byte its tokenizer makes of that."""
    tokenizer: Tokenizer | None = None
    """None counts pieces by a rule (``engine.audit.pieces``)."""
    pairs: tuple[TextPair, ...] = ()
    model: Model | None = None
    """The base of the experiment, whose own tokenizer is compared."""
    workspace: str | None = None
    """Whose cache is used and filled; None leaves nothing behind."""
    max_bytes: PositiveInt = MAX_BYTES
