"""The pretrain, adapt and evaluate jobs on real files, through the report into the database."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.eval_sets import tokenise_eval_set
from engine.data.tokenizer import load_tokenizer
from engine.evaluate.losses import per_token_losses
from engine.models.load import load_model
from engine.report import JobContext, Report, StopRequested
from engine.spec.run import (
    AdaptJob,
    Architecture,
    Corpus,
    EvalSet,
    EvaluateJob,
    Evaluation,
    Method,
    Model,
    PretrainJob,
    RunSpec,
    Scheme,
    Tokenizer,
    Training,
)
from store.database import lease
from store.errors import ConfigError, DataError
from store.ingest import ingest
from store.ingest_losses import LOSS_STEP
from store.journal import read_events
from store.run_dir import create_run
from store.workspace import Workspace

VERBS = ["carries", "follows", "answers", "measures", "repeats"]
NOUNS = ["river", "engine", "sentence", "lantern", "harbour", "window", "garden"]


def _write_corpus(folder: Path, words: list[str], seed: int) -> Corpus:
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for document in range(30):
        lines = [f"The {draw.choice(words)} {draw.choice(VERBS)} a {draw.choice(words)}.\n" for _ in range(40)]
        (folder / f"{document}.txt").write_text("".join(lines))
    return Corpus(name=folder.name, source=str(folder), test_share=0.2)


@dataclass(frozen=True)
class World:
    """A workspace with two corpora, and jobs on them."""

    workspace: Workspace
    base: Corpus
    domain: Corpus

    @property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(train_on=(self.base,), vocab_size=300)

    @property
    def sets(self) -> tuple[EvalSet, ...]:
        return (
            EvalSet(name="base", role="base", corpora=(self.base,), max_tokens=1500),
            EvalSet(name="domain", role="target", corpora=(self.domain,), max_tokens=1500),
        )

    def training(self, **changes: Any) -> Training:
        return Training(**{"lr": 3e-3, "sequence": 32, "batch_sequences": 8, "log_every": 5, **changes})

    def evaluation(self, window: int = 32) -> Evaluation:
        return Evaluation(sets=self.sets, scheme=Scheme(window=window))

    def pretrain(self, **changes: Any) -> PretrainJob:
        content = {
            "size": "xs",
            "architecture": Architecture(n_layer=1, n_embd=16, n_head=2, context=32),
            "tokenizer": self.tokenizer,
            "corpora": (self.base,),
            "ptpp": (1, 2.5),
            "training": self.training(),
            "evaluation": self.evaluation(),
        }
        return PretrainJob(**{**content, **changes})

    def adapt(self, **changes: Any) -> AdaptJob:
        content = {
            "base": Model(run="pretrain", state="ptpp2.5"),
            "tokenizer": self.tokenizer,
            "target": self.domain,
            "replay": (self.base,),
            "replay_ratio": 0.25,
            "atpp": (0.5, 2),
            "training": self.training(lr=1e-2),
            "evaluation": self.evaluation(),
        }
        return AdaptJob(**{**content, **changes})

    def execute(self, run_id: str, job: Any, *, stop_after: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
        """Execute a job as a worker does; the events of the new attempt."""
        needs = () if run_id == "pretrain" else ("pretrain",)
        spec = RunSpec(run_id=run_id, name=run_id, experiment="test", needs=needs, seed=seed, job=job)
        run = create_run(self.workspace, spec.model_dump(mode="json"))
        attempt = run.new_attempt()
        with _StoppingReport(attempt, stop_after) as report:
            module = importlib.import_module(f"engine.jobs.{job.kind}")
            context = JobContext(self.workspace, spec, run, report, device="cpu", threads=1)
            module.execute(RunSpec.model_validate(run.spec()).job, context)
            report.emit("done", seconds=0.0)
        return read_events(attempt.events)[0]


class _StoppingReport(Report):
    """A report that asks for a stop after so many metrics."""

    def __init__(self, attempt: Any, stop_after: int | None) -> None:
        super().__init__(attempt)
        self._left = stop_after

    def metric(self, *args: Any, **values: Any) -> None:
        super().metric(*args, **values)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.request_stop("asked by the test")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    base = _write_corpus(root / "base", NOUNS[:5], seed=1)
    domain = _write_corpus(root / "domain", NOUNS[3:], seed=2)
    return World(Workspace.create(root / "workspace"), base, domain)


@pytest.fixture(scope="module")
def pretrained(world: World) -> list[dict[str, Any]]:
    return world.execute("pretrain", world.pretrain())


@pytest.fixture(scope="module")
def adapted(world: World, pretrained: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return world.execute("adapt", world.adapt(keep="all"))


def _of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def _means(events: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Mean loss by state and role."""
    return {(e["model_id"].split("@")[1], e["role"]): e["sum_loss"] / e["predicted"] for e in _of(events, "evaluation")}


def _rescore(world: World, state: Model) -> list[float]:
    """Sums of losses of a saved state on both sets, computed from the folder alone."""
    model = load_model(state, world.workspace)
    tokenizer = load_tokenizer(world.tokenizer, world.workspace)
    sets = [tokenise_eval_set(spec, tokenizer, world.workspace) for spec in world.sets]
    return [float(np.nansum(per_token_losses(model, s.tokens, Scheme(window=32)), dtype=np.float64)) for s in sets]


def test_pretraining_emits_states_that_learn(world: World, pretrained: list[dict[str, Any]]) -> None:
    models = _of(pretrained, "model")
    assert [(m["model_id"], m["ptpp"]) for m in models] == [("pretrain@ptpp1", 1.0), ("pretrain@ptpp2.5", 2.5)]
    assert all(abs(m["tokens_seen"] - m["ptpp"] * m["n_params"]) <= 16 for m in models)
    assert all(m["annealed"] and m["n_params"] == m["n_params_trained"] for m in models)
    means = _means(pretrained)
    assert means["ptpp2.5", "base"] < means["ptpp1", "base"] < np.log(300)
    progress = _of(pretrained, "progress")
    assert progress[-1]["done"] == progress[-1]["total"]
    assert not world.workspace.run("pretrain").checkpoint("resume").exists()


def test_saved_states_score_what_was_recorded(
    world: World, pretrained: list[dict[str, Any]], adapted: list[dict[str, Any]]
) -> None:
    for run_id, events in (("pretrain", pretrained), ("adapt", adapted)):
        for model in _of(events, "model"):
            state = Model(run=run_id, state=model["model_id"].split("@")[1])
            recorded = [e["sum_loss"] for e in _of(events, "evaluation") if e["model_id"] == model["model_id"]]
            assert _rescore(world, state) == pytest.approx(recorded, rel=1e-6)


def test_adaptation_records_its_lineage_and_its_mixture(adapted: list[dict[str, Any]]) -> None:
    first, last = _of(adapted, "model")
    assert (first["model_id"], last["model_id"]) == ("adapt@atpp0.5", "adapt@atpp2")
    assert last["parent"] == "pretrain@ptpp2.5"
    assert (last["atpp"], last["domain"], last["method"], last["replay_ratio"]) == (2.0, "domain", "full", 0.25)
    assert last["ptpp"] == 2.5
    mixture = _of(adapted, "mixture")[-1]
    assert mixture["sequences"] * 32 == last["adapt_tokens"]
    assert mixture["replay_realised"] == pytest.approx(0.25, abs=1 / mixture["sequences"])


def test_the_database_knows_how_often_the_texts_of_a_point_were_read(
    world: World, pretrained: list[dict[str, Any]], adapted: list[dict[str, Any]]
) -> None:
    ingest(world.workspace)
    before, since = _of(pretrained, "mixture")[-1], _of(adapted, "mixture")
    assert before["target_tokens"] == 0
    assert before["replay_tokens"] == _of(pretrained, "model")[-1]["tokens_seen"]
    assert before["replay_epochs"] > 0
    with lease(world.workspace) as connection:
        rows = connection.execute(
            "SELECT DISTINCT atpp, base_epochs, target_epochs, replay_epochs FROM adaptation_points "
            "WHERE run_id = 'adapt' ORDER BY atpp"
        ).fetchall()
    assert rows == [
        (atpp, before["replay_epochs"], one["target_epochs"], one["replay_epochs"])
        for atpp, one in zip((0.5, 2.0), since, strict=True)
    ]


def test_the_database_pairs_every_point_with_its_zero_shot_loss(
    world: World, pretrained: list[dict[str, Any]], adapted: list[dict[str, Any]]
) -> None:
    report = ingest(world.workspace)
    assert not report.warnings
    before, after = _means(pretrained), _means(adapted)
    with lease(world.workspace) as connection:
        rows = connection.execute(
            "SELECT atpp, role, loss, zero_shot_loss, delta FROM adaptation_points WHERE run_id = 'adapt'"
        ).fetchall()
        sums = connection.execute(
            "SELECT e.sum_loss, list_sum(flatten(list(l.losses ORDER BY l.block))::DOUBLE[]), e.predicted, "
            "sum(list_count(l.losses)) FROM evaluations e JOIN token_losses l "
            "USING (evaluation_id) GROUP BY e.evaluation_id, e.sum_loss, e.predicted"
        ).fetchall()
        texts = connection.execute("SELECT count(*) FROM eval_tokens").fetchall()
    assert len(rows) == 4
    for atpp, role, loss, zero_shot, delta in rows:
        assert loss == pytest.approx(after[f"atpp{atpp:g}", role])
        assert zero_shot == pytest.approx(before["ptpp2.5", role])
        assert delta == pytest.approx(loss - zero_shot)
    assert len(sums) == 8
    for recorded, summed, predicted, counted in sums:
        assert summed == pytest.approx(recorded, abs=predicted * LOSS_STEP / 2)
        assert predicted == counted
    # The run without a preparation before it recorded the texts itself: two sets of two blocks.
    assert texts == [(4,)]


def test_equal_specifications_give_equal_losses(world: World, adapted: list[dict[str, Any]]) -> None:
    again = world.execute("adapt-again", world.adapt(keep="none"))
    assert list(_means(again).values()) == list(_means(adapted).values())
    assert [m["values"]["loss"] for m in _of(again, "metric")] == [m["values"]["loss"] for m in _of(adapted, "metric")]
    other = world.execute("adapt-other", world.adapt(keep="none"), seed=1)
    assert list(_means(other).values()) != list(_means(adapted).values())
    assert not (world.workspace.run("adapt-again").path / "checkpoints").exists()


def test_a_stopped_run_ends_where_an_uninterrupted_one_does(world: World, adapted: list[dict[str, Any]]) -> None:
    job = world.adapt()
    with pytest.raises(StopRequested):
        world.execute("adapt-stopped", job, stop_after=6)
    events = world.execute("adapt-stopped", job)
    whole = _means(adapted)
    assert _means(events) == {key: whole[key] for key in _means(events)}
    assert ("atpp2", "target") in _means(events)
    journals = [read_events(a.events)[0] for a in world.workspace.run("adapt-stopped").attempts()]
    losses = [m["values"]["loss"] for events in journals for m in _of(events, "metric")]
    assert losses == [m["values"]["loss"] for m in _of(adapted, "metric")]
    # Kept by default: the last state alone.
    kept = world.workspace.run("adapt-stopped").path / "checkpoints"
    assert [path.name for path in kept.iterdir()] == ["atpp2"]


@pytest.mark.parametrize("name", ["lora", "dora"])
def test_an_adapter_is_saved_merged(world: World, pretrained: list[dict[str, Any]], name: str) -> None:
    run_id = f"adapt-{name}"
    events = world.execute(run_id, world.adapt(method=Method(name=name, rank=2)))
    last = _of(events, "model")[-1]
    assert last["method"] == name
    assert last["n_params_trained"] < last["n_params"] / 4
    assert last["n_params"] == _of(pretrained, "model")[0]["n_params"]
    means = _means(events)
    assert means["atpp2", "target"] < _means(pretrained)["ptpp2.5", "target"]
    recorded = [e["sum_loss"] for e in _of(events, "evaluation") if e["model_id"] == last["model_id"]]
    assert _rescore(world, Model(run=run_id, state="atpp2")) == pytest.approx(recorded, rel=1e-5)


def test_an_existing_model_is_evaluated_and_adapted(world: World, pretrained: list[dict[str, Any]]) -> None:
    folder = str(world.workspace.run("pretrain").checkpoint("ptpp2.5"))
    model = Model(source=folder, tokens_seen=1000)
    events = world.execute(
        "evaluate", EvaluateJob(model=model, tokenizer=world.tokenizer, evaluation=world.evaluation())
    )
    (described,) = _of(events, "model")
    assert described["model_id"] == f"{folder}@main"
    assert described["ptpp"] == pytest.approx(1000 / described["n_params"])
    sums = [e["sum_loss"] for e in _of(events, "evaluation")]
    assert sums == [e["sum_loss"] for e in _of(pretrained, "evaluation") if e["model_id"] == "pretrain@ptpp2.5"]
    job = world.adapt(base=model, atpp=(), adapt_tokens=(3200,), replay=(), replay_ratio=0, keep="none")
    (point,) = _of(world.execute("adapt-existing", job), "model")
    assert (point["model_id"], point["parent"]) == ("adapt-existing@tokens3200", f"{folder}@main")
    assert point["atpp"] == pytest.approx(3200 / point["n_params"])


def test_what_does_not_fit_is_said_before_any_work(world: World, pretrained: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.window: 64 tokens exceed the model's context of 32"):
        world.execute("too-wide", world.pretrain(evaluation=world.evaluation(64)))
    with pytest.raises(ConfigError, match=r"training\.sequence: 64 tokens exceed"):
        world.execute("too-long", world.adapt(training=world.training(sequence=64)))
    with pytest.raises(ConfigError, match="either as atpp or as adapt_tokens"):
        world.execute("no-budget", world.adapt(atpp=()))
    with pytest.raises(DataError, match="has 310 tokens, the model 300"):
        world.execute("wrong-tokenizer", world.adapt(tokenizer=Tokenizer(train_on=(world.base,), vocab_size=310)))
