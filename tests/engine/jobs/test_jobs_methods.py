"""Adaptation by adapters through the real job: what is scored, interpolated, saved and loaded again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.data.eval_sets import tokenise_eval_set
from engine.data.tokenizer import load_tokenizer
from engine.evaluate.losses import per_token_losses
from engine.jobs import adapt, evaluate
from engine.jobs.points import adaptation_sample, read_records
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.load import load_model
from engine.report import JobContext, Report, StopRequested
from engine.spec.methods import PEFT_METHODS
from engine.spec.run import (
    AdaptJob,
    Architecture,
    Corpus,
    EvalSet,
    EvaluateJob,
    Evaluation,
    Method,
    Model,
    RunSpec,
    Scheme,
    Tokenizer,
    Training,
)
from odyssey_tui.services.evaluations import of_last_state
from store.database import lease
from store.ingest import ingest
from store.journal import read_events
from store.queries.evaluations import list_evaluations
from store.run_dir import create_run
from store.workspace import Workspace

SEQUENCE = 16
Events = list[dict[str, Any]]


@dataclass(frozen=True)
class World:
    """A workspace, a text, a tokenizer of it and a base model in a folder."""

    workspace: Workspace
    corpus: Corpus
    folder: Path

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(train_on=(self.corpus,), vocab_size=280)

    @property
    def base(self) -> Model:
        return Model(source=str(self.folder), tokens_seen=1000)

    @property
    def evaluation(self) -> Evaluation:
        sets = (EvalSet(name="text", role="target", corpora=(self.corpus,), max_tokens=400),)
        return Evaluation(sets=sets, scheme=Scheme(window=SEQUENCE))

    def adapt(self, method: Method, **changes: Any) -> AdaptJob:
        content = {
            "base": self.base,
            "tokenizer": self.tokenizer,
            "target": self.corpus,
            "replay": (),
            "replay_ratio": 0.0,
            "adapt_tokens": (800, 1600),
            "method": method,
            "training": Training(lr=3e-2, sequence=SEQUENCE, batch_sequences=8, log_every=1),
            "evaluation": self.evaluation,
            "keep": "none",
        }
        return AdaptJob(**{**content, **changes})

    def run(self, run_id: str, job: AdaptJob | EvaluateJob, report_type: type[Report] = Report) -> Events:
        """Execute a job as a worker does; the events of the new attempt."""
        spec = RunSpec(run_id=run_id, name=run_id, experiment="test", job=job)
        run = create_run(self.workspace, spec.model_dump(mode="json"))
        attempt = run.new_attempt()
        with report_type(attempt) as report:
            context = JobContext(self.workspace, spec, run, report, device="cpu", threads=1)
            {"adapt": adapt, "evaluate": evaluate}[job.kind].execute(job, context)
            report.emit("done", seconds=0.0)
        return read_events(attempt.events)[0]

    def score(self, model: torch.nn.Module) -> float:
        """Sum of the losses on the evaluated text."""
        tokenizer = load_tokenizer(self.tokenizer, self.workspace)
        tokenised = tokenise_eval_set(self.evaluation.sets[0], tokenizer, self.workspace)
        losses = per_token_losses(Decoder.of(model), tokenised.tokens, self.evaluation.scheme)
        return float(np.nansum(losses, dtype=np.float64))


class StopsWhileInterpolating(Report):
    """A report that asks for a stop as soon as an interpolated state is announced."""

    def emit(self, event: str, **fields: Any) -> None:
        super().emit(event, **fields)
        if event == "model" and "interpolation" in fields:
            self.request_stop("asked by the test")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("methods")
    (root / "text").mkdir()
    for number in range(30):
        (root / "text" / f"{number}.txt").write_text(f"Line {number} of a text about {number % 7} things.\n" * 12)
    architecture = Architecture(family="llama", n_layer=1, n_embd=16, n_head=2, context=SEQUENCE)
    # Wider than the tokenizer's 280 tokens, as published vocabularies are padded.
    build_model(architecture, 288, seed=0).save_pretrained(root / "base")
    corpus = Corpus(name="text", source=str(root / "text"), test_share=0.3)
    return World(Workspace.create(root / "workspace"), corpus, root / "base")


@pytest.fixture(scope="module")
def zero_shot(world: World) -> float:
    job = EvaluateJob(model=world.base, tokenizer=world.tokenizer, evaluation=world.evaluation)
    return _sums(world.run("zero", job))[f"{world.folder}@main"]


def _of(events: Events, kind: str) -> Events:
    return [event for event in events if event["event"] == kind]


def _sums(events: Events) -> dict[str, float]:
    return {event["model_id"]: event["sum_loss"] for event in _of(events, "evaluation")}


def _losses(events: Events) -> list[float]:
    return [event["values"]["loss"] for event in _of(events, "metric")]


@pytest.mark.parametrize("name", ["full", "lora", "dora", "ia3"])
def test_interpolations_lie_between_base_and_adapted_and_leave_training_alone(
    world: World, zero_shot: float, name: str
) -> None:
    method = Method(name=name, rank=4)
    plain = world.run(f"plain-{name}", world.adapt(method))
    events = world.run(f"wise-{name}", world.adapt(method, wise_ft=(0.0, 0.5, 1.0)))
    assert _losses(events) == _losses(plain)
    sums, alone = _sums(events), _sums(plain)
    for state in ("tokens800", "tokens1600"):
        adapted = sums[f"wise-{name}@{state}"]
        assert adapted == alone[f"plain-{name}@{state}"] != pytest.approx(zero_shot)
        assert sums[f"wise-{name}@{state}+wise0"] == pytest.approx(zero_shot, rel=1e-6)
        assert sums[f"wise-{name}@{state}+wise1"] == pytest.approx(adapted, rel=1e-5)
        assert sums[f"wise-{name}@{state}+wise0.5"] not in (pytest.approx(zero_shot), pytest.approx(adapted))
    assert [event.get("interpolation") for event in _of(events, "model")] == [None, 0.0, 0.5, 1.0] * 2
    progress = _of(events, "progress")[-1]
    assert progress["done"] == progress["total"] > _of(plain, "progress")[-1]["total"]


@pytest.mark.parametrize("name", ["full", "dora"])
def test_a_stop_while_interpolating_resumes_from_the_trained_weights(world: World, name: str) -> None:
    job = world.adapt(Method(name=name, rank=4), wise_ft=(0.25,))
    whole = world.run(f"whole-{name}", job)
    with pytest.raises(StopRequested):
        world.run(f"stopped-{name}", job, StopsWhileInterpolating)
    rest = world.run(f"stopped-{name}", job)
    assert _losses(rest) == _losses(whole)[-len(_losses(rest)) :]
    expected = {model_id.partition("@")[2]: total for model_id, total in _sums(whole).items()}
    found = {model_id.partition("@")[2]: total for model_id, total in _sums(rest).items()}
    assert found == expected


def test_interpolated_states_are_recorded_and_are_no_adaptation_points(world: World, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    own = World(workspace, world.corpus, world.folder)
    own.run("recorded", own.adapt(Method(), adapt_tokens=(800,), wise_ft=(0.5,)))
    ingest(workspace)
    with lease(workspace) as connection:
        models = connection.execute(
            "SELECT model_id, interpolation FROM models WHERE run_id = 'recorded' ORDER BY model_id"
        ).fetchall()
        points = connection.execute("SELECT DISTINCT model_id FROM adaptation_points").fetchall()
        evaluations = list_evaluations(connection, ["recorded"])
    assert models == [("recorded@tokens800", None), ("recorded@tokens800+wise0.5", 0.5)]
    assert points == [("recorded@tokens800",)]
    assert [line.interpolation for line in evaluations] == [None, 0.5]
    assert [line.state for line in of_last_state(evaluations)] == ["tokens800"]
    (reached,) = adaptation_sample(read_records(workspace, ["recorded"]), "text", "target").points.loss
    assert reached == evaluations[0].loss


@pytest.mark.parametrize("name", list(PEFT_METHODS))
def test_a_saved_adapter_gives_its_losses_in_peft_and_in_a_later_run(world: World, name: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    method = Method(name=name, rank=4, save="adapter")
    run_id = f"saved-{name}"
    (recorded,) = _sums(world.run(run_id, world.adapt(method, adapt_tokens=(800,), keep="final"))).values()
    state = world.workspace.run(run_id).checkpoint("tokens800")
    files = {path.name for path in (state / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files
    assert not (state / "model.safetensors").exists()

    plain = AutoModelForCausalLM.from_pretrained(world.folder)
    assert world.score(PeftModel.from_pretrained(plain, str(state / "adapter")).base_model.model.eval()) == (
        pytest.approx(recorded, rel=1e-6)
    )
    saved = Model(run=run_id, state="tokens800")
    assert world.score(load_model(saved, world.workspace)) == pytest.approx(recorded, rel=1e-5)


def test_a_later_run_goes_on_from_a_state_saved_as_an_adapter(world: World) -> None:
    method = Method(name="lora", rank=4, save="adapter")
    (recorded,) = _sums(world.run("first", world.adapt(method, adapt_tokens=(800,), keep="final"))).values()
    state = Model(run="first", state="tokens800")
    again = world.adapt(method, base=state, adapt_tokens=(800,), keep="final", wise_ft=(0.0,))
    sums = _sums(world.run("second", again))
    assert sums["second@tokens800+wise0"] == pytest.approx(recorded, rel=1e-5)
    assert sums["second@tokens800"] < recorded
    loaded = load_model(Model(run="second", state="tokens800"), world.workspace)
    assert world.score(loaded) == pytest.approx(sums["second@tokens800"], rel=1e-5)


def test_both_are_saved_side_by_side(world: World) -> None:
    from transformers import AutoModelForCausalLM

    method = Method(name="dora", rank=4, save="both")
    (recorded,) = _sums(world.run("both", world.adapt(method, adapt_tokens=(800,), keep="final"))).values()
    state = world.workspace.run("both").checkpoint("tokens800")
    assert (state / "adapter" / "adapter_model.safetensors").exists()
    assert world.score(AutoModelForCausalLM.from_pretrained(state)) == pytest.approx(recorded, rel=1e-5)


def test_an_adapter_on_the_output_layer_is_trained_and_scored(world: World, tmp_path: Path) -> None:
    architecture = Architecture(family="llama", n_layer=1, n_embd=16, n_head=2, context=SEQUENCE)
    model = build_model(architecture, 288, seed=0)
    config = model.config.to_dict() | {"tie_word_embeddings": False}
    type(model)(type(model.config)(**config)).save_pretrained(tmp_path)
    base = Model(source=str(tmp_path), tokens_seen=1000)
    method = Method(name="lora", rank=4, target_modules="lm_head", save="both")
    events = world.run("output", world.adapt(method, base=base, adapt_tokens=(1600,), keep="final"))
    losses = _losses(events)
    assert losses[-1] < losses[0] - 0.1
    (recorded,) = _sums(events).values()
    merged = load_model(Model(run="output", state="tokens1600"), world.workspace)
    assert world.score(merged) == pytest.approx(recorded, rel=1e-5)
