"""What an experiment's grid could tell the laws, from its plan: points, splits, words, and the dry run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.plan.expand import expand
from engine.plan.plan import Plan
from engine.spec.load import parse_experiment
from odyssey_tui.cli.main import run
from odyssey_tui.services.design import judge_plan, list_verdicts, plan_bases, plan_points, tell_designs, tell_plan

TEXT = """\
name: voyage
corpora:
  books: {source: "hf:books"}
  law: {source: "hf:law"}
tokenizer: {train_on: books, vocab_size: 300}
base:
  corpora: [books]
  sizes: {s: {n_layer: 1, n_embd: 16, n_head: 2}, m: {n_layer: 2, n_embd: 32, n_head: 2}}
  context: 32
  ptpp: [4, 8, 16]
  training: {lr: 3e-3, sequence: 32}
adapt:
  - {domain: law, replay_ratio: [0, 0.5], atpp: [1, 2]}
laws: {domain: law, forms: [chinchilla, dcpt, ptpp_additive]}
"""


def plan(text: str = TEXT, *overrides: str) -> Plan:
    return expand(parse_experiment(text, overrides, file="voyage.yaml", folder=Path("/")))


def test_the_points_are_those_that_the_adaptations_will_measure() -> None:
    found = plan()
    (fit,) = (one for one in found.runs if one.job.kind == "fit")
    points = plan_points(found, fit, "target")
    assert len(points) == 2 * 3 * 2 * 2
    assert len(np.unique(points.run)) == 12
    sizes = {found.work[one.run_id].n_params for one in found.runs if one.job.kind == "adapt"}
    assert set(points.n_params) == sizes
    assert set(points.ptpp) == {4.0, 8.0, 16.0}
    np.testing.assert_allclose(points.adapt_tokens, points.atpp * points.n_params)
    np.testing.assert_allclose(points.share, 1 - points.replay_ratio)
    np.testing.assert_allclose(plan_points(found, fit, "base").share, points.replay_ratio)
    bases = plan_bases(points)
    assert len(bases) == 6
    np.testing.assert_allclose(bases.adapt_tokens, bases.n_params * bases.ptpp)


def test_every_law_asked_for_has_a_verdict_on_each_loss() -> None:
    designs = judge_plan(plan())
    assert [(one.domain, one.role) for one in designs] == [("law", "target"), ("law", "base")]
    assert designs[0].asked == ("chinchilla", "dcpt", "ptpp_additive")
    assert (designs[0].fit_ptpp, designs[0].score_ptpp) == ((4, 8), (16,))
    rows = {(row["role"], row["form"]): row for row in list_verdicts(designs)}
    assert set(rows) == {(role, form) for role in ("target", "base") for form in designs[0].asked}
    assert rows["target", "dcpt"]["n_points"] == 16
    assert "terms in N dropped" in rows["target", "dcpt"]["left_open"]
    # Curves of pretraining have the base states alone.
    assert rows["target", "chinchilla"]["n_points"] == 4
    said = " ".join(tell_designs(designs))
    assert "laws of the target loss on law (P = 4, 8, P = 16 held out)" in said
    assert "2 model sizes" in said
    assert "Two PTPP are fitted" in said
    assert said.count("2 model sizes") == 1
    assert len(judge_plan(plan(), only_asked=True)[0].verdicts) == 3 < len(designs[0].verdicts)


def test_without_laws_nothing_is_said() -> None:
    text = TEXT[: TEXT.index("laws:")]
    assert judge_plan(plan(text)) == ()
    assert tell_plan(plan(text)) == []


def test_forms_of_ones_own_are_judged_too() -> None:
    own = "laws: {domain: law, forms: [mine], definitions: [{name: mine, formula: E + B*D**-beta}]}"
    (target, _) = judge_plan(plan(TEXT[: TEXT.index("laws:")] + own), only_asked=True)
    assert target.verdicts[0].determined
    assert "determines every exponent of mine" in tell_plan(plan(TEXT[: TEXT.index("laws:")] + own))[0]


def test_a_published_base_of_unknown_tokens_cannot_speak_of_ptpp() -> None:
    from engine.plan.known import Known
    from tests.support.published_bases import PUBLISHED

    text = """\
name: voyage
corpora: {law: {source: "hf:law"}, web: {source: "hf:web"}}
tokenizer: {model: gpt2}
base: {model: gpt2, corpora: [web]}
adapt:
  - {domain: law, replay_ratio: [0, 0.1, 0.3], adapt_tokens: [1000000, 4000000, 16000000]}
adapt_training: {lr: 5.0e-5, sequence: 1024}
laws: {domain: law, forms: [dcpt, ptpp_gated]}
"""
    facts = PUBLISHED["gpt2"]
    experiment = parse_experiment(text, (), file="voyage.yaml", folder=Path("/"))
    (target, _) = judge_plan(expand(experiment, Known(facts, facts.vocabulary)), only_asked=True)
    verdicts = {one.form: one for one in target.verdicts}
    assert "pretraining tokens per parameter unknown" in verdicts["ptpp_gated"].reason
    assert not verdicts["dcpt"].reason
    assert target.warnings[0].startswith("The tokens seen by the base are unknown")


def test_the_dry_run_has_the_table_the_words_and_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "voyage.yaml"
    config.write_text(TEXT)
    called = ["-w", str(tmp_path / "w"), "launch", str(config), "--dry-run"]
    assert run(called) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "What the grid could tell of the laws" in out
    assert "ptpp_additive" in out
    assert "Two PTPP are fitted" in " ".join(err.split())
    assert run([*called, "--json"]) == 0
    laws = json.loads(capsys.readouterr().out)["laws"]
    assert [one["role"] for one in laws] == ["target", "base"]
    assert {"form", "condition", "open", "determined", "forecast"} <= laws[0]["verdicts"][0].keys()
    assert run([*called, "--csv"]) == 0
    assert "What the grid" not in capsys.readouterr().out
