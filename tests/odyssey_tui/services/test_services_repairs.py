"""Ways to adapt side by side: numbers by hand, differences within seeds, and words no stronger than intervals."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.stats import t_interval, t_quantile
from odyssey_tui.cli.main import run
from odyssey_tui.services.matrix_source import parse_where, read_source
from odyssey_tui.services.repairs import Repairs, compare_repairs
from odyssey_tui.services.repairs_words import tell_repairs, tell_row
from store.database import lease
from store.errors import ConfigError
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.synthetic_matrix import Author, Rise, Way, effect

KEPT = {"law": Rise(-0.9, -1.0), "base": Rise(0.2, 0.2)}
STRIPPED = {"law": Rise(2.0, -0.9), "base": Rise(0.35, 0.35)}
LORA = {"law": Rise(-0.5, -0.6), "base": Rise(0.05, 0.05)}
BETTER = -0.04
"""How much lower the variant ``kl`` is than plain, everywhere; seeds differ by ``WOBBLE``."""
WOBBLE = (0.001, -0.002, 0.001)


def write(path: Path, seeds: int) -> Workspace:
    """Plain runs with WiSE-FT, stripped newlines, a variant, LoRA and replay, of one domain."""
    workspace = Workspace.create(path)
    author = Author(workspace, scored=("novels",))
    author.prepare()
    for seed in range(seeds):
        author.pretrain(seed)
        author.adapt("law", seed, Way(wise=(0.5,)), KEPT)
        author.adapt("law", seed, Way(newlines="strip"), STRIPPED)
        author.adapt("law", seed, Way(method="lora", lr=1e-2), LORA)
        author.adapt("law", seed, Way(replay_ratio=0.25), {"law": Rise(-0.8, -0.9), "base": Rise(0.1, 0.1)})
        shift = BETTER + WOBBLE[seed]
        lower = {name: Rise(rise.newline + shift, rise.rest + shift) for name, rise in KEPT.items()}
        author.adapt("law", seed, Way(variant="kl"), lower)
    ingest(workspace)
    return workspace


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Of three seeds."""
    return write(tmp_path_factory.mktemp("three") / "workspace", 3)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Of one seed."""
    return write(tmp_path_factory.mktemp("one") / "workspace", 1)


def read(workspace: Workspace, *, where: str = "", **options) -> Repairs:
    return compare_repairs(workspace, read_source(workspace, None, parse_where(where)), **options)


def call(workspace: Workspace, *arguments: str) -> int:
    return run(["-w", str(workspace.root), "repairs", *arguments])


def test_each_way_is_named_by_what_it_does_otherwise(three: Workspace) -> None:
    found = read(three)
    assert [row.label for row in found.rows] == [
        "plain",
        "kl",
        "lora r8, lr 0.01",
        "newlines stripped",
        "replay 0.25",
        "α 0.5",
    ]
    assert found.plain.words == "full, lr 0.001, replay 0"
    assert (found.domain, found.text, found.called) == ("law", "law", "plain")
    assert found.cell_text == "size s, PTPP 16, ATPP 4"


def test_changes_are_split_by_token_class_and_add_up(three: Workspace) -> None:
    share = Author(three).newline_share("law")
    for row, rises in ((0, KEPT), (3, STRIPPED)):
        found = read(three).rows[row]
        assert found.n_seeds == 3
        assert found.of_class.mean == pytest.approx(share * rises["law"].newline, abs=1e-5)
        assert found.rest.mean == pytest.approx((1 - share) * rises["law"].rest, abs=1e-5)
        assert found.target.mean == pytest.approx(found.of_class.mean + found.rest.mean, abs=1e-9)
        assert found.ppl_ratio == pytest.approx(math.exp(found.target.mean))
        assert found.base.mean == pytest.approx(rises["base"].rest, abs=1e-5)
    everything = read(three, classes=("newline", "word", "function", "digits", "punctuation", "whitespace", "special"))
    assert everything.rows[0].rest.mean == pytest.approx(0.0, abs=1e-12)


def test_interpolated_weights_are_a_way_of_their_own(three: Workspace) -> None:
    found = read(three)
    half = found.rows[-1]
    assert half.ways["alpha"] == 0.5
    assert half.target.mean == pytest.approx(found.rows[0].target.mean / 2, abs=1e-4)


def test_differences_are_within_seeds_and_judged_over_three_of_them(three: Workspace) -> None:
    found = {row.label: row for row in read(three).rows}
    against = found["kl"].against_target
    assert against.mean == pytest.approx(BETTER + sum(WOBBLE) / 3, abs=1e-6)
    sd = np.std(WOBBLE, ddof=1)
    assert against.high - against.mean == pytest.approx(4.302653 * sd / math.sqrt(3), rel=1e-3)
    assert against.how == "t, 3 seeds"
    assert against.differs
    assert found["plain"].against_target is None


def test_of_fewer_seeds_documents_are_resampled(one: Workspace) -> None:
    found = {row.label: row for row in read(one).rows}
    against = found["newlines stripped"].against_target
    assert against.how == "8 documents, 1 seed"
    assert against.low < against.mean < against.high
    share = Author(one).newline_share("law")
    wanted = share * (2.0 + 0.9) + (1 - share) * 0.1
    assert against.mean == pytest.approx(wanted, abs=1e-5)
    assert "One seed each" in " ".join(read(one).notes)


def test_without_losses_by_document_there_is_a_difference_and_no_interval(one: Workspace, tmp_path: Path) -> None:
    shutil.copytree(one.root, tmp_path / "workspace")
    workspace = Workspace.open(tmp_path / "workspace")
    with lease(workspace, write=True) as con:
        con.execute("DELETE FROM document_losses")
        con.execute("DELETE FROM type_losses")
    (_, row, *_) = read(workspace).rows
    assert row.against_target.mean == pytest.approx(BETTER + WOBBLE[0], abs=1e-6)
    assert row.against_target.low is None
    assert row.of_class is None
    assert row.target is not None
    assert "without an interval" in tell_row(read(workspace), row)


def test_sentences_say_what_intervals_allow(three: Workspace) -> None:
    best, base, both = tell_repairs(read(three))
    assert best.startswith("Lowest ΔL on law: kl (")
    assert "below plain" in best
    assert "(t, 3 seeds); chosen of 6 by the same numbers." in best
    assert base.startswith("Lowest ΔL on the base text: lora r8, lr 0.01 (+0.050±.000)")
    assert both == "Below plain on both texts, by their intervals: kl."
    only = read(three, where="variant!=kl and method!=lora")
    assert tell_repairs(only)[0].startswith("Lowest ΔL on law: plain (")
    assert tell_repairs(only)[-1] == "No way is below plain on both texts by its intervals."
    alone = read(three, where="variant=kl")
    assert tell_repairs(alone) == ["One way to adapt only: nothing to compare it with."]


def test_what_cannot_be_told_apart_is_said_so(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    author = Author(workspace, scored=())
    author.prepare()
    for seed in range(3):
        author.pretrain(seed)
        author.adapt("law", seed)
        shifted = effect("law", "law", seed) + (-0.05, 0.04, -0.02)[seed]
        author.adapt("law", seed, Way(variant="odd"), {"law": Rise(shifted, shifted)})
    ingest(workspace)
    assert (
        "odd (−1.010±.056); not told apart from plain, −0.010 [−0.124, +0.104] (t, 3 seeds)."
        in tell_repairs(read(workspace))[0]
    )


def test_another_reference_is_called_one(three: Workspace) -> None:
    found = read(three, plain="method=lora")
    assert found.called == "the reference"
    assert found.plain.words == "lora r8, lr 0.01, replay 0"
    assert found.rows[0].is_plain
    assert "full, lr 0.001" in {row.label for row in found.rows}
    none = read(three, where="replay>0")
    assert none.plain is None
    with pytest.raises(ConfigError, match="fits 4 of the ways") as caught:
        read(three, plain="lr=0.001 and newlines=keep")
    assert "It fits: " in caught.value.hint


def test_another_text_may_count(three: Workspace) -> None:
    found = read(three, text="novels")
    assert found.text == "novels"
    assert found.rows[0].target.mean == pytest.approx(effect("law", "novels", 1), abs=1e-5)


def test_seeds_whose_loss_is_not_finite_are_counted(three: Workspace, tmp_path: Path) -> None:
    shutil.copytree(three.root, tmp_path / "workspace")
    workspace = Workspace.open(tmp_path / "workspace")
    author = Author(workspace, scored=())
    author.bases = {
        seed: next(one for one in workspace.run_ids() if one.startswith(f"pretrain-s-seed{seed}")) for seed in range(3)
    }
    nothing = Rise(math.nan, math.nan)
    for seed in range(3):
        author.adapt("law", seed, Way(variant="hot"), {"law": nothing} if seed else KEPT)
    ingest(workspace)
    found = read(workspace)
    hot = next(row for row in found.rows if row.label == "hot")
    assert hot.n_seeds == 1
    assert found.notes == ("hot: no finite ΔL of 2 of 3 seeds.",)


def test_the_command_in_every_form(three: Workspace, capsys) -> None:
    assert call(three, "study") == 0
    told = capsys.readouterr()
    assert max(map(len, told.out.splitlines())) <= 80
    assert "plain: full, lr 0.001, replay 0." in told.out.lower()
    assert "kl                 " in told.out
    assert call(three, "--csv", "--class", "newline") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["repair"] for row in rows][:2] == ["plain", "kl"]
    assert float(rows[1]["target_against_plain"]) == pytest.approx(BETTER, abs=1e-3)
    assert rows[1]["best_target"] == "True"
    assert call(three, "--json", "--domain", "law") == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["rows"]) == 6
    assert content["sentences"][0].startswith("Lowest ΔL on law: kl")
    assert call(three, "--latex") == 0
    assert r"newlines stripped & 3 & $-$" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--domain", "lwa"), ("nothing here was adapted to it", "Did you mean 'law'?")),
        (("--class", "newlin"), ("Did you mean 'newline'?",)),
        (("--set", "novel"), ("Did you mean 'novels'?",)),
        (("--plain", "varant=x"), ("Did you mean 'variant'?",)),
        (("--cell", "3"), ("there is 1 cell",)),
        (("sudy",), ("Did you mean 'study'?",)),
    ],
)
def test_mistakes(three: Workspace, capsys, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert call(three, *arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert all(word in told.err for word in words), told.err


def test_without_results_it_says_what_to_do(tmp_path: Path, capsys) -> None:
    workspace = Workspace.create(tmp_path / "w")
    for form in ((), ("--csv",), ("--json",), ("--latex",)):
        assert call(workspace, *form) == 0
    assert "No adapted state has been scored yet" in capsys.readouterr().out


def test_students_quantiles_and_interval() -> None:
    from scipy import stats

    for df in (1, 2, 5, 10, 11, 30, 200):
        assert t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=2e-4)
    found = t_interval([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1.0, 2.0, 4.0]))
    assert (found.mean, found.low, found.high) == pytest.approx((7 / 3, low, high), rel=1e-5)
    assert t_interval([1.0]).low is None
    assert t_interval([]).reason == "no values"
    assert t_interval([1.0, math.nan]).mean is None
