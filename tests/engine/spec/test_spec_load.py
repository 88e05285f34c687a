"""Experiments from YAML: what is accepted, and how everything else is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.plan.expand import expand
from engine.spec.check import cautions
from engine.spec.experiment import ExistingBase, PretrainedBase
from engine.spec.load import load_experiment, parse_experiment
from store.errors import ConfigError

SAMPLES = Path(__file__).parents[3] / "sample_configs"
TEXT = """\
name: voyage
corpora:
  books: {source: books.txt, max_bytes: 1.5MB}
  law: {source: "hf:pile-of-law", config: r_legaladvice}
base:
  corpora: books
  sizes:
    s: {n_layer: 1, n_embd: 16, n_head: 2}
  context: 32
  ptpp: [4, 8]
  training: {lr: 3e-3, sequence: 32}
adapt:
  - {domain: law, replay_ratio: [0, 0.5], atpp: [1, 2]}
"""


@pytest.fixture
def load(tmp_path):
    """Load TEXT, or another one, from a file beside which books.txt lies."""
    (tmp_path / "books.txt").write_text("once upon a time")

    def load_text(text: str = TEXT, *overrides: str):
        file = tmp_path / "voyage.yaml"
        file.write_text(text)
        return load_experiment(file, overrides)

    return load_text


def test_reads_what_was_written(load, tmp_path):
    experiment = load()
    assert isinstance(experiment.base, PretrainedBase)
    assert experiment.base.training.lr == 0.003
    assert experiment.corpora["books"].max_bytes == 1_500_000
    assert experiment.corpora["books"].source == str(tmp_path / "books.txt")
    assert experiment.corpora["law"].source == "hf:pile-of-law"
    assert experiment.adapt[0].ptpp is None
    assert experiment.domains == ("law",)


def test_an_existing_base(load):
    base = (
        "base: {model: gpt2, corpora: books}\nadapt_training: {lr: 5e-5}\nadapt: [{domain: law, adapt_tokens: 100}]\n"
    )
    experiment = load(TEXT.split("base:")[0] + base)
    assert isinstance(experiment.base, ExistingBase)
    assert experiment.adapt[0].adapt_tokens == (100,)


def test_forms_of_ones_own_are_files_or_written_out(load, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "formula: E + A*N**-alpha + B*D**-beta\nparameters: {alpha: {bounds: [0, 1]}}\n"
    )
    other = "{name: other, formula: E + B*r*D**-beta}"
    text = TEXT + f"laws: {{domain: law, forms: [dcpt, mine.yaml, other], definitions: [{other}]}}\n"
    laws = load(text).laws
    assert laws.forms == ("dcpt", "mine", "other")
    assert {form.name: form.source for form in laws.definitions} == {
        "mine": "your form, mine.yaml",
        "other": "your form",
    }
    (job,) = [run.job for run in expand(load(text)).runs if run.job.kind == "fit"]
    assert [form.name for form in job.definitions] == ["other", "mine"]
    unused = TEXT + f"laws: {{domain: law, forms: dcpt, definitions: [{other}]}}\n"
    plain = TEXT + "laws: {domain: law, forms: dcpt}\n"
    fits = [[run.run_id for run in expand(load(one)).runs if run.job.kind == "fit"] for one in (unused, plain)]
    assert fits[0] == fits[1]
    (tmp_path / "mine.yaml").write_text("formula: E + A*N**-alpha\nbounds: 3\n")
    with pytest.raises(ConfigError, match=r"mine.yaml:2: bounds is not a known key"):
        load(text)
    with pytest.raises(ConfigError, match=r"their.yaml: no such file"):
        load(text.replace("mine.yaml", "their.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("context:", "contxt:", 9, "base.contxt is not a known key", "Did you mean context?"),
        ("lr: 3e-3", "lr: fast", 11, "base.training.lr must be a number, not 'fast'", ""),
        ("lr: 3e-3", "lr: -1", 11, "base.training.lr is -1; it must be above 0", ""),
        ("lr: 3e-3", "lr: .inf", 11, "base.training.lr must be a number, not '.inf'", ""),
        ("lr: 3e-3", "lr: 0.1, lr: 0.2", 11, "base.training.lr is given twice, first at", "Keep one"),
        (
            "lr: 3e-3",
            "lr: 3e-3, cross_document: false, separator: newline",
            11,
            "base.training.cross_document is false, and separator: newline does not tell where documents end",
            "Use separator: eos",
        ),
        (
            "lr: 3e-3",
            "lr: 3e-3, masks: [{classes: [newline]}, {tokens: [x], treat: kl}]",
            11,
            "base.training.masks.1.treat is kl, and a base trained from scratch has none",
            "adapt_training",
        ),
        ("lr: 3e-3", "lr: 3e-3, masks: [{}]", 11, "base.training.masks.0 names no targets", "classes: [newline]"),
        (
            "lr: 3e-3",
            "lr: 3e-3, masks: [{classes: [newline], weight: 2}]",
            11,
            "base.training.masks.0.weight has no meaning for treat: exclude",
            "treat: weight",
        ),
        (
            "lr: 3e-3",
            "lr: 3e-3, masks: [{classes: [newlines]}]",
            11,
            "base.training.masks.0.classes.0 cannot be 'newlines'",
            "Did you mean newline?",
        ),
        ("n_layer: 1", "n_layer: 1.5", 8, "base.sizes.s.n_layer must be a whole number, not 1.5", ""),
        ("n_layer: 1", "n_layer: '1'", 8, "base.sizes.s.n_layer must be a whole number, not '1'", ""),
        ("n_head: 2", "n_head: 3", 8, "base.sizes.s has n_embd 16, which 3 heads do not divide", "multiple"),
        ("[0, 0.5]", "[0, 1.5]", 13, "adapt.0.replay_ratio.1 is 1.5; it must be at most 1", ""),
        ("[0, 0.5]", "-0.1", 13, "adapt.0.replay_ratio is -0.1; it must be at least 0", ""),
        ("atpp: [1, 2]", "atpp: [1, 0]", 13, "adapt.0.atpp.1 is 0; it must be above 0", ""),
        ("atpp: [1, 2]", "atpp: []", 13, "adapt.0 has no budget", "atpp: [1, 2]"),
        (
            "domain: law",
            "domain: laws",
            13,
            "adapt.0.domain = laws is no corpus of this experiment",
            "Did you mean law?",
        ),
        ("domain: law", "domain: law, ptpp: [4, 15]", 13, "adapt.0.ptpp.1 = 15 is not among base.ptpp", "4, 8"),
        ("domain: law", "domain: law, size: m", 13, "adapt.0.size = m is no size of the base", "There is: s"),
        ("domain: law", "domain: law, method: lorra", 13, "adapt.0.method cannot be 'lorra'", "Did you mean lora?"),
        ("corpora: books", "corpora: [book]", 6, "base.corpora.0 = book is no corpus", "Did you mean books?"),
        (
            "source: books.txt",
            "source: book.txt",
            3,
            "corpora.books.source names 'book.txt'",
            "Did you mean books.txt?",
        ),
        ("source: books.txt", "source: hff:x", 3, "corpora.books.source names 'hff:x'", "Did you mean hf?"),
        (
            "source: books.txt",
            "source: 'installation:dox'",
            3,
            "the installation has no part 'dox'",
            "Did you mean 'docs'",
        ),
        ("source: books.txt", "source: 'm2d2:dox'", 3, "M2D2 has no domain 'dox'", "such as cs.CL"),
        ("source: books.txt", "source: 'hf:'", 3, "no dataset is named", "hf:OWNER/DATASET"),
        ("lr: 3e-3", "lr: 3e-3, betas: [0.9, 1]", 11, "base.training.betas.1 is 1; it must be below 1", ""),
        ("n_layer: 1", f"n_layer: {'9' * 400}", 8, "it must be at most 10,000", ""),
        ("atpp: [1, 2]", "atpp: [1e300]", 13, "adapt.0.atpp.0 is 1e+300; it must be at most 1,000,000,000", ""),
        ("1.5MB", "1.5 megs", 3, "corpora.books.max_bytes = '1.5 megs' is no size", ""),
        (
            "name: voyage",
            "name: voyage\nevaluate: {max_bytes: 80 kilos}",
            2,
            "evaluate.max_bytes = '80 kilos' is no size",
            "",
        ),
        (
            "name: voyage",
            "name: voyage\nevaluate: {max_bytes: 80kB, max_tokens: 100}",
            2,
            "evaluate.max_bytes is given, and so is max_tokens",
            "Keep one",
        ),
        ("name: voyage", "name: a/b", 1, "name cannot be 'a/b'", "Use letters"),
        ("  ptpp: [4, 8]\n", "", 5, "base.ptpp is missing", "Add ptpp"),
        ("sequence: 32", "sequence: 64", 11, "base.training.sequence is 64, longer than base.context 32", "Shorten"),
        (
            "[1, 2]}",
            "[1, 2]}\nadapt_training: {lr: 1, schedule: cosine, sequence: 8}",
            13,
            "cannot serve several",
            "constant",
        ),
        ("name: voyage", "laws: {domain: law, forms: [dcp]}\nname: voyage", 1, "laws.forms = dcp is no law", "dcpt"),
        (
            "name: voyage",
            "laws: {domain: law, forms: m, definitions: [{name: m, formula: E + A*N^-a}]}\nname: voyage",
            1,
            "laws.definitions.0 (m) is no law: formula, column 8: ^ is no power",
            "N**-alpha",
        ),
        ("name: voyage", "similarity: {measures: jds}\nname: voyage", 1, "= jds is no measure", "jsd"),
        ("name: voyage", "similarity: {embedders: sentense}\nname: voyage", 1, "similarity.embedders", "sentence"),
        ("name: voyage", "similarity: {sentence_model: x/y}\nname: voyage", 1, "has no embedder", "Add sentence"),
        (
            "name: voyage",
            "tokenizer: {model: gpt2, train_on: books}\nname: voyage",
            1,
            "both model and train_on",
            "one",
        ),
        ("name: voyage", "name: [", 3, "not valid YAML", "brackets"),
        ("books:", "3:", 3, "the key 3 is not text", "quotes"),
    ],
)
def test_refuses_with_place_key_and_advice(load, old, new, line, message, hint):
    assert old in TEXT
    with pytest.raises(ConfigError) as caught:
        load(TEXT.replace(old, new, 1))
    assert f"voyage.yaml:{line}: " in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


OPTIONS = [
    ("base.training.schedule=wsd base.training.anneal_share=0", "anneal_share is 0, so wsd never decays", "constant"),
    ("base.training.schedule=infinite base.training.min_lr_share=0.6", "below min_lr_share 0.6", "lower min_lr_share"),
    ("base.training.schedule=infinite base.training.cooldown_share=1", "nothing at the constant rate", "cosine"),
    ("base.training.schedule=cosine", "cannot serve several values of base.ptpp", "share: false"),
    ("base.training.schedule=linear base.share=false", "adapt.0 cannot serve several values", "share: false"),
    ("base.training.attention=flash_attention_2", "attention computes in bf16 only", "precision: bf16"),
    ("base.training.masks=[{treat: kl, classes: [newline]}]", "trained from scratch has none", "adapt_training"),
    ("base.training.masks=[{treat: weight, weight: 2}]", "masks.0 names no targets", "classes: [newline]"),
    ("base.training.masks=[{classes: [newlines]}]", "cannot be 'newlines'", "Did you mean newline?"),
    ("base.training.masks=[{classes: newline}]", "must be a list", ""),
    ("base.training.masks=[{tokens: [-1]}]", "masks.0.tokens.0", ""),
    ("base.training.cross_document=false base.training.separator=none", "does not tell where documents end", "eos"),
    ("base.training.validate_every=5 corpora.books.valid_share=0", "corpora.books.valid_share is 0", "valid_share"),
    ("base.training.validate_every=-1", "validate_every is -1; it must be at least 0", ""),
    ("adapt.0.quantize=4bit", "is 4bit, which full cannot train on", "lora"),
    ("adapt.0.method=loha", "= loha cannot adapt the layers of the family gpt2", "base.family: llama"),
    ("adapt.0.lr={lora: 1e-4}", "lr.lora is given a rate, and the block uses full", "Add it to method"),
    ("adapt.0.lr={lorra: 1e-4}", ": adapt.0.lr.lorra cannot be 'lorra'", "Did you mean lora?"),
    ("adapt.0.lr=-1", ": adapt.0.lr is -1; it must be above 0", "Correct the value"),
    ("adapt.0.lr=fast", ": adapt.0.lr must be a number, not 'fast'", "Correct the value"),
    ("adapt.0.lr={full: [1e-4, 0]}", ": adapt.0.lr.full.1 is 0; it must be above 0", "Correct the value"),
    ("base.training.betas=[0.9]", "base.training.betas lacks value 2", "as many as the default"),
    ("adapt.0.wise_ft=[0.5] base.training.sharding=full", "wise_ft needs whole weights", "sharding: none"),
    ("adapt.0.wise_ft=[1.5]", "wise_ft.0 is 1.5; it must be at most 1", ""),
    ("adapt.0.share=perhaps", "share must be true or false", ""),
    ("resources.gpus_per_run=2 resources.processes=2", "one process for each GPU", "Remove processes"),
    ("resources.processes=32", "fewer than the 32 processes", "fewer processes"),
    ("resources.gpus=2", "resources.gpus is not a known key", "gpus_per_run"),
    ("base.training.warmup_tokens=-1", "warmup_tokens is -1; it must be at least 0", ""),
]


@pytest.mark.parametrize(("overrides", "message", "hint"), OPTIONS, ids=[overrides for overrides, _, _ in OPTIONS])
def test_refuses_options_that_contradict_each_other(load, overrides, message, hint):
    with pytest.raises(ConfigError) as caught:
        load(TEXT, *re.split(r" (?=\w+\.)", overrides))
    assert message in caught.value.message
    # The advice for one problem is its hint; of several each has its own.
    assert hint in caught.value.message + caught.value.hint


def test_cautions_about_what_changes_nothing(load):
    mask = "base.training.masks=[{classes: [newline], treat: weight}]"
    found = cautions(load(TEXT, "base.training.sharding=full", "adapt.0.rank=4", "adapt.0.save=adapter", mask))
    assert "base.training.masks.0: treat: weight changes nothing with weight 1" in found
    assert any("sharding: full shards nothing in one process" in caution for caution in found)
    assert any("rank means nothing to full" in caution for caution in found)
    assert any("save: adapter means nothing to full" in caution for caution in found)


def test_warm_up_beyond_the_smallest_budget_is_refused_when_planned(load):
    with pytest.raises(ConfigError, match=r"training\.warmup_tokens: 9,999,999 tokens outlast"):
        expand(load(TEXT, "base.training.warmup_tokens=9999999"))


def test_lists_all_problems_at_once(load):
    with pytest.raises(ConfigError) as caught:
        load(TEXT.replace("lr: 3e-3", "lr: fast").replace("[0, 0.5]", "[0, 5]").replace("context: 32", "contxt: 32"))
    lines = caught.value.message.splitlines()
    assert [line.split(" ")[1] for line in lines] == [
        "base.training.lr",
        "base.contxt",
        "adapt.0.replay_ratio.1",
    ]
    assert caught.value.hint == "Correct these 3 problems and try again."


def test_caps_a_long_list(load):
    unknown = "".join(f"unknown{number}: 1\n" for number in range(40))
    with pytest.raises(ConfigError, match="and 28 more"):
        load(TEXT + unknown)


def test_overrides_replace_values_and_name_themselves(load):
    experiment = load(TEXT, "adapt.0.replay_ratio=[0.25]", "base.training.lr=1e-4", "evaluate.window=16")
    assert experiment.adapt[0].replay_ratio == (0.25,)
    assert experiment.base.training.lr == 1e-4
    assert experiment.evaluate.window == 16
    with pytest.raises(ConfigError, match=r"^--set adapt\.0\.replay_ratio=7: adapt\.0\.replay_ratio is 7"):
        load(TEXT, "adapt.0.replay_ratio=7")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("adapt.3.atpp=1", "'3' is not an item of that list"),
        ("name", "not an assignment"),
        ("name.x=1", "nothing can be set inside the value 'voyage'"),
        ("base.trainig.lr=1", "base.trainig is not a known key"),
        ("base.ptpp=[", "not valid YAML"),
    ],
)
def test_refuses_overrides(load, override, message):
    with pytest.raises(ConfigError) as caught:
        load(TEXT, override)
    assert caught.value.message.startswith(f"--set {override}")
    assert message in caught.value.message


def test_override_reaches_keys_with_dots(load):
    text = TEXT.replace("  law:", "  cs.CL:").replace("domain: law", "domain: cs.CL")
    assert load(text, "corpora.cs.CL.max_bytes=2kB").corpora["cs.CL"].max_bytes == 2000


def test_words_that_yaml_1_1_would_change_stay_words(load):
    experiment = load(TEXT.replace("law", "no").replace("name: voyage", "name: on"))
    assert experiment.name == "on"
    assert experiment.domains == ("no",)


def test_anchors_and_merges(load):
    text = TEXT.replace("training: {", "training: &t {") + "adapt_training: {<<: *t, lr: 1e-4}\n"
    assert load(text).adapt_training.sequence == 32
    with pytest.raises(ConfigError, match=r"voyage.yaml:\d+: adapt_training.lrr is not a known key"):
        load(text.replace("*t, lr", "*t, lrr"))


LAUGHS = "a: &a0 [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"b{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 8)}]\n" for n in range(8)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"- 1", "no mapping"),
        (b"\xff\xfe\x00", "text"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (LAUGHS.encode(), "more than 100,000 values"),
    ],
    ids=["empty", "list", "binary", "deep", "aliases"],
)
def test_refuses_what_is_no_experiment(tmp_path, content, message):
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_experiment(file)


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "voyage.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        load_experiment(tmp_path / "voyge.yaml")
    assert caught.value.hint == "Did you mean voyage.yaml?"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment(tmp_path)


def test_replay_needs_base_corpora():
    text = "name: x\ncorpora: {law: {source: 'hf:law'}}\nbase: {model: gpt2}\nadapt_training: {lr: 1}\n"
    block = "adapt: [{domain: law, replay_ratio: 0.5, adapt_tokens: 10}]\n"
    with pytest.raises(ConfigError, match=r"adapt\.0\.replay_ratio asks for replay, and base has no corpora"):
        parse_experiment(text + block, file="x.yaml", folder=Path("/"))


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_samples_load_and_say_what_they_are(sample):
    assert load_experiment(sample).name == sample.stem
    assert sample.read_text().startswith("# ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("atpp: [1, 2]", "atpp: [1, 2], training: {anneal_share: 0}", r"adapt.0.training has no name .*variant"),
        ("atpp: [1, 2]", "atpp: 1, variant: x, training: {aneal_share: 0}", "aneal_share.*Did you mean anneal_share"),
        ("atpp: [1, 2]", "atpp: 1, variant: x, training: {sequence: 64}", "longer than base.context 32"),
        ("atpp: [1, 2]", "atpp: 1, variant: x, lr: 1e-3, training: {lr: 1e-4}", "so is lr of the block"),
        ("atpp: [1, 2]", "atpp: 1, newlines: stripped", "newlines.*Did you mean strip"),
        ("adapt:", "groups: {far: [lawn]}\nadapt:", "lawn is no corpus of this experiment.*Did you mean law"),
        ("adapt:", "groups: {far: [law], near: [law]}\nadapt:", "which is in the group far, too"),
        ("max_bytes: 1.5MB", "part: 3/2", "write which of how many parts, like 1/2"),
        ("books.txt", "$ODYSSEY_NOWHERE/books.txt", r"\$ODYSSEY_NOWHERE is not set.*export ODYSSEY_NOWHERE"),
    ],
)
def test_bad_variants_groups_parts_and_variables(load, old, new, message):
    with pytest.raises(ConfigError) as refused:
        load(TEXT.replace(old, new))
    assert re.search(message, f"{refused.value.message} {refused.value.hint}".replace("\n", " ")), refused.value
    assert "voyage.yaml:" in refused.value.message


def test_a_path_may_begin_with_a_variable(load, tmp_path, monkeypatch):
    monkeypatch.setenv("ODYSSEY_TEXTS", str(tmp_path))
    for written in ("$ODYSSEY_TEXTS/books.txt", '"${ODYSSEY_TEXTS}/books.txt"'):
        assert load(TEXT.replace("books.txt", written)).corpora["books"].source == str(tmp_path / "books.txt")
