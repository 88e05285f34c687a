"""Tables: the same rows as text, JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click
import numpy as np
import pytest

from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.services.format import cut, pad, width_of
from odyssey_tui.services.tables import json_text


class Pair(NamedTuple):
    number: int
    text: str


COLUMNS = (
    Column("name", "name"),
    Column("delta", "ΔL", "+.3f"),
    Column("note", "note", drop=1),
)
ROWS = [
    {"name": "first_run", "delta": 0.0123456789, "note": "50% & more"},
    {"name": "second", "delta": None, "note": ""},
]


def test_text_is_aligned_and_rounded(capsys) -> None:
    emit_table(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        "name           ΔL  note",
        "first_run  +0.012  50% & more",
        "second          –",
    ]


def test_json_and_csv_keep_full_precision(capsys) -> None:
    emit_table(COLUMNS, ROWS, json=True)
    assert json.loads(capsys.readouterr().out) == ROWS
    emit_table(COLUMNS, ROWS, csv=True)
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert read[0] == {"name": "first_run", "delta": "0.0123456789", "note": "50% & more"}
    assert read[1]["delta"] == ""


def test_latex_is_escaped(capsys) -> None:
    emit_table(COLUMNS, ROWS, latex=True)
    out = capsys.readouterr().out
    assert r"name & $\Delta$L & note \\" in out
    assert r"first\_run & +0.012 & 50\% \& more \\" in out
    assert out.startswith(r"\begin{tabular}{lrl}")


def test_a_wide_table_cuts_texts_then_drops_columns_and_says_so(capsys) -> None:
    columns = [Column("name"), *(Column(f"number{index}", drop=index) for index in range(1, 9))]
    rows = [["n" * 60, *[123456.0] * 8]]
    emit_table(columns, rows)
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[1].startswith("n" * 25 + "…")
    assert "number8" in err
    assert max(map(len, err.splitlines())) <= 80
    assert "number1" in out
    assert "number8" not in out


def test_texts_of_a_table_without_droppable_columns_shrink_further(capsys) -> None:
    emit_table([Column(f"text{index}") for index in range(6)], [["x" * 40] * 6])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()[0].split()) == 6


def test_no_rows_say_so_in_text_only(capsys) -> None:
    emit_table(COLUMNS, [], empty="no runs yet")
    assert capsys.readouterr().out == "no runs yet\n"
    emit_table(COLUMNS, [], json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_json_has_no_nan(capsys) -> None:
    emit_json({"a": float("nan"), "b": [float("inf"), 1.5]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5]}


def test_forms_exclude_each_other() -> None:
    with pytest.raises(click.UsageError):
        emit_table(COLUMNS, ROWS, json=True, csv=True)


def test_a_row_of_the_wrong_length_is_a_bug() -> None:
    with pytest.raises(ValueError, match="2 values under 3 columns"):
        emit_table(COLUMNS, [["a", 1.0]])


def test_wide_characters_take_two_cells_and_controls_are_spelled_out(capsys) -> None:
    rows = [("数字" * 20, 1), ("plain\x1b[2J", 22)]
    emit_table(["name", "count"], rows)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    lines = out.splitlines()
    assert [width_of(line) for line in lines] == [width_of(lines[0])] * 3
    assert max(map(width_of, lines)) <= 80
    assert "\\x1b[2J" in out


def test_every_character_has_the_width_that_unicode_gives_it() -> None:
    for char in map(chr, range(ord(" "), 0x30000)):
        expected = 0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        assert width_of(char) == expected, hex(ord(char))


def test_texts_are_cut_and_filled_by_cells() -> None:
    assert cut("数字数字", 5) == "数字…"
    assert cut("数字数字", 4) == "数…"
    assert (pad("数", 4), pad("e\u0301x", 4, right=True)) == ("数  ", "  e\u0301x")
    assert width_of("🙂 שלום") == 7


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": "},\n    {", "b": 0.5, "c": None, "d": []}, {"a": "π", "b": 3, "c": True, "d": []}],
        [{"a": 1, "d": ["x"]}, {"a": 2, "d": []}],
        [{"a": {"b": 1}}, {}, [1, 2], "x"],
        [],
    ],
)
def test_json_of_many_rows_is_indented_like_any_other(rows: list[Any]) -> None:
    assert json_text(rows) == json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("value", [1e-5, -1e300, 2**80, {"text": "half a pair \ud800"}, {1: "a", None: "b"}])
def test_json_keeps_every_value(value: object) -> None:
    assert json.loads(json_text([value])) == json.loads(json.dumps([value]))


def test_json_of_other_kinds_is_their_text() -> None:
    assert json.loads(json_text({"path": Path("a/b"), "pair": Pair(1, "x"), "map": MappingProxyType({"k": 2})})) == {
        "path": "a/b",
        "pair": [1, "x"],
        "map": {"k": 2},
    }


def test_json_has_no_number_that_is_none() -> None:
    rows = [{"a": math.nan, "b": np.int64(3)}, {"a": -math.inf, "b": np.float64(0.5)}]
    assert json.loads(json_text(rows)) == [{"a": None, "b": 3}, {"a": None, "b": 0.5}]
