"""Editing an experiment: what a form changes is what ``--set`` changes, and nothing typed is lost."""

from __future__ import annotations

import random
import shlex
from pathlib import Path
from typing import Any

import pytest

from engine.spec.experiment import AdaptBlock, Experiment
from engine.spec.load import load_experiment
from engine.spec.located import read_yaml
from engine.spec.reference import read_keys
from odyssey_tui.services.assignments import flow_text, same
from odyssey_tui.services.axes import list_axes
from odyssey_tui.services.draft import dump, open_file, open_text, save
from odyssey_tui.services.draft_fields import find_field, list_fields
from odyssey_tui.services.draft_values import UNSET, read_typed, show_value
from odyssey_tui.services.starts import find_config, list_ready
from store.errors import ConfigError
from tests.support.tiny import write_experiment

KEYS = {key.name: key for key in (*read_keys(Experiment), *read_keys(AdaptBlock))}


@pytest.fixture
def demo():
    return open_file(find_config("demo"), source="demo")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("replay_ratio", "0, .1 0.5", [0, 0.1, 0.5]),
        ("replay_ratio", ".3", 0.3),
        ("replay_ratio", "[0, .3", "[0, .3"),
        ("domain", "tests library", ["tests", "library"]),
        ("domain", "1984, 2001", ["1984", "2001"]),
        ("ptpp", "all", "all"),
        ("lr", "{full: 1e-3, lora: [2e-4, 5e-4]}", {"full": 1e-3, "lora": [2e-4, 5e-4]}),
        ("lr", "5e-5", 5e-5),
        ("share", "false", False),
        ("variant", "true", "true"),
        ("name", "12", "12"),
        ("keep", "final", "final"),
        ("wise_ft", "", UNSET),
    ],
)
def test_what_is_typed_means_what_people_mean(key: str, text: str, value: Any) -> None:
    assert read_typed(text, KEYS[key]) == value
    if value is not UNSET and not isinstance(value, dict):
        assert read_typed(show_value(value), KEYS[key]) == value, "shown and typed again it stays what it is"


@pytest.mark.parametrize(
    "value",
    [
        0,
        1e-05,
        2.0,
        True,
        None,
        "word",
        "true",
        "1e3",
        "a: b",
        "#x",
        "",
        "ä ö",
        "installation:docs",
        "**/*",
        'q"',
        "\n",
    ],
)
def test_values_in_one_line_are_read_back(value: Any) -> None:
    for whole in (value, [value, 1], {"key": value}, {"a.b": [value]}):
        assert same(read_yaml(flow_text(whole), "typed").data, whole)


def test_a_changed_key_is_one_assignment(demo) -> None:
    draft = demo.set(("adapt", 0, "replay_ratio"), [0.3, 0.4]).set(("evaluate", "window"), 32)
    assert draft.changes == ("adapt.0.replay_ratio=[0.3, 0.4]", "evaluate.window=32")
    assert shlex.split(draft.command())[2:] == ["demo", "--set", draft.changes[0], "--set", draft.changes[1]]
    assert draft.set(("adapt", 0, "replay_ratio"), [0, 0.1, 0.25, 0.5]).changes == ("evaluate.window=32",)


def test_taking_back_and_adding(demo) -> None:
    added = demo.set(("adapt", 3), {"domain": "docs", "atpp": 1}).set(
        ("adapt_training", "masks", 0, "classes"), ["word"]
    )
    assert added.changes == ("adapt.3={domain: docs, atpp: 1}", "adapt_training.masks=[{classes: [word]}]")
    assert added.unset(("adapt", 3)).unset(("adapt_training", "masks")).changes == ()
    assert demo.set(("resources", "nodes"), 2).unset(("resources", "nodes")).changes == ()
    assert demo.unset(("laws",)).changes == ("laws=null",)
    assert demo.unset(("evaluate",)).changes == ("evaluate={}",)
    assert demo.set(("seeds",), [1, 2]).unset(("seeds",)).changes == ()


@pytest.mark.slow
def test_any_edit_is_what_its_assignments_make_of_the_file(demo) -> None:
    """A random walk over all keys: adding, changing, removing."""
    rng = random.Random(7)
    values = [0.25, 3, "tests", ["docs", "tests"], True, None, {"lr": 1e-3}, [{"classes": ["word"]}], "a: b"]
    names = [
        ("corpora", "cs.CL"),
        ("corpora", "new"),
        ("base", "sizes", "x.y"),
        ("adapt", 3),
        ("groups",),
        ("unknown",),
    ]
    draft, expected = demo, demo.data
    for _ in range(150):
        rows = [row.path for row in list_fields(draft, frozenset(), "a")]
        path = rng.choice([*rows, *names])
        draft = draft.unset(path) if rng.random() < 0.4 and len(path) > 1 else draft.set(path, rng.choice(values))
        expected = open_text(demo.text, "demo.yaml", demo.folder, "demo").with_changes(draft.changes).data
        assert same(expected, draft.data)
        assert same(read_yaml(draft.to_yaml(), "written").data, draft.data)


def test_the_command_line_reads_the_same_experiment(demo) -> None:
    draft = demo.set(("adapt", 0, "replay_ratio"), [0.3]).set(("evaluate", "window"), 32).unset(("similarity",))
    loaded = load_experiment(find_config("demo"), draft.changes)
    assert loaded == draft.examine().require()


def test_every_key_of_every_model_is_in_the_form(demo) -> None:
    everything = list_fields(demo.set(("adapt_training", "masks", 0), {}), frozenset(), ".")
    labels = {row.label for row in everything}
    for path in ("adapt.0.variant", "adapt.0.newlines", "adapt.0.training.anneal_share", "evaluate.max_bytes"):
        assert path in labels
    for path in ("adapt_training.masks.0.classes", "laws.anchors", "similarity.bootstrap", "resources.slurm.partition"):
        assert path in labels
    assert all(row.meaning for row in everything if row.key is not None)


def test_what_holds_where_nothing_is_written(demo) -> None:
    axes = {axis.name: axis for axis in list_axes(demo, 2)}
    assert (axes["method"].text, axes["lr"].text, axes["ptpp"].text) == ("lora", "0.01", "16")
    axes = {axis.name: axis for axis in list_axes(demo, 0)}
    assert axes["lr"].default == "0.001 (adapt_training)"
    assert axes["ptpp"].default == "all"
    assert axes["rank"].default == "8"
    assert find_field(demo, ("adapt", 0, "training", "sequence")).default == "64 (adapt_training)"
    bare = demo.unset(("adapt_training",))
    assert find_field(bare, ("adapt", 0, "training", "lr")).default == "0.003 (base.training)"


def test_an_existing_base_has_no_sizes_to_sweep(tmp_path: Path) -> None:
    draft = open_file(find_config("m2d2-20-gpt2"))
    offered = {axis.name: axis for axis in list_axes(draft, 0) if axis.offered}
    assert "size" not in offered
    assert "ptpp" not in offered
    assert offered["atpp"].label == "tokens"
    assert {row.label for row in list_fields(draft, frozenset({("base",)}))} >= {"tokens_seen", "trust_remote_code"}


def test_all_ready_experiments_have_a_form() -> None:
    for source in list_ready():
        draft = source.open()
        assert list_axes(draft, 0)
        assert same(read_yaml(dump(draft.data), "dumped").data, draft.data)


def test_a_key_nobody_knows_can_be_seen_and_taken_away(demo) -> None:
    draft = demo.set(("evaluate", "widnow"), 3)
    (problem,) = draft.examine().problems
    assert (problem.path, problem.advice) == (("evaluate", "widnow"), "Did you mean window?")
    assert find_field(draft, ("evaluate", "widnow")).written
    assert draft.unset(("evaluate", "widnow")).examine().problems == ()


def test_a_file_elsewhere_finds_the_same_texts(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    draft = open_file(write_experiment(tmp_path / "there")).set(("adapt", 0, "replay_ratio"), 0.5)
    saved = save(draft, tmp_path / "here" / "mine")
    assert saved.source.endswith("mine.yaml")
    assert saved.examine().require().corpora["poems"].source == str(tmp_path / "there" / "poems.jsonl")
    assert saved.examine().require().adapt == draft.examine().require().adapt
    with pytest.raises(ConfigError, match="is there already"):
        save(draft, tmp_path / "here" / "mine.yaml")
    with pytest.raises(ConfigError, match="there is no folder"):
        save(draft, tmp_path / "nowhere" / "mine.yaml")


BLOCKS = """\
# about poems
name: tiny  # short

corpora:
  base: {source: base.jsonl}   # the base
  # what is adapted to
  poems:
    source: poems.jsonl
adapt:
- domain: poems   # all of them
  atpp:
  - 1
  - 2
  # more below
-  {domain: poems, atpp: 4}

# the end
laws:
"""


@pytest.mark.parametrize(
    ("path", "value", "before", "after"),
    [
        (("name",), "other", "name: tiny  # short", "name: other  # short"),
        (("corpora", "poems", "source"), "b.txt", "    source: poems.jsonl\n", "    source: b.txt\n"),
        (("corpora", "base", "glob"), "*", "base.jsonl}   # the base", 'base.jsonl, glob: "*"}   # the base'),
        (("corpora", "poems", "glob"), "x", "poems.jsonl\nadapt", "poems.jsonl\n    glob: x\nadapt"),
        (("adapt", 0, "atpp"), [4], "  atpp:\n  - 1\n  - 2\n  # more", "  atpp: [4]\n  # more"),
        (("adapt", 0, "rank"), 2, "  - 2\n  # more", "  - 2\n  rank: 2\n  # more"),
        (("adapt", 2), {"domain": "base"}, "atpp: 4}\n\n#", "atpp: 4}\n- {domain: base}\n\n#"),
        (("laws",), {"domain": "poems"}, "end\nlaws:\n", "end\nlaws: {domain: poems}\n"),
        (("limits", "forgetting"), 0.1, "laws:\n", "laws:\nlimits: {forgetting: 0.1}\n"),
    ],
)
def test_what_is_not_changed_stays_as_it_was_written(path, value, before: str, after: str) -> None:
    assert BLOCKS.count(before) == 1
    draft = open_text(BLOCKS, "tiny.yaml", Path(), "tiny").set(path, value)
    assert draft.to_yaml() == BLOCKS.replace(before, after)


def test_a_file_is_written_with_its_comments(tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    path.write_text("# about poems\n" + path.read_text())
    assert save(open_file(path), tmp_path / "copy.yaml").text == path.read_text()
    edited = open_file(path).set(("adapt", 0, "replay_ratio"), 0.5)
    assert save(edited, path, replace_it=True).text == path.read_text()
    assert path.read_text().startswith("# about poems\n")
    assert open_file(path).data == edited.data
