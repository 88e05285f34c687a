"""The evaluate job: score an existing model, once for all runs that adapt it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engine.data.tokenizer import load_tokenizer
from engine.evaluate.record import Examiner
from engine.models.decoder import Decoder
from engine.models.lengths import check_lengths
from engine.models.load import load_model, read_facts

if TYPE_CHECKING:
    from engine.report import JobContext
    from engine.spec.run import EvaluateJob


def execute(job: EvaluateJob, context: JobContext) -> None:
    """Emit the ``model`` event of ``job.model`` and an ``evaluation`` for every set."""
    torch.set_num_threads(context.threads)
    report = context.report
    tokenizer = load_tokenizer(job.tokenizer, context.workspace)
    examiner = Examiner.prepare(job.evaluation, tokenizer, context)
    report.running(examiner.predicted_tokens, "tokens")
    report.progress(0, "loading the model")
    model = load_model(job.model, context.workspace, context.device)
    decoder = Decoder.of(model)
    check_lengths(decoder, tokenizer, None, job.evaluation)
    facts = read_facts(job.model, context.workspace, model)
    examiner.recognise(decoder, job.model, facts)
    if job.model.run is None:
        report.emit(
            "model",
            **{**facts.content(), "tokenizer_id": tokenizer.tokenizer_id},
            run_id=context.spec.run_id,
            source=job.model.source,
            revision=job.model.revision,
            path=None,
        )
    done = 0

    def pulse(tokens: int) -> None:
        nonlocal done
        done += tokens
        report.progress(done, "evaluating")
        report.check_stop()

    examiner.examine(decoder, facts.model_id, context, pulse)
    report.progress(examiner.predicted_tokens, "done")
