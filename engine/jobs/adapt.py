"""The adapt job: continue a base model on a domain mixed with replayed text; evaluate at every budget."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from engine.data.mixture import Mixture
from engine.data.tokenizer import load_tokenizer
from engine.data.tokens import token_stream
from engine.evaluate.record import Examiner
from engine.models.adapter import attach_method
from engine.models.count import count_parameters
from engine.models.decoder import Decoder
from engine.models.interpolate import Interpolation
from engine.models.lengths import check_lengths
from engine.models.load import load_model, read_facts
from engine.models.reference import reference_of
from engine.models.save import save_state
from engine.plan.trajectory import Trajectory, plan_trajectory
from engine.train.group import find_group
from engine.train.loop import Trainer
from engine.train.objective import asks_for_base, objective_of
from engine.train.validation import hold_out
from engine.train.voyage import Voyage
from store.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.plan.trajectory import Point
    from engine.report import JobContext
    from engine.spec.run import AdaptJob
    from engine.train.voyage import Pulse


def execute(job: AdaptJob, context: JobContext) -> None:
    """Adapt the base state; at each budget emit ``mixture`` and ``model``, keep the state if asked, and evaluate it.

    ATPP counts tokens of the whole mix per parameter of the base model, whatever share of them the method trains.
    """
    torch.set_num_threads(context.threads)
    spec, workspace, report = context.spec, context.workspace, context.report
    tokenizer = load_tokenizer(job.tokenizer, workspace)
    model = load_model(job.base, workspace, context.device, quantize=job.method.quantize)
    base = read_facts(job.base, workspace, model)
    if job.method.quantize != "none":
        # Quantised, it is not what was saved.
        base = replace(base, canary_loss=None)
    decoder = Decoder.of(model)
    check_lengths(decoder, tokenizer, job.training, job.evaluation)
    trajectory = _plan(job, base.n_params)
    examiner = Examiner.prepare(job.evaluation, tokenizer, context)
    examiner.recognise(decoder, job.base, base)
    torch.manual_seed(spec.seed)
    adapter = attach_method(model, job.method, job.base.revision)
    # With an adapter on it, the output layer is no longer one matrix.
    decoder = replace(decoder, plain=decoder.plain and isinstance(model.get_output_embeddings(), torch.nn.Linear))
    reference = reference_of(decoder) if asks_for_base(job.training) else None
    objective = objective_of(job.training, tokenizer, reference)
    n_trained = count_parameters(model).trained
    mixture = Mixture(
        token_stream(job.target, "train", tokenizer, workspace, job.training.separator),
        [token_stream(corpus, "train", tokenizer, workspace, job.training.separator) for corpus in job.replay],
        job.replay_ratio,
        job.training.sequence,
        spec.seed,
    )

    def finish(point: Point, pulse: Pulse) -> None:
        tokens = point.end * job.training.sequence
        facts = replace(
            base,
            model_id=f"{spec.run_id}@{point.state}",
            tokens_seen=None if base.tokens_seen is None else base.tokens_seen + tokens,
            tokenizer_id=tokenizer.tokenizer_id,
            # Loaded again, quantised weights are not computed with as they were (bfloat16).
            canary_loss=examiner.canary.loss(decoder) if job.method.quantize == "none" else None,
        )
        folder = _folder_to_keep(job, context, trajectory, point)
        if folder is not None:
            with trainer.group.assembled(model) as first:
                if first:
                    save_state(folder, model, tokenizer, facts, adapter=adapter, save=job.method.save)
            report.emit("checkpoint", state=point.state, tokens=tokens)
        report.emit("mixture", **mixture.realised(point.end))
        about = {
            **facts.content(),
            "run_id": spec.run_id,
            "path": None if folder is None else str(folder.relative_to(workspace.root)),
            "parent": base.model_id,
            "atpp": point.budget if job.atpp else tokens / base.n_params,
            "adapt_tokens": tokens,
            "replay_ratio": job.replay_ratio,
            "domain": job.target.name,
            "method": job.method.name,
            "n_params_trained": n_trained,
            "annealed": trajectory.annealed,
        }
        report.emit("model", **about)
        examiner.examine(decoder, facts.model_id, context, pulse)
        for alpha in job.wise_ft:
            between = f"{facts.model_id}+wise{alpha:g}"
            report.emit("model", **{**about, "model_id": between, "path": None, "interpolation": alpha})
            with voyage.holding(), interpolation.at(alpha):
                examiner.examine(decoder, between, context, pulse)

    group = find_group(job.training.sharding)
    held_out = hold_out((job.target,), tokenizer, job.training, context)
    trainer = Trainer(decoder, job.training, mixture, report, objective=objective, held_out=held_out, group=group)
    interpolation = Interpolation(model, remember=bool(job.wise_ft))
    voyage = Voyage(trainer, trajectory, report, context.run.checkpoint("resume"))
    voyage.follow(finish, examiner.predicted_tokens * (1 + len(job.wise_ft)))


def _plan(job: AdaptJob, n_params: int) -> Trajectory:
    if bool(job.atpp) == bool(job.adapt_tokens):
        raise ConfigError("adapt: give budgets either as atpp or as adapt_tokens", "Exactly one of them.")
    if job.atpp:
        return plan_trajectory("atpp", job.atpp, n_params, job.training)
    return plan_trajectory("tokens", job.adapt_tokens, 1, job.training)


def _folder_to_keep(job: AdaptJob, context: JobContext, trajectory: Trajectory, point: Point) -> Path | None:
    final = point == trajectory.points[-1]
    kept = {"none": False, "final": final, "all": True}[job.keep]
    return context.run.checkpoint(point.state) if kept else None
