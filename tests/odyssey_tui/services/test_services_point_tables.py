"""Which rows of a table are fitted, held out, grouped, and what is refused before anything is fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from odyssey_tui.services.point_tables import LoadedPoints, load_points, tell_left_out
from store.errors import ConfigError, DataError, OdysseyError
from tests.support import law_tables


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return law_tables.write(tmp_path / "points.csv", law_tables.rows(("target", "base")))


def load(path: Path, **options: Any) -> LoadedPoints:
    return load_points([path], **{"mapped": {}, "role": "target", **options})


def test_where_and_holdout_choose_rows(table: Path) -> None:
    points = load(table, where="n_params>2e4", holdout=["ptpp=64 and replay_ratio=0", "atpp=8"])
    columns = points.columns
    assert set(columns["n_params"]) == {6e4, 1.5e5}
    for ptpp, rho, atpp, split in zip(
        columns["ptpp"], columns["replay_ratio"], columns["atpp"], columns["split"], strict=True
    ):
        assert (split == "score") == ((ptpp == 64 and rho == 0) or atpp == 8)
    assert points.n_fit + points.n_held_out == len(columns["loss"]) == 96
    assert points.n_filtered == 144 * 2 - 96
    assert "(rows that differ in D alone)" in points.sentence
    assert len(set(columns["run"])) == 24


def test_the_share_follows_from_the_role(table: Path) -> None:
    for role in ("target", "base"):
        columns = load(table, role=role).columns
        for rho, share in zip(columns["replay_ratio"], columns["share"], strict=True):
            assert share == (1 - rho if role == "target" else rho)


def test_the_base_rows_give_the_quality_of_the_checkpoint(table: Path) -> None:
    columns = load(table).columns
    for n, p, quality in zip(columns["n_params"], columns["ptpp"], columns["quality"], strict=True):
        assert quality == pytest.approx(law_tables.zero_shot(n, p, "base"))


def test_groups_as_given_or_each_row(tmp_path: Path) -> None:
    rows = [{**row, "group": f"g{index % 5}"} for index, row in enumerate(law_tables.rows())]
    assert set(load(law_tables.write(tmp_path / "a.csv", rows)).columns["run"]) == {f"g{index}" for index in range(5)}
    curve = [{"N": 1e6 * n, "D": 2e7 * n, "L": 3.0 + 1 / n} for n in (1, 2, 3)]
    points = load(law_tables.write(tmp_path / "b.csv", curve))
    assert len(set(points.columns["run"])) == 3
    assert "each row by itself" in points.sentence


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"holdout": ["ptpp=279"]}, ConfigError, "holds no row out.*There is ptpp: 8, 16, 64"),
        ({"holdout": ["ptpp>0"]}, ConfigError, "holds every row out"),
        ({"where": "n_params>1e9"}, DataError, "accepts none of 144 rows.*There is n_params: 20000, 60000, 150000"),
        ({"where": "ptp=8"}, ConfigError, "--where: filter, column 1: there is no key 'ptp'.*Did you mean 'ptpp'"),
        ({"holdout": ["ptpp=high"]}, ConfigError, "--holdout: filter, column 6: 'ptpp' is a number"),
    ],
)
def test_filters_that_make_no_sense_say_why(table: Path, options: Any, error: type[OdysseyError], words: str) -> None:
    with pytest.raises(error, match=f"(?s){words}"):
        load(table, **options)


def test_a_law_mixes_no_corpora_and_no_methods(tmp_path: Path) -> None:
    rows = [{**row, "corpus": "fr" if row["atpp"] > 2 else "ar"} for row in law_tables.rows()]
    path = law_tables.write(tmp_path / "points.csv", rows)
    with pytest.raises(DataError, match=r"2 values of 'corpus': ar, fr.*\n.*--where 'corpus=ar'"):
        load(path)
    assert len(load(path, where="corpus=ar").columns["loss"]) == 72


@pytest.mark.parametrize(
    ("column", "odd", "words", "where"),
    [
        ("variant", "kl", r"'variant': kl, none; a law is of one\n.*--where 'variant=kl'", 'variant=""'),
        ("newlines", "strip", r"'newlines': keep, strip; .*\n.*--where 'newlines=\"\"'", 'newlines=""'),
        ("tokenizer_id", "b", r"'tokenizer': a, b; .*\n.*--where 'tokenizer=a'", "tokenizer=a"),
    ],
)
def test_a_law_mixes_no_variants_texts_or_tokenizers(
    tmp_path: Path, column: str, odd: str, words: str, where: str
) -> None:
    usual = "a" if column == "tokenizer_id" else ""
    rows = [{**row, column: odd if row["atpp"] > 2 else usual} for row in law_tables.rows()]
    path = law_tables.write(tmp_path / "points.csv", rows)
    with pytest.raises(DataError, match=f"(?s){words}"):
        load(path)
    assert len(load(path, where=where).columns["loss"]) == 72


def test_rows_left_out_are_told_by_reason(tmp_path: Path) -> None:
    rows = law_tables.rows()[:4]
    rows += [rows[0], rows[1], {**rows[2], "loss": "nan"}, {**rows[3], "loss": 0}]
    points = load(law_tables.write(tmp_path / "points.csv", rows))
    told = " ".join(tell_left_out(points.left_out))
    assert "2 rows left out: a duplicate (line 6, line 7)." in told
    assert "1 row left out: its loss is not positive (line 9)." in told
    assert "'nan', which is no number (line 8)" in told
