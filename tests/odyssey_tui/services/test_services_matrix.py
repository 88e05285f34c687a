"""Adapt × evaluate: numbers by hand, nothing mixed that differs, and a reason for every blank cell."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from odyssey_tui.cli.main import run
from odyssey_tui.services.heat import Scale, ink_on
from odyssey_tui.services.matrix import Matrix, assemble
from odyssey_tui.services.matrix_order import natural
from odyssey_tui.services.matrix_source import narrow, parse_where, read_intervals, read_source
from odyssey_tui.services.matrix_values import VALUES
from store.database import lease
from store.errors import ConfigError
from store.files import write_json
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.synthetic_matrix import (
    DOMAINS,
    EFFECTS,
    SECOND,
    SEED_STEP,
    TEXTS,
    Author,
    Rise,
    Way,
    matrix_workspace,
    zero_shot,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three domains, three seeds, each scored on every text."""
    return matrix_workspace(tmp_path_factory.mktemp("study") / "workspace")


@pytest.fixture
def own(study: Workspace, tmp_path: Path) -> Workspace:
    """A copy that a test may add to."""
    shutil.copytree(study.root, tmp_path / "workspace")
    return Workspace.open(tmp_path / "workspace")


def author_of(workspace: Workspace, **options) -> Author:
    """Goes on in a workspace whose base runs are there."""
    author = Author(workspace, **options)
    for seed in range(3):
        found = [one for one in workspace.run_ids() if one.startswith(f"pretrain-s-seed{seed}")]
        author.bases |= {seed: found[0]} if found else {}
    return author


def read(workspace: Workspace, *, where: str = "", experiment: str | None = None, **options) -> Matrix:
    return assemble(read_source(workspace, experiment, parse_where(where)), **options)


def call(workspace: Workspace, *arguments: str) -> int:
    return run(["-w", str(workspace.root), "matrix", *arguments])


def test_every_cell_is_what_adaptation_did(study: Workspace) -> None:
    found = read(study)
    assert [row.label for row in found.rows] == sorted(DOMAINS)
    assert [column.name for column in found.columns] == [*sorted(DOMAINS), "base"]
    assert [column.is_base for column in found.columns] == [False, False, False, True]
    assert found.row_labels[0] == "zero-shot"
    for domain in DOMAINS:
        for text in TEXTS:
            summary, entry = found.summary(domain, text), found.entry(domain, text)
            assert summary.mean == pytest.approx(EFFECTS[domain][text], abs=1e-6)
            assert summary.n == len(entry.scores) == 3
            assert summary.sd == pytest.approx(SEED_STEP, abs=1e-6)
            assert summary.high - summary.low == pytest.approx(2 * SEED_STEP, abs=1e-6)
            assert entry.own is (domain == text)
    for text in TEXTS:
        assert found.summary("zero-shot", text).mean == pytest.approx(zero_shot(text, 1), abs=1e-6)
        assert found.summary("zero-shot", text).n == 3
    assert (found.gaps, found.notes) == ((), ())
    assert found.cell_text == "size s, PTPP 16, full, replay 0, ATPP 4"


def test_every_value_follows_from_the_same_losses(study: Workspace) -> None:
    before, change = zero_shot("web", 1), EFFECTS["law"]["web"]
    per_byte = (1200 - 5) / (math.log(2) * 4 * 1200)
    wanted = {
        "delta": change,
        "loss": before + change,
        "ppl": math.exp(before + change),
        "ppl-ratio": math.exp(change),
        "zero-shot": before,
        "bits": (before + change) * per_byte,
        "delta-bits": change * per_byte,
    }
    assert set(wanted) == set(VALUES)
    for name, value in wanted.items():
        found = read(study, value=name)
        assert found.summary("law", "web").mean == pytest.approx(value, rel=1e-5), name
    assert read(study, value="ppl-ratio").summary("zero-shot", "web").mean == pytest.approx(math.exp(before), rel=1e-5)
    assert read(study, value="bits").summary("zero-shot", "web").mean == pytest.approx(before * per_byte, rel=1e-5)


def test_what_differs_in_anything_is_another_cell(own: Workspace) -> None:
    author = author_of(own)
    for way in (Way(lr=1e-4), Way(method="lora"), Way(replay_ratio=0.5), Way(variant="kl"), Way(newlines="strip")):
        author.adapt("law", 0, way, {text: Rise(9.0, 9.0) for text in TEXTS})
    author.adapt("law", 0, Way(wise=(0.5,), variant="wise"), {text: Rise(9.0, 9.0) for text in TEXTS})
    large = Author(own, size="m")
    large.pretrain(0, n_params=300_000)
    large.adapt("law", 0, rises={text: Rise(9.0, 9.0) for text in TEXTS}, n_params=300_000)
    ingest(own)
    found = read(own)
    assert len(found.choices) == 9
    assert found.summary("law", "law").mean == pytest.approx(-1.0, abs=1e-6)
    assert [choice.n_pairs for choice in found.choices] == [12, *[4] * 8]
    texts = {choice.cell.text(("lr",)) for choice in found.choices}
    assert "size m, PTPP 16, full, lr 0.001, replay 0, ATPP 4" in texts
    assert "size s, PTPP 16, full, lr 0.001, replay 0, wise, α 0.5, ATPP 4" in texts
    # Of the cells with one run each the largest model comes first, then less replay, then full fine-tuning.
    assert found.choices[1].cell["size"] == ("m", 300_000)
    assert found.choices[-1].cell["replay_ratio"] == 0.5
    for choice in found.choices[1:]:
        factor = 4.5 if choice.cell["alpha"] == 0.5 else 9.0
        assert read(own, cell=choice.cell).summary("law", "web").mean == pytest.approx(factor, abs=1e-5)


def test_what_no_label_tells_is_another_cell_too(own: Workspace) -> None:
    author = author_of(own)
    author.adapt("law", 0, Way(anneal_share=0.4), {text: Rise(9.0, 9.0) for text in TEXTS})
    other = Author(own)
    other.pretrain(3, lr=5e-3)
    other.adapt("web", 3, rises={text: Rise(8.0, 8.0) for text in TEXTS})
    ingest(own)
    found = read(own)
    assert [choice.n_pairs for choice in found.choices] == [12, 4, 4]
    assert found.summary("web", "web").n == found.summary("law", "law").n == 3
    assert found.notes == ()
    told = " ".join(choice.cell.text(("recipe", "base")) for choice in found.choices)
    assert "anneal_share 0.4" in told
    assert "from base, pretraining lr 0.005" in told
    # As rows of their own, such runs are told apart by what differs.
    variants = read(own, rows_by="variant", where="domain=law")
    assert [row.label for row in variants.rows] == ["anneal_share 0.1", "anneal_share 0.4"]


def test_rows_may_be_other_axes_each_with_its_base(own: Workspace) -> None:
    author = author_of(own)
    for seed in range(3):
        author.adapt("law", seed, Way(variant="kl"), {text: Rise(0.5, 0.5) for text in TEXTS})
    large = Author(own, size="m")
    large.pretrain(1, n_params=300_000)
    large.adapt("law", 1, n_params=300_000)
    ingest(own)
    variants = read(own, rows_by="variant")
    assert [row.label for row in variants.rows] == ["plain", "kl"]
    assert variants.cell_text == "adapted to law, size s, PTPP 16, full, replay 0, ATPP 4"
    assert variants.summary("kl", "web").mean == pytest.approx(0.5, abs=1e-6)
    assert variants.zero_rows == ("zero-shot",)
    sizes = read(own, rows_by="size")
    assert [row.label for row in sizes.rows] == ["size m", "size s"]
    assert sizes.zero_rows == ("zero-shot, size m", "zero-shot, size s")
    assert sizes.summary("zero-shot, size m", "law").n == 1
    assert sizes.summary("zero-shot, size s", "law").n == 3


def test_tokenizers_are_rows_in_bits_only(own: Workspace) -> None:
    second = Author(own, tokenizer_id=SECOND, experiment="second")
    second.prepare()
    second.pretrain(0)
    second.adapt("law", 0)
    ingest(own)
    found = read(own, rows_by="tokenizer")
    assert found.value.name == "delta-bits"
    assert len(found.rows) == 2
    by_label = {row.label: found.summary(row.label, "law") for row in found.rows}
    assert (
        by_label["tokenizer trained on base, 72 tokens"].mean
        < by_label["tokenizer trained on base-second, 72 tokens"].mean
    )
    assert any("only bits per byte" in note for note in found.notes)
    with pytest.raises(ConfigError, match="2 different tokenizers") as caught:
        read(own, rows_by="tokenizer", value="ppl")
    assert "--value delta-bits" in caught.value.hint
    # Rows that are domains never mix tokenizers.
    assert {choice.n_rows for choice in read(own).choices} == {3, 1}


def test_other_domains_that_were_not_scored_are_blank_and_say_which_key_scores_them(tmp_path: Path, capsys) -> None:
    workspace = matrix_workspace(tmp_path / "w", seeds=(0,), scored=())
    found = read(workspace)
    assert found.n_missing == 6
    (gap,) = found.gaps
    assert "evaluate: {other_domains: true}" in gap.sentence
    assert gap.sentence.startswith("6 blank cells (law × novels, …)")
    assert call(workspace) == 0
    assert "other_domains: true" in capsys.readouterr().out


def test_every_blank_cell_has_its_reason(own: Workspace, capsys) -> None:
    author = author_of(own)
    way = Way(variant="odd")
    author.adapt("law", 0, way, {"web": Rise(math.nan, math.nan)})
    author.adapt("novels", 0, way, done=False)
    lonely = author_of(own, scored=("web",))
    lonely.adapt("web", 0, way)
    lonely.scored = ()
    ingest(own)
    with lease(own, write=True) as con:
        con.execute("DELETE FROM evaluations WHERE eval_set_id = 'set-novels' AND model_id LIKE 'pretrain-s-seed0%'")
    found = read(own, where="variant=odd")
    assert [row.label for row in found.rows] == ["law", "novels", "web"]
    reasons = {place: gap.reason for gap in found.gaps for place in gap.places}
    assert reasons["law", "web"] == "the loss is not finite"
    assert reasons["law", "novels"] == "the base state has not been scored on it"
    assert reasons["novels", "law"] == "adapt-novels-r0-lr0.001-odd-s-seed0 is failed: the loss became NaN"
    assert "other_domains: true" in reasons["web", "novels"]
    assert len(reasons) == found.n_missing == 2 + 4 + 2
    assert read(own, where="variant=odd", value="loss").summary("law", "novels") is not None
    assert call(own, "--where", "variant=odd") == 0
    assert "the loss became NaN" in capsys.readouterr().out


def test_of_two_runs_that_no_axis_tells_apart_the_newer_counts(own: Workspace) -> None:
    # The same labels, another specification: as after an edit of something that has no label.
    author = author_of(own, scored=("novels",))
    author.clock.now += 1e6
    author.adapt("law", 0, rises={"law": Rise(7.0, 7.0)})
    ingest(own)
    found = read(own)
    assert found.entry("law", "law").scores[0].delta == pytest.approx(7.0, abs=1e-6)
    assert found.summary("law", "web").n == 2
    assert found.notes[0].startswith("adapt-law-r0-lr0.001-s-seed0-")
    assert "left out" in found.notes[0]


def test_an_experiment_has_the_runs_it_asked_for_whoever_was_first(own: Workspace) -> None:
    law = [one for one in own.run_ids() if one.startswith("adapt-law")]
    own.experiments.mkdir(exist_ok=True)
    (own.experiments / "later-1.yaml").write_text("name: later\n")
    write_json(own.experiments / "later-1.json", {"name": "later", "key": "1", "launched": 1.0, "runs": law})
    assert [row.label for row in read(own, experiment="later").rows] == ["law"]
    assert len(read(own, experiment="study").rows) == 3
    with pytest.raises(ConfigError, match="no experiment 'latr'") as caught:
        read(own, experiment="latr")
    assert "Did you mean 'later'?" in caught.value.hint


def test_orders(own: Workspace) -> None:
    by_change = read(own, order="delta")
    assert [row.label for row in by_change.rows] == ["law", "web", "novels"]
    assert [column.name for column in by_change.columns] == ["law", "web", "novels", "base"]
    assert by_change.orders == ("name", "delta")
    source = read_source(own)
    known = assemble(
        type(source)(**{**vars(source), "similarity": {"law": 0.1, "novels": 0.9, "web": 0.5}}), order="similarity"
    )
    assert [row.label for row in known.rows] == ["novels", "web", "law"]
    assert sorted(["lr 0.01", "lr 0.001", "lr 0.1"], key=natural) == ["lr 0.001", "lr 0.01", "lr 0.1"]


def test_intervals_resample_documents_and_hold_seeds_fixed(own: Workspace) -> None:
    found = read(own)
    scores = found.entry("law", "law").scores
    interval, one = read_intervals(own, [scores, scores[:1]])
    assert interval.mean == pytest.approx(-1.0, abs=1e-6)
    assert interval.low < -1.0 < interval.high
    # Averaged over three seeds, whose noise is their own, documents differ less.
    assert interval.high - interval.low < one.high - one.low
    with lease(own, write=True) as con:
        con.execute("DELETE FROM document_losses WHERE evaluation_id = ?", [scores[1].after])
    assert read_intervals(own, [scores, scores[:1]])[0] is None


def test_the_command_in_every_form(study: Workspace, tmp_path: Path, capsys) -> None:
    assert call(study, "study", "--svg", str(tmp_path / "m.svg")) == 0
    told = capsys.readouterr()
    assert max(map(len, told.out.splitlines())) <= 80
    assert "law         [−1.000±.020]    +0.100±.020" in told.out
    assert "mean ± sd over 3 seeds" in told.out
    ElementTree.parse(tmp_path / "m.svg")
    assert (tmp_path / "m.svg").read_text().count(">−1.000<") == 1
    assert call(study, "--csv", "--intervals") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 4 * 4
    own_text = next(row for row in rows if (row["row"], row["column"]) == ("law", "law"))
    assert float(own_text["delta"]) == pytest.approx(-1.0, abs=1e-6)
    assert float(own_text["ppl_ratio"]) == pytest.approx(math.exp(-1.0), abs=1e-6)
    assert float(own_text["interval_low"]) < -1.0 < float(own_text["interval_high"])
    assert call(study, "--json", "--rows", "variant") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["cell"]["domain"] in DOMAINS
    assert {len(cell["seeds"]) for cell in content["cells"]} == {3}
    assert call(study, "--latex", "--spread", "range") == 0
    latex = capsys.readouterr().out
    assert r"\begin{tabular}{lrrrr}" in latex
    assert r"[$-$1.000$\pm$.020]" in latex


def test_columns_are_put_into_panels_that_fit(tmp_path: Path, capsys) -> None:
    workspace = matrix_workspace(tmp_path / "w", seeds=(0,))
    assert call(workspace, "--intervals") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("adapted to  ") == 2
    assert "*−1.020 [−1." in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rows", "domian"), ("Did you mean 'domain'?",)),
        (("--value", "pll"), ("Did you mean 'ppl'?",)),
        (("--columns", "law,nvels"), ("--columns nvels", "Did you mean 'novels'?")),
        (("--cell", "7"), ("there is 1 cell",)),
        (("--order", "similarity"), ("no similarity of these rows is known",)),
        (("--where", "sise=s"), ("Did you mean 'size'?",)),
        (("--value", "ppl", "--intervals"), ("--intervals are of ΔL",)),
        (("--json", "--csv"), ("exclude each other",)),
    ],
)
def test_mistakes(study: Workspace, capsys, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert call(study, *arguments) in (2, 4)
    told = capsys.readouterr()
    assert told.out == ""
    assert all(word in told.err for word in words), told.err


def test_without_a_result_the_command_says_what_to_do(tmp_path: Path, study: Workspace, capsys) -> None:
    assert call(Workspace.create(tmp_path / "empty")) == 0
    assert "No adapted state has been scored yet" in capsys.readouterr().out
    assert call(study, "--size", "xl") == 0
    assert "There is size: s." in capsys.readouterr().out
    assert call(study, "--size", "xl", "--svg", str(tmp_path / "m.svg")) == 4
    assert not (tmp_path / "m.svg").exists()
    source = narrow(read_source(study), variant="plain", replay=0.0)
    assert len(assemble(source).rows) == 3
    assert narrow(read_source(study), variant="kl").states == ()
    assert call(Workspace.open(tmp_path / "empty"), "nope") == 2
    assert "Nothing has been launched here" in capsys.readouterr().err


def test_colours_tell_rises_from_falls_and_can_be_written_on() -> None:
    scale = Scale.of([-0.5, 1.0, math.inf], change=True)
    assert (scale.low, scale.high) == (-1.0, 1.0)
    assert scale.share(math.inf) == 1.0
    assert scale.share(-0.5) == -0.5
    for dark in (True, False):
        fall, none, rise = (scale.color(value, dark=dark) for value in (-1.0, 0.0, 1.0))
        assert fall[2] > fall[0]
        assert rise[0] > rise[2]
        assert len(set(none)) == 1
    assert ink_on((255, 255, 255)) == (0, 0, 0)
    assert ink_on((18, 18, 18)) == (255, 255, 255)
    level = Scale.of([2.0, 4.0], change=False)
    assert (level.share(2.0), level.share(3.0), level.share(9.0)) == (0.0, 0.5, 1.0)
    assert Scale.of([], change=True).share(0.0) == 0.0
