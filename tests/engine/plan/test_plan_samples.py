"""The ready experiments on M2D2: they plan without a network, and their comments state what is planned."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from engine.data.sources.m2d2_names import KNOWN, S2ORC_L1, WIKI
from engine.plan.estimate import estimate_run
from engine.plan.expand import expand
from engine.plan.known import Known
from engine.plan.plan import Plan
from engine.spec.check import cautions
from engine.spec.experiment import Experiment
from engine.spec.load import load_experiment
from odyssey_tui.services.format import count, size
from tests.support.published_bases import PUBLISHED

SAMPLES = sorted((Path(__file__).parents[3] / "sample_configs").glob("m2d2-*.yaml"))
TWENTY = [path for path in SAMPLES if path.stem.startswith("m2d2-20-")]
GPU_FLOPS = 1e14
"""A second, of one GPU: what the comments assume."""
COST = re.compile(
    r"# Cost: (?P<runs>\d+) runs, (?P<tokens>\S+) training tokens, (?P<flops>\S+) FLOPs, (?P<disk>\S+ \S+) of disk, "
    r"at most (?P<memory>\S+ \S+) of a GPU's memory:\n# the dry run's numbers once the model's size is known\. About "
    r"(?P<hours>\S+) GPU hours, an estimate: it takes 1e14 FLOP/s for\n# a GPU's speed, a third of an A100's peak"
)


@pytest.fixture(params=SAMPLES, ids=lambda path: path.stem)
def sample(request: pytest.FixtureRequest) -> Path:
    return request.param


def plan(experiment: Experiment) -> Plan:
    """As on a machine where the model is in the cache."""
    facts = PUBLISHED[experiment.base.model]
    return expand(experiment, Known(facts, facts.vocabulary))


def test_there_is_one_for_every_question() -> None:
    assert {path.stem.removeprefix("m2d2-") for path in SAMPLES} == {
        *("20-gpt2", "20-gpt2-large", "20-gpt2-xl", "20-olmo-1b", "20-llama-7b"),
        *("newlines", "dissimilar", "masks", "sizes", "tokenizers", "lora", "lora-13b"),
    }


def test_nothing_is_asked_of_a_network_and_nothing_local_is_named(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    experiment = load_experiment(sample)
    assert expand(experiment).runs
    for corpus in experiment.corpora.values():
        kind, _, name = corpus.source.partition(":")
        assert kind in ("hf", "m2d2")
        assert kind != "m2d2" or name in KNOWN
    assert not cautions(experiment)


def test_the_comment_states_what_the_plan_takes(sample: Path) -> None:
    text = sample.read_text()
    stated = COST.search(text)
    assert stated, "the cost is missing, or worded otherwise"
    found = plan(load_experiment(sample))
    estimates = [estimate_run(run, found.work.get(run.run_id), gpu=True) for run in found.runs]
    flops = sum(work.flops for work in found.work.values())
    hours = flops / GPU_FLOPS / 3600
    assert stated.groupdict() == {
        "runs": str(len(found.runs)),
        "tokens": count(sum(work.trained_tokens for work in found.work.values())),
        "flops": f"{flops:.2g}",
        "disk": size(sum(estimate.disk.kept for estimate in estimates)),
        "memory": size(max(estimate.memory.model for estimate in estimates if estimate.memory)),
        "hours": f"{hours:.0f}" if hours >= 9.5 else f"{hours:.1f}",
    }
    assert "# Shows: " in text
    assert f"odyssey launch {sample.stem}" in text


def test_what_the_comment_sets_can_be_set(sample: Path) -> None:
    said = [line for line in sample.read_text().splitlines() if line.startswith("#")]
    for line in said:
        line = line.replace("$size", "410m").replace("$model", "EleutherAI/pythia-160m")
        overrides = [quoted or plain for quoted, plain in re.findall(r"--set (?:'([^']+)'|(\S+))", line)]
        assert expand(load_experiment(sample, overrides)).runs


def test_the_twenty_domains_are_the_same_for_every_model() -> None:
    first, *others = (load_experiment(path) for path in TWENTY)
    for other in others:
        assert other.groups == first.groups
        assert other.domains == first.domains
        assert {name: other.corpora[name] for name in other.domains} == {
            name: first.corpora[name] for name in first.domains
        }
        # The recipe, not how it is spread over devices.
        for key in ("lr", "schedule", "anneal_share", "warmup_share", "weight_decay", "betas", "sequence", "precision"):
            assert getattr(other.adapt_training, key) == getattr(first.adapt_training, key)
        step = other.adapt_training.batch_sequences * other.adapt_training.accumulate
        assert step == first.adapt_training.batch_sequences * first.adapt_training.accumulate == 16
    assert (len(first.groups["wiki"]), len(first.groups["s2orc"])) == (10, 10)
    assert set(first.groups["wiki"]) | set(first.groups["s2orc"]) == set(first.domains)
    published = {name: first.corpora[name].source.removeprefix("m2d2:") for name in first.domains}
    assert {published[name] for name in first.groups["wiki"]} < set(WIKI)
    assert not {published[name] for name in first.groups["s2orc"]} & set(WIKI)
    assert {"Art", "Philosophy"} == {published[name] for name in first.groups["s2orc"]} & set(S2ORC_L1)


def test_the_newline_experiment_is_crossed_and_scored_on_one_text() -> None:
    experiment = load_experiment(next(path for path in SAMPLES if path.stem == "m2d2-newlines"))
    jobs = [run.job for run in plan(experiment).runs if run.job.kind == "adapt"]
    assert {job.target.newlines for job in jobs} == {"keep", "strip"}
    assert {chosen.join for job in jobs for chosen in job.evaluation.sets} == {"newline", "space"}
    assert {corpus.newlines for job in jobs for chosen in job.evaluation.sets for corpus in chosen.corpora} == {"keep"}
    controls = {(job.training.lr, job.training.schedule, job.training.anneal_share) for job in jobs}
    assert len(controls) == 4


def test_every_method_of_the_lora_experiment_gets_as_many_rates() -> None:
    experiment = load_experiment(next(path for path in SAMPLES if path.stem == "m2d2-lora"))
    rates: dict[tuple[str, int], set[float]] = {}
    for run in plan(experiment).runs:
        if run.job.kind == "adapt":
            method = run.job.method
            rates.setdefault((method.name, method.rank if method.name == "lora" else 0), set()).add(run.job.training.lr)
            assert method.alpha is None, "the default is twice the rank"
    assert {key: len(found) for key, found in rates.items()} == {
        **{("lora", rank): 5 for rank in (16, 64, 256)},
        ("full", 0): 5,
    }
