"""The pretrain job: one trunk from random weights, a saved and evaluated state at every PTPP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engine.data.mixture import Mixture
from engine.data.tokenizer import load_tokenizer
from engine.data.tokens import token_stream
from engine.evaluate.record import Examiner
from engine.models.build import build_model
from engine.models.count import count_parameters
from engine.models.decoder import Decoder
from engine.models.lengths import check_lengths
from engine.models.load import ModelFacts
from engine.models.save import save_state
from engine.plan.trajectory import plan_trajectory
from engine.train.group import find_group
from engine.train.loop import Trainer
from engine.train.objective import objective_of
from engine.train.validation import hold_out
from engine.train.voyage import Voyage

if TYPE_CHECKING:
    from engine.plan.trajectory import Point
    from engine.report import JobContext
    from engine.spec.run import PretrainJob
    from engine.train.voyage import Pulse


def execute(job: PretrainJob, context: JobContext) -> None:
    """Train, and at each PTPP save the state ``ptppX``, emit ``mixture`` and ``model`` and evaluate it on every set.

    These evaluations are the zero-shot ones of every adaptation that starts from the state.
    """
    torch.set_num_threads(context.threads)
    spec, workspace, report = context.spec, context.workspace, context.report
    tokenizer = load_tokenizer(job.tokenizer, workspace)
    model = build_model(
        job.architecture,
        tokenizer.vocab_size,
        spec.seed,
        bos_token_id=tokenizer.eos_id,
        eos_token_id=tokenizer.eos_id,
    ).to(context.device)
    torch.manual_seed(spec.seed)
    decoder = Decoder(model, plain=True)
    check_lengths(decoder, tokenizer, job.training, job.evaluation)
    counts = count_parameters(model)
    trajectory = plan_trajectory("ptpp", job.ptpp, counts.total, job.training)
    objective = objective_of(job.training, tokenizer)
    separator = job.training.separator
    streams = [token_stream(corpus, "train", tokenizer, workspace, separator) for corpus in job.corpora]
    mixture = Mixture(None, streams, 1.0, job.training.sequence, spec.seed)
    examiner = Examiner.prepare(job.evaluation, tokenizer, context)

    def finish(point: Point, pulse: Pulse) -> None:
        folder = context.run.checkpoint(point.state)
        tokens = point.end * job.training.sequence
        facts = ModelFacts(
            model_id=f"{spec.run_id}@{point.state}",
            n_params=counts.total,
            n_params_non_embedding=counts.non_embedding,
            tokens_seen=tokens,
            ptpp=point.budget,
            tokenizer_id=tokenizer.tokenizer_id,
            canary_loss=examiner.canary.loss(decoder),
        )
        with trainer.group.assembled(model) as first:
            if first:
                save_state(folder, model, tokenizer, facts)
        report.emit("mixture", **mixture.realised(point.end))
        report.emit(
            "model",
            **facts.content(),
            run_id=spec.run_id,
            path=str(folder.relative_to(workspace.root)),
            n_params_trained=counts.trained,
            annealed=trajectory.annealed,
        )
        report.emit("checkpoint", state=point.state, tokens=tokens)
        examiner.examine(decoder, facts.model_id, context, pulse)

    group = find_group(job.training.sharding)
    held_out = hold_out(job.corpora, tokenizer, job.training, context)
    trainer = Trainer(decoder, job.training, mixture, report, objective=objective, held_out=held_out, group=group)
    voyage = Voyage(trainer, trajectory, report, context.run.checkpoint("resume"))
    voyage.follow(finish, examiner.predicted_tokens)
