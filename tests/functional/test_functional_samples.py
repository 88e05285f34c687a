"""The ready experiments on newlines and on masks, as written but for their size: what their runs record.

Texts, base, budgets, rates and steps are replaced; axes, variants, masks, joins and shares are the samples'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from engine.data.eval_sets import TokenisedEvalSet, tokenise_eval_set
from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.plan.expand import expand
from engine.spec.load import load_experiment, parse_experiment
from engine.spec.run import RunSpec
from store.workspace import Workspace
from tests.support.inline import execute
from tests.support.tiny import write_corpus, write_experiment

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_configs"
SMALL = {"sequence": 32, "batch_sequences": 8, "precision": "fp32", "log_every": 1, "lr": 3e-3}
RATES = {"5e-6": 3e-4, "2e-5": 1e-3, "5e-4": 1e-2}
"""Rates of the samples → those for a model of eight thousand parameters."""
NEAR, FAR = "openwebtext2", "cs.CL"


@dataclass(frozen=True)
class Study:
    """A sample carried out: its runs, in the order of the plan, and their events."""

    workspace: Workspace
    runs: tuple[RunSpec, ...]
    events: Mapping[str, list[dict[str, Any]]]
    tokenizer: LoadedTokenizer

    def adapted(self, **labels: Any) -> RunSpec:
        """The adaptation of these labels; one that is plain in every other way."""
        plain = {"domain": NEAR, "variant": None, "newlines": None, "replay_ratio": 0.0, "method": "full", "lr": 3e-3}
        wanted = {**plain, **labels}
        (found,) = (
            run
            for run in self.runs
            if run.job.kind == "adapt" and all(run.labels.get(key) == value for key, value in wanted.items())
        )
        return found

    def text(self, run: RunSpec, name: str) -> TokenisedEvalSet:
        """The set of this name that the run is scored on."""
        (chosen,) = (chosen for chosen in run.job.evaluation.sets if chosen.name == name)
        return tokenise_eval_set(chosen, self.tokenizer, self.workspace)

    def losses(self, run: RunSpec, name: str, interpolated: str = "") -> np.ndarray:
        """Losses in nats of the last state, or one between it and the base, along the set; NaN where none."""
        eval_set_id = self.text(run, name).eval_set_id
        (told,) = (
            event
            for event in self.events[run.run_id]
            if event["event"] == "evaluation"
            and event["eval_set_id"] == eval_set_id
            and event["model_id"].partition("+")[2] == interpolated
        )
        shard = self.workspace.run(run.run_id).attempt(1).spool / told["shard"]
        losses = pq.read_table(shard)["losses"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        assert int(np.count_nonzero(~np.isnan(losses))) == told["predicted"]
        return losses

    def newlines(self, run: RunSpec, name: str) -> np.ndarray:
        """Which tokens of the set are line ends, and nothing else."""
        ends = [token for token, text in enumerate(self.tokenizer.token_bytes) if text == b"\n"]
        return np.isin(self.text(run, name).tokens, ends)

    def metric(self, run: RunSpec, name: str) -> list[float | None]:
        return [event["values"].get(name) for event in self.events[run.run_id] if event["event"] == "metric"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two texts, and a workspace with a base pretrained on the first."""
    folder = tmp_path_factory.mktemp("samples")
    config = write_experiment(folder)
    write_corpus(folder / "far.jsonl", 5, 60)
    plan = expand(load_experiment(config, ["base.ptpp=[10]", "adapt=[]"]))
    execute(Workspace.create(folder / "workspace"), plan.runs)
    return folder


def carry_out(folder: Path, sample: str, domains: tuple[str, ...]) -> Study:
    """Every run that the sample plans for these domains, on the small texts."""
    workspace = Workspace.open(folder / "workspace")
    (pretrained,) = (run_id for run_id in workspace.run_ids() if run_id.startswith("pretrain"))
    data = yaml.safe_load((SAMPLES / f"{sample}.yaml").read_text())
    sources = {"openwebtext": "base.jsonl", NEAR: "base.jsonl", FAR: "far.jsonl"}
    parts = {name: corpus["part"] for name, corpus in data["corpora"].items() if "part" in corpus}
    data["corpora"] = {
        name: {"source": sources[name], "test_share": 0.2, "valid_share": 0.1, "part": parts.get(name)}
        for name in ("openwebtext", *domains)
    }
    data["groups"] = {}
    data["base"]["model"] = str(workspace.run(pretrained).checkpoint("ptpp10"))
    for block in data["adapt"]:
        block.update(domain=list(domains), adapt_tokens=4096)
        for rates in (block, block.get("training", {})):
            if "lr" in rates:
                rates["lr"] = RATES[rates["lr"]]
    data["adapt_training"].update(SMALL)
    data["evaluate"].update(window=32, max_tokens=2000)
    data["seeds"] = 0
    del data["resources"]
    plan = expand(parse_experiment(yaml.safe_dump(data), file=sample, folder=folder))
    events = execute(workspace, plan.runs)
    (prepare,) = (run for run in plan.runs if run.job.kind == "prepare")
    return Study(workspace, plan.runs, events, load_tokenizer(prepare.job.tokenizer, workspace))


@pytest.fixture(scope="module")
def newlines(base: Path) -> Study:
    return carry_out(base, "m2d2-newlines", (NEAR, FAR))


@pytest.fixture(scope="module")
def masks(base: Path) -> Study:
    return carry_out(base, "m2d2-masks", (FAR,))


def test_kept_and_stripped_text_is_scored_on_the_same_sets(newlines: Study) -> None:
    for domain in (NEAR, FAR):
        for control in ({}, {"lr": 3e-4}, {"variant": "annealed"}, {"variant": "decayed", "lr": 1e-3}):
            kept, stripped = (newlines.adapted(domain=domain, newlines=form, **control) for form in (None, "strip"))
            assert (kept.job.target.newlines, stripped.job.target.newlines) == ("keep", "strip")
            for name in (domain, f"{domain}+space"):
                assert newlines.text(kept, name).eval_set_id == newlines.text(stripped, name).eval_set_id
                assert np.array_equal(*(np.isnan(newlines.losses(run, name)) for run in (kept, stripped)))
            assert np.count_nonzero(newlines.newlines(kept, domain)) > 50
            assert not newlines.newlines(kept, f"{domain}+space").any()
    zero_shots = {run.labels["domain"] for run in newlines.runs if run.job.kind == "evaluate"}
    assert zero_shots == {"base", *(f"{domain}{join}" for domain in (NEAR, FAR) for join in ("", "+space"))}


def test_what_stripping_costs_is_the_newline(newlines: Study) -> None:
    kept, stripped = newlines.adapted(), newlines.adapted(newlines="strip")
    rise = newlines.losses(stripped, NEAR) - newlines.losses(kept, NEAR)
    ends = newlines.newlines(kept, NEAR)
    assert np.nanmean(rise[ends]) > 0.5
    # The losses of all other tokens fall, and the whole rises: one token carries the change.
    assert np.nansum(rise[ends]) > np.nansum(rise) > 0
    spaced = newlines.losses(stripped, f"{NEAR}+space") - newlines.losses(kept, f"{NEAR}+space")
    assert np.nanmean(spaced) < np.nanmean(rise)


def test_every_mask_is_a_training_of_its_own(masks: Study) -> None:
    variants = (
        None,
        "exclude-newline",
        "exclude-format",
        "weight-newline",
        "kl-newline",
        "kl20-newline",
        "kl-format",
    )
    runs = {variant: masks.adapted(domain=FAR, variant=variant) for variant in variants}
    losses = {variant: masks.losses(run, FAR) for variant, run in runs.items()}
    sums = {float(np.nansum(found)) for found in losses.values()}
    assert len(sums) == len(variants)
    assert all(np.array_equal(np.isnan(found), np.isnan(losses[None])) for found in losses.values())
    for variant, run in runs.items():
        divergence = masks.metric(run, "divergence")
        if variant is not None and variant.startswith("kl"):
            assert divergence[-1] > divergence[0]
        else:
            assert set(divergence) == {None}
    # Held to the base with a weight of 20, newlines change less than left out of the loss.
    ends = masks.newlines(runs[None], FAR)
    zero_shot = masks.losses(runs[None], FAR, "wise0.3")  # nearest the base
    left_out, held = (np.nanmean(losses[name][ends]) for name in ("exclude-newline", "kl20-newline"))
    assert held < left_out
    assert not np.array_equal(zero_shot, losses[None], equal_nan=True)


def test_replay_lora_and_interpolations_of_the_sample_are_there(masks: Study) -> None:
    for ratio in (0.05, 0.25):
        run = masks.adapted(domain=FAR, replay_ratio=ratio)
        (mixture,) = (event for event in masks.events[run.run_id] if event["event"] == "mixture")
        assert mixture["replay_realised"] == pytest.approx(ratio, abs=0.5 / mixture["sequences"])
    plain = masks.adapted(domain=FAR)
    between = [float(np.nanmean(masks.losses(plain, FAR, f"wise{share}"))) for share in (0.3, 0.5, 0.7)]
    assert len({*between, float(np.nanmean(masks.losses(plain, FAR)))}) == 4
    lora = masks.adapted(domain=FAR, method="lora", lr=1e-2)
    assert lora.job.method.rank == 64
    assert np.isfinite(np.nanmean(masks.losses(lora, FAR)))
