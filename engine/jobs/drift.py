"""The drift job: what moved between two states of a model, by type of target token, on every set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from engine.data.tokenizer import load_tokenizer
from engine.evaluate.drift import Drift, count_positions, measure_drift
from engine.evaluate.record import Examiner, name_evaluation
from engine.models.decoder import Decoder
from engine.models.lengths import check_lengths
from engine.models.load import load_model, read_facts
from engine.spec.strict import content_key

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.data.eval_sets import TokenisedEvalSet
    from engine.report import JobContext
    from engine.spec.run import DriftJob, EvalSet, Model


def execute(job: DriftJob, context: JobContext) -> None:
    """Emit one ``drift`` event, with its ``type_drift`` shard, for every set.

    Both states must be what they were when they were saved, and of the tokenizer (``CanaryError``); ``DataError`` when
    they cannot be compared or the weights of one were not kept.
    """
    torch.set_num_threads(context.threads)
    report = context.report
    tokenizer = load_tokenizer(job.tokenizer, context.workspace)
    examiner = Examiner.prepare(job.evaluation, tokenizer, context)
    scheme = job.evaluation.scheme
    total = sum(count_positions(len(tokenised.tokens), scheme, job.max_tokens) for _, tokenised in examiner.sets)
    report.running(total, "tokens")
    report.progress(0, "loading the models")
    before, after = (_open(model, job, examiner, context) for model in (job.before, job.after))
    done = 0

    def pulse(tokens: int) -> None:
        nonlocal done
        done += tokens
        report.progress(done, "comparing")
        report.check_stop()

    for spec, tokenised in examiner.sets:
        started = time.perf_counter()
        drift = measure_drift(
            before,
            after,
            tokenised.tokens,
            scheme,
            max_tokens=job.max_tokens,
            bos_id=examiner.bos_id,
            batch_tokens=job.evaluation.batch_tokens,
            names=(job.before.model_id, job.after.model_id),
            pulse=pulse,
        )
        _record(drift, job, context, spec, tokenised, time.perf_counter() - started)
    report.progress(total, "done")


def _open(model: Model, job: DriftJob, examiner: Examiner, context: JobContext) -> Decoder:
    """A state, after the canary has found it to be what was saved and its losses those of its plain logits."""
    loaded = load_model(model, context.workspace, context.device)
    decoder = Decoder.of(loaded)
    check_lengths(decoder, examiner.canary.tokenizer, None, job.evaluation)
    examiner.recognise(decoder, model, read_facts(model, context.workspace, loaded))
    exact = job.evaluation.scheme.model_copy(update={"precision": "fp32"})
    examiner.canary.check_losses(decoder, exact, examiner.bos_id, job.evaluation.batch_tokens)
    return decoder


def _record(
    drift: Drift, job: DriftJob, context: JobContext, spec: EvalSet, tokenised: TokenisedEvalSet, seconds: float
) -> None:
    drift_id = content_key([context.spec.run_id, tokenised.eval_set_id])
    states = {"before": job.before.model_id, "after": job.after.model_id}
    scheme = job.evaluation.scheme
    context.report.emit(
        "drift",
        drift_id=drift_id,
        **{f"model_{name}": model_id for name, model_id in states.items()},
        **{
            f"evaluation_{name}": name_evaluation(model_id, tokenised.eval_set_id, scheme)
            for name, model_id in states.items()
        },
        eval_set_id=tokenised.eval_set_id,
        role=spec.role,
        scheme=scheme.content(),
        max_tokens=job.max_tokens,
        **drift.summary(),
        seconds=round(seconds, 4),
        shard=context.report.shard("type_drift", tabulate(drift_id, drift)),
    )


def tabulate(drift_id: str, drift: Drift) -> pa.Table:
    """The ``type_drift`` shard: one row per type of target token; null where a ratio or cosine is not defined."""
    import pyarrow as pa

    return pa.table(
        {
            "drift_id": pa.array([drift_id] * len(drift.count), pa.string()),
            "token_id": pa.array(drift.token_id, pa.int32()),
            "n": pa.array(drift.count, pa.int64()),
            **{name: pa.array(values, pa.float64(), from_pandas=True) for name, values in drift.columns().items()},
        }
    )
