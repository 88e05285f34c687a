"""Methods of a block, their options and what is kept of them: refused or warned about before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.plan.expand import expand
from engine.spec.check import cautions
from engine.spec.experiment import Experiment
from engine.spec.load import load_experiment
from store.errors import ConfigError

TEXT = """
name: methods
corpora:
  books: {{source: books.txt}}
  law: {{source: "hf:pile-of-law"}}
base:
  corpora: books
  sizes: {{s: {{n_layer: 1, n_embd: 32, n_head: 2}}}}
  family: {family}
  context: 64
  ptpp: [4]
  training: {{lr: 3e-3, sequence: 32}}
adapt:
  - {{domain: law, atpp: [1], {block}}}
{more}
"""


def _load(tmp_path: Path, block: str, *, family: str = "gpt2", more: str = "") -> Experiment:
    (tmp_path / "books.txt").write_text("once upon a time")
    file = tmp_path / "methods.yaml"
    file.write_text(TEXT.format(block=block, family=family, more=more))
    return load_experiment(file)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("method: [lora, loha]", "= loha cannot adapt the layers of the family gpt2"),
        ("method: lora, lr: {lora: 1e-4, dora: 1e-4}", "lr.dora is given a rate, and the block uses lora"),
        ("method: full, quantize: 4bit, save: adapter", "is 4bit, which full cannot train on"),
        ("method: lora, quantize: 4bit", "is merged; merged into quantised weights"),
        ("method: lora, quantize: 8bit, save: adapter", "is 8bit, and runs get no GPU"),
        ("method: lora, quantize: 4bit, keep: none, wise_ft: [0.5]", "cannot interpolate quantised weights"),
    ],
)
def test_what_can_only_fail_is_refused(tmp_path: Path, block: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        _load(tmp_path, block)
    assert message in str(refusal.value)


def test_what_fits_is_accepted(tmp_path: Path) -> None:
    assert _load(tmp_path, "method: [lora, loha, lokr], lr: {lora: 1e-4}", family="llama").adapt
    assert _load(tmp_path, "method: lora, quantize: 4bit, save: adapter", more="resources: {gpus_per_run: 1}").adapt


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("method: [lora, ia3], rank: 4, dropout: 0.1", ["rank means nothing to ia3", "dropout means nothing to ia3"]),
        ("method: vera, alpha: 4", ["alpha means nothing to vera"]),
        ("method: full, rank: 4", ["rank means nothing to full"]),
        ("method: [full, lora], rank: [4, 8]", []),
        ("method: full, save: both", ["save: both means nothing to full"]),
        ("method: [lora, ia3]", []),
    ],
)
def test_options_a_method_does_not_know_are_a_caution(tmp_path: Path, block: str, found: list[str]) -> None:
    said = [line for line in cautions(_load(tmp_path, block)) if line.startswith("adapt.")]
    assert len(said) == len(found)
    assert all(part in line for part, line in zip(found, said, strict=True))


EXISTING = """
name: public
corpora: {{law: {{source: "hf:pile-of-law"}}}}
base: {{model: EleutherAI/pythia-70m, {base}}}
adapt_training: {{lr: 1e-4, sequence: 32}}
adapt: [{{domain: law, adapt_tokens: 1000}}]
"""


@pytest.mark.parametrize(
    ("base", "tokens", "caution"),
    [
        ("revision: step1000", 2_097_152_000, None),
        ("revision: step0", 0, None),
        ("revision: step1000, tokens_seen: 5", 5, None),
        ("revision: abc", None, "revision abc says nothing of its tokens seen"),
    ],
)
def test_tokens_seen_of_a_public_base_reach_its_runs(
    tmp_path: Path, base: str, tokens: int | None, caution: str | None
) -> None:
    file = tmp_path / "public.yaml"
    file.write_text(EXISTING.format(base=base))
    plan = expand(load_experiment(file))
    assert {run.job.base.tokens_seen for run in plan.runs if run.job.kind == "adapt"} == {tokens}
    said = [line for line in plan.cautions if "tokens seen" in line]
    assert caution in said[0] if caution else not said
