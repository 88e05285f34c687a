"""Expansion: which runs, in which order, under which identifiers, at what cost."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.plan.cost import count_parameters
from engine.plan.expand import expand
from engine.plan.known import Known
from engine.spec.load import load_experiment, parse_experiment
from engine.spec.run import Architecture, Tokenizer
from store.errors import ConfigError
from tests.support.published_bases import PUBLISHED

SAMPLES = Path(__file__).parents[3] / "sample_configs"
TEXT = """\
name: voyage
corpora:
  books: {source: "hf:books"}
  law: {source: "hf:law"}
  code: {source: "hf:code"}
tokenizer: {train_on: books, vocab_size: 300}
base:
  corpora: [books]
  sizes: {s: {n_layer: 1, n_embd: 16, n_head: 2}, m: {n_layer: 2, n_embd: 32, n_head: 2}}
  context: 32
  ptpp: [8, 4]
  training: {lr: 3e-3, sequence: 32}
adapt:
  - {domain: law, replay_ratio: [0, 0.5], atpp: [1, 2]}
  - {domain: [law, code], size: s, ptpp: 8, atpp: 4}
  - {domain: law, size: s, ptpp: 8, atpp: 4, method: [full, lora], rank: [2, 4]}
similarity: {embedders: [ngrams, model]}
laws: {domain: law}
"""


def plan(text=TEXT, *overrides, known=None):
    return expand(parse_experiment(text, overrides, file="voyage.yaml", folder=Path("/")), known)


def only(found, kind):
    return [run for run in found.runs if run.job.kind == kind]


def kinds(found):
    return Counter(run.job.kind for run in found.runs)


def test_one_trajectory_per_model_and_per_cell():
    found = plan()
    assert kinds(found) == {
        "prepare": 1,
        "pretrain": 2,
        "evaluate": 4 + 1,
        "adapt": 8 + 1 + 2,
        "similarity": 1,
        "fit": 1,
    }
    assert only(found, "pretrain")[0].job.ptpp == (4, 8)


def test_duplicate_cells_are_merged_with_all_their_budgets():
    cells = {run.name: run for run in only(plan(), "adapt")}
    assert cells["adapt-law-r0-p8-s"].job.atpp == (1, 2, 4)
    assert cells["adapt-law-r0-p4-s"].job.atpp == (1, 2)
    assert {name for name in cells if "lora" in name} == {"adapt-law-r0-p8-s-lora2", "adapt-law-r0-p8-s-lora4"}


def test_needs_come_first_and_exist():
    seen = set()
    for run in plan().runs:
        assert set(run.needs) <= seen
        seen.add(run.run_id)


def test_needs_of_each_kind():
    found = plan()
    prepare, ids = only(found, "prepare")[0].run_id, {run.name: run.run_id for run in found.runs}
    adapt = next(run for run in found.runs if run.name == "adapt-law-r0.5-p4-m")
    assert adapt.needs == (prepare, ids["pretrain-m"], ids["evaluate-law-p4-m"])
    assert (adapt.job.base.run, adapt.job.base.state) == (ids["pretrain-m"], "ptpp4")
    similarity = only(found, "similarity")[0]
    assert similarity.job.encoder.model_id == f"{ids['pretrain-m']}@ptpp8"
    assert similarity.needs == (prepare, ids["pretrain-m"])
    fit = only(found, "fit")[0]
    adapted = {run.run_id for run in only(found, "adapt") if run.labels["domain"] == "law"}
    lora = {run.run_id for run in only(found, "adapt") if run.labels["method"] == "lora"}
    assert adapted - lora <= set(fit.needs)
    assert not lora & set(fit.needs)


def test_law_holds_out_the_highest_ptpp_unless_told():
    fit = only(plan(), "fit")[0].job
    assert (fit.fit_ptpp, fit.score_ptpp) == ((4,), (8,))
    fit = only(plan(TEXT, "laws.fit_ptpp=[8]"), "fit")[0].job
    assert (fit.fit_ptpp, fit.score_ptpp) == ((8,), (4,))


@pytest.mark.parametrize(
    ("block", "method", "lr"),
    [
        ("{domain: law, atpp: 1, method: [lora, full], lr: [1e-2, 3e-3]}", "full", 3e-3),
        ("{domain: law, atpp: 1, method: [lora, full], lr: {full: [1e-4, 2e-4], lora: [5e-4]}}", "full", 1e-4),
        ("{domain: law, atpp: 1, method: lora, rank: [4, 8], lr: [5e-4, 1e-3]}", "lora", 5e-4),
    ],
)
def test_a_law_is_fitted_to_one_method_at_one_rate(block, method, lr):
    found = plan(f"{TEXT[: TEXT.index('adapt:')]}adapt:\n  - {block}\nlaws: {{domain: law}}\n")
    by_id = {run.run_id: run for run in found.runs}
    fitted = [by_id[need].job for need in only(found, "fit")[0].needs if by_id[need].job.kind == "adapt"]
    assert len(fitted) == 4
    assert {(job.method.name, job.training.lr, job.method.rank) for job in fitted} == {
        (method, lr, 4 if method == "lora" else 8)
    }


def test_adaptations_that_a_law_leaves_out_are_told():
    (caution,) = (caution for caution in plan().cautions if "left out" in caution)
    assert caution.startswith("laws: law is fitted to 8 of 10 adaptations")
    assert "left out: lora (odyssey fit" in caution
    blocks = "{domain: law, atpp: 1, newlines: [keep, strip]}\n  - {domain: law, atpp: 1, variant: kl, lr: 1e-4}"
    mixed = plan(f"{TEXT[: TEXT.index('adapt:')]}adapt:\n  - {blocks}\nlaws: {{domain: law}}\n")
    assert "4 of 12 adaptations" in mixed.cautions[-1]
    assert "left out: newlines stripped, variant kl" in mixed.cautions[-1]
    alone = plan(f"{TEXT[: TEXT.index('adapt:')]}adapt:\n  - {{domain: law, atpp: 1}}\nlaws: {{domain: law}}\n")
    assert not any("left out" in caution for caution in alone.cautions)


def test_labels_say_what_varies():
    lora = next(run for run in plan().runs if run.name == "adapt-law-r0-p8-s-lora4")
    assert lora.labels == {
        "domain": "law",
        "replay_ratio": 0.0,
        "ptpp": 8.0,
        "size": "s",
        "method": "lora",
        "rank": 4,
        "lr": 0.003,
        "seed": 0,
    }


def test_base_and_adapted_state_are_scored_on_the_same_sets():
    found = plan()
    adapt, specs = only(found, "adapt")[0], {run.run_id: run for run in found.runs}
    scored = [specs[need].job.evaluation for need in adapt.needs if specs[need].job.kind != "prepare"]
    assert all(evaluation.scheme == adapt.job.evaluation.scheme for evaluation in scored)
    before = {chosen.name: chosen for evaluation in scored for chosen in evaluation.sets}
    for chosen in adapt.job.evaluation.sets:
        assert before[chosen.name].model_copy(update={"role": chosen.role}) == chosen
    assert [(chosen.name, chosen.role) for chosen in adapt.job.evaluation.sets] == [("base", "base"), ("law", "target")]


def test_the_same_work_has_the_same_identifier_in_another_experiment():
    one, other = plan(), plan(TEXT.replace("name: voyage", "name: return"), "adapt.0.replay_ratio=[0.5, 0.75]")
    shared = {run.run_id for run in one.runs} & {run.run_id for run in other.runs}
    assert {run.job.kind for run in one.runs if run.run_id in shared} == {
        "prepare",
        "pretrain",
        "evaluate",
        "adapt",
        "similarity",
    }
    assert sum(run_id.startswith("adapt-law-r0.5") for run_id in shared) == 4


@pytest.mark.parametrize(
    "override", ["base.training.lr=1e-4", "corpora.books.max_bytes=1MB", "evaluate.max_tokens=100", "seeds=[1]"]
)
def test_what_changes_results_changes_identifiers(override):
    before, after = ({run.run_id for run in only(found, "adapt")} for found in (plan(), plan(TEXT, override)))
    assert not before & after


@pytest.mark.parametrize(
    "override",
    [
        "adapt.1.domain=[law, code, books]",
        "seeds=[0, 1]",
        "adapt.0.lr=[3e-3, 1e-3]",
        "name=return",
        "limits.forgetting=1",
    ],
)
def test_more_of_something_repeats_nothing(override):
    def work(found):
        return {run.run_id for run in found.runs if run.job.kind in ("pretrain", "evaluate", "adapt")}

    assert work(plan()) <= work(plan(TEXT, override))


def test_document_launches_the_same_runs_again():
    found = plan(TEXT, "adapt.0.atpp=[1]", "corpora.books.max_bytes=2kB")
    assert plan(found.document).runs == found.runs


EXISTING = TEXT.split("tokenizer:")[0] + (
    "base: {model: EleutherAI/pythia-70m, revision: step8000, corpora: books}\n"
    "adapt: [{domain: [law, code], replay_ratio: [0, 0.5], adapt_tokens: [1000, 2000]}]\n"
    "adapt_training: {lr: 5e-5, sequence: 128}\nseeds: [0, 1]\n"
)


def test_an_existing_base_is_scored_once_and_adapted():
    found = plan(EXISTING)
    assert kinds(found) == {"prepare": 1, "evaluate": 3, "adapt": 8}
    adapt = only(found, "adapt")[0]
    assert adapt.name == "adapt-law-r0-pythia-70m-step8000"
    assert adapt.job.base.model_id == "EleutherAI/pythia-70m@step8000"
    assert adapt.job.tokenizer == Tokenizer(model="EleutherAI/pythia-70m", revision="step8000")
    assert [need.rpartition("-")[0] for need in adapt.needs] == [
        "prepare",
        "evaluate-base-pythia-70m-step8000",
        "evaluate-law-pythia-70m-step8000",
    ]
    assert adapt.cost_flops == 0


def test_priority_is_the_longest_chain_of_work():
    found = plan()
    priorities, cost = found.priorities(), {run.run_id: run.cost_flops for run in found.runs}
    ids = {run.name: run.run_id for run in found.runs}
    longest = max(cost[run.run_id] for run in only(found, "adapt") if ids["pretrain-m"] in run.needs)
    scored = cost[ids["evaluate-law-p4-m"]]
    assert priorities[ids["pretrain-m"]] == pytest.approx(cost[ids["pretrain-m"]] + scored + longest)
    assert priorities[ids["prepare"]] == pytest.approx(priorities[ids["pretrain-m"]])
    assert priorities[ids["pretrain-m"]] > priorities[ids["pretrain-s"]]


def test_cost_counts_training_and_evaluation():
    found = plan(TEXT, "evaluate.max_tokens=1000")
    run = next(run for run in found.runs if run.name == "adapt-law-r0-p4-s")
    n_params = count_parameters(Architecture(n_layer=1, n_embd=16, n_head=2, context=32), 300)
    trained = found.work[run.run_id].trained_tokens
    assert run.cost_flops == 6 * n_params * trained + 2 * n_params * (2 * 2 * 1000)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_parameters_from_the_formula_are_those_of_the_model(family):
    from engine.models.build import build_model
    from engine.models.count import count_parameters as count_built

    architecture = Architecture(family=family, n_layer=2, n_embd=24, n_head=2, context=16)
    built = count_built(build_model(architecture, 300, seed=0)).total
    assert count_parameters(architecture, 300) == built


def test_a_budget_below_one_sequence_is_refused():
    with pytest.raises(ConfigError, match=r"atpp 0.001 of size s is .* tokens, less than one sequence of 32"):
        plan(TEXT, "adapt.0.atpp=[0.001]")


def test_cautions_name_what_may_disappoint():
    assert any("2 model sizes" in caution for caution in plan().cautions)
    assert any("fitted at one PTPP (4)" in caution for caution in plan().cautions)
    assert plan(TEXT.replace("laws: {domain: law}\n", "")).cautions == ()


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_samples_expand(sample):
    experiment = load_experiment(sample)
    assert experiment.name == sample.stem
    facts = PUBLISHED.get(getattr(experiment.base, "model", ""))
    found = expand(experiment, Known(facts, facts.vocabulary) if facts else None)
    assert [run.run_id for run in expand(experiment).runs] == [run.run_id for run in found.runs]
    assert len(found.runs) == len({run.run_id for run in found.runs})
    assert all(work.flops > 0 for work in found.work.values())


def test_expansion_is_light():
    import subprocess
    import sys

    code = (
        "import sys; from engine.spec.load import load_experiment; from engine.plan.expand import expand;"
        f"expand(load_experiment({str(SAMPLES / 'demo.yaml')!r}));"
        "import engine.launch.submit, engine.launch.queue_state, engine.launch.scheduler, engine.launch.dispatcher;"
        "print(sorted({'torch', 'transformers', 'datasets', 'peft', 'scipy', 'textual', 'duckdb'} & set(sys.modules)))"
    )
    assert subprocess.run((sys.executable, "-c", code), capture_output=True, text=True).stdout.strip() == "[]"


def test_cells_that_differ_in_rate_or_budget_only_have_names_of_their_own():
    separate = "adapt.1={domain: law, size: s, ptpp: 8, atpp: [1, 2], lr: [1e-3, 2e-3], share: false}"
    names = [run.name for run in only(plan(TEXT, "adapt.0.lr=[5e-4, 1e-3]", separate), "adapt")]
    assert len(set(names)) == len(names) > 20
    assert {"adapt-law-r0-p8-s-lr0.001", "adapt-law-r0-p8-s-lr0.002-atpp2", "adapt-law-r0-p8-s-lora2"} <= set(names)
    ids = {run.run_id for run in plan().runs} & {run.run_id for run in plan(TEXT, "adapt.0.lr=[3e-3, 1e-3]").runs}
    assert sum(run_id.startswith("adapt-law-r0.5") for run_id in ids) == 4


def test_the_training_text_with_and_without_newlines_is_scored_on_one_text():
    found = plan(TEXT.replace("size: s, ptpp: 8, atpp: 4}", "size: s, ptpp: 8, atpp: 4, newlines: [keep, strip]}", 1))
    kept, stripped = (run for run in only(found, "adapt") if run.labels["domain"] == "code")
    assert (kept.job.target.newlines, stripped.job.target.newlines) == ("keep", "strip")
    assert kept.job.evaluation == stripped.job.evaluation
    assert stripped.labels["newlines"] == "strip"
    assert stripped.name == "adapt-code-r0-p8-s-nl-strip"
    assert kept.run_id in {run.run_id for run in only(plan(), "adapt")}
    (prepare,) = only(found, "prepare")
    assert {(c.name, c.newlines) for c in prepare.job.corpora} >= {("code", "keep"), ("code", "strip")}


def test_a_variant_trains_otherwise_and_is_a_run_of_its_own():
    masks = "{masks: [{classes: [newline], treat: kl}]}"
    block = f"  - {{domain: code, size: s, ptpp: 8, atpp: 4, variant: kl, training: {masks}}}"
    found = plan(TEXT.replace("similarity:", f"{block}\nsimilarity:"))
    plain, variant = (run for run in only(found, "adapt") if run.labels["domain"] == "code")
    assert variant.job.training.masks[0].treat == "kl"
    assert variant.job.training.model_copy(update={"masks": ()}) == plain.job.training
    assert variant.labels["variant"] == "kl"
    assert variant.name == "adapt-code-r0-p8-s-kl"
    assert variant.run_id != plain.run_id
    assert plain.run_id in {run.run_id for run in only(plan(), "adapt")}


def test_a_law_is_fitted_on_one_form_of_the_text_and_one_training():
    block = "  - {domain: law, size: s, ptpp: 8, atpp: 4, newlines: strip, variant: x, training: {anneal_share: 0}}"
    found = plan(TEXT.replace("similarity:", f"{block}\nsimilarity:"))
    names = {run.run_id: run.name for run in found.runs}
    (fit,) = only(found, "fit")
    assert not [need for need in fit.needs if "strip" in names[need]]
    assert fit.needs == only(plan(), "fit")[0].needs


def test_scoring_with_lines_joined_in_both_ways_keeps_the_first_as_the_target():
    found = plan(f"{TEXT}evaluate: {{join: [newline, space]}}\n")
    adapt = next(run for run in only(found, "adapt") if run.labels["domain"] == "law")
    assert [(one.name, one.role, one.join) for one in adapt.job.evaluation.sets] == [
        ("base", "base", "newline"),
        ("law", "target", "newline"),
        ("law+space", "other", "space"),
    ]
    zero_shot = {one.name for run in only(found, "evaluate") for one in run.job.evaluation.sets}
    assert {"law", "law+space", "code", "code+space"} <= zero_shot


def test_sentence_encoders_are_part_of_the_job_only_where_they_are_used():
    sentence = "similarity={embedders: [sentence], sentence_model: org/tiny}"
    (run,) = only(plan(TEXT, sentence), "similarity")
    assert (run.job.embedders, run.job.sentence_model, run.job.encoder) == (("sentence",), "org/tiny", None)
    assert "sentence_model" not in only(plan(), "similarity")[0].job.essence()


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="it is installed")
def test_a_library_that_is_missing_here_is_a_caution():
    (said,) = [line for line in plan(TEXT, "similarity.embedders=[ngrams, sentence]").cautions if "similarity" in line]
    assert "pip install 'odyssey-tui[sentence]'" in said
