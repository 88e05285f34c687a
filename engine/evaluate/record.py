"""Evaluate a model on named sets and record it: one event and one shard of per-token losses per set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.data.records import record_eval_set, record_tokenizer
from engine.evaluate.canary import Canary
from engine.evaluate.losses import per_token_losses
from engine.spec.strict import content_key
from engine.train.group import find_group
from store.shards import BLOCK_TOKENS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from engine.data.eval_sets import TokenisedEvalSet
    from engine.data.tokenizer import LoadedTokenizer
    from engine.models.decoder import Decoder
    from engine.models.load import ModelFacts
    from engine.report import JobContext
    from engine.spec.run import EvalSet, Evaluation, Model, Scheme


@dataclass(frozen=True)
class Examiner:
    """The evaluation sets of a run, tokenised, and how to score a model on them."""

    evaluation: Evaluation
    sets: tuple[tuple[EvalSet, TokenisedEvalSet], ...]
    bos_id: int | None
    canary: Canary

    @classmethod
    def prepare(cls, evaluation: Evaluation, tokenizer: LoadedTokenizer, context: JobContext) -> Examiner:
        """Tokenise the sets, or open them in the cache. A run that needs no other also records their texts."""
        from engine.data.eval_sets import tokenise_eval_set

        sets = tuple((spec, tokenise_eval_set(spec, tokenizer, context.workspace)) for spec in evaluation.sets)
        if not context.spec.needs:
            record_tokenizer(tokenizer, context.report)
            for spec, tokenised in sets:
                record_eval_set(spec, tokenised, tokenizer, context.report)
        return cls(evaluation, sets, find_bos(evaluation.scheme, tokenizer), Canary.of(tokenizer))

    @property
    def predicted_tokens(self) -> int:
        """About how many tokens one model is scored on."""
        return sum(len(tokenised.tokens) for _, tokenised in self.sets)

    def recognise(self, decoder: Decoder, model: Model, facts: ModelFacts) -> None:
        """Raise ``CanaryError`` when a loaded model is not what it was when saved, or another tokenizer is its own."""
        self.canary.check_tokenizer_id(facts.tokenizer_id, facts.model_id)
        if model.source is not None:
            self.canary.check_own_tokens(model.source, model.revision, trust_remote_code=model.trust_remote_code)
        self.canary.check_weights(decoder, facts.canary_loss, facts.model_id)

    def examine(self, decoder: Decoder, model_id: str, context: JobContext, pulse: Callable[[int], None]) -> None:
        """Score the model on every set and record each as an ``evaluation`` event with its ``token_losses`` shard.

        The canary comes first: ``CanaryError``, and nothing recorded, when its losses are not the plain ones.
        """
        self.canary.check_losses(decoder, self.evaluation.scheme, self.bos_id, self.evaluation.batch_tokens)
        canary_loss = self.canary.loss(decoder)
        for spec, tokenised in self.sets:
            started = time.perf_counter()
            losses = per_token_losses(
                decoder,
                tokenised.tokens,
                self.evaluation.scheme,
                bos_id=self.bos_id,
                batch_tokens=self.evaluation.batch_tokens,
                pulse=pulse,
                group=find_group(),
            )
            seconds = time.perf_counter() - started
            scheme = self.evaluation.scheme.content()
            evaluation_id = name_evaluation(model_id, tokenised.eval_set_id, self.evaluation.scheme)
            predicted = ~np.isnan(losses)
            shard = context.report.shard("token_losses", tabulate_losses(evaluation_id, losses))
            context.report.emit(
                "evaluation",
                evaluation_id=evaluation_id,
                model_id=model_id,
                eval_set_id=tokenised.eval_set_id,
                role=spec.role,
                scheme=scheme,
                predicted=int(predicted.sum()),
                sum_loss=float(losses[predicted].sum(dtype=np.float64)),
                # Bits per byte divide by the bytes of the tokens that were predicted, not by those of the whole set.
                n_bytes=int((tokenised.byte_end - tokenised.byte_start)[predicted].sum()),
                seconds=round(seconds, 4),
                canary_loss=canary_loss,
                shard=shard,
            )


def name_evaluation(model_id: str, eval_set_id: str, scheme: Scheme) -> str:
    """The identifier of a state's evaluation, whoever computes it."""
    return content_key([model_id, eval_set_id, scheme.content()])


def tabulate_losses(evaluation_id: str, losses: NDArray[np.float32]) -> pa.Table:
    """The ``token_losses`` shard: one row per block of 1,024 tokens, null where nothing was predicted."""
    import pyarrow as pa

    starts = np.arange(0, len(losses), BLOCK_TOKENS)
    offsets = pa.array(np.append(starts, len(losses)), pa.int32())
    values = pa.array(losses, pa.float32(), mask=np.isnan(losses))
    return pa.table(
        {
            "evaluation_id": pa.array([evaluation_id] * len(starts), pa.string()),
            "block": pa.array(np.arange(len(starts)), pa.int32()),
            "losses": pa.ListArray.from_arrays(offsets, values),
        }
    )


def find_bos(scheme: Scheme, tokenizer: LoadedTokenizer) -> int | None:
    """The tokenizer's BOS, or its end-of-text token if it has none; only looked up by schemes that feed it."""
    if scheme.kind != "rolling" and not scheme.bos:
        return None
    bos = tokenizer.hf.bos_token_id
    return bos if bos is not None else tokenizer.eos_id
