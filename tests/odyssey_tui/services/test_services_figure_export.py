"""Figures and tables as files: the ending decides, and nothing of others is overwritten."""

from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path

import pytest

from odyssey_tui.plots.figure import Figure
from odyssey_tui.services.figure_export import CONVERTERS, Exportable, export, free_name, save_figure
from odyssey_tui.services.tables import Column
from store.errors import ConfigError, DataError

FIGURE = Figure("title", "x", "y").scatter([1, 2], [3, 4])
SHOWN = Exportable(
    "shown", FIGURE, [Column("name"), Column("delta", "ΔL", "+.3f")], [{"name": "a", "delta": 0.12345}], {"r": 0.5}
)


def test_the_ending_says_what_is_written(tmp_path: Path) -> None:
    for suffix in (".svg", ".csv", ".tex", ".json"):
        target = export(SHOWN, tmp_path / f"out{suffix}")
        assert target.is_absolute()
    assert (tmp_path / "out.svg").read_text().startswith("<svg ")
    with (tmp_path / "out.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"name": "a", "delta": "0.12345"}]
    assert r"$\Delta$L" in (tmp_path / "out.tex").read_text()
    assert "+0.123" in (tmp_path / "out.tex").read_text()
    assert json.loads((tmp_path / "out.json").read_text()) == {"r": 0.5}


def test_unknown_endings_and_folders_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.pdf") as caught:
        export(SHOWN, tmp_path / "out.pdf")
    assert ".svg, .png, .csv, .tex, .json" in caught.value.hint
    (tmp_path / "sub.svg").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        export(SHOWN, tmp_path / "sub.svg")
    with pytest.raises(ConfigError, match="ends in nothing"):
        export(SHOWN, tmp_path / "out")
    assert Exportable("s", Figure()).suffixes == ()


def test_only_figures_of_ours_are_written_anew(tmp_path: Path) -> None:
    export(SHOWN, tmp_path / "a.svg")
    export(SHOWN, tmp_path / "a.svg")
    for name in ("b.svg", "b.csv", "b.json"):
        (tmp_path / name).write_text("<svg>mine</svg>")
        with pytest.raises(ConfigError, match="is there already"):
            export(SHOWN, tmp_path / name)
        assert (tmp_path / name).read_text() == "<svg>mine</svg>"


def test_a_name_that_is_free_is_proposed(tmp_path: Path) -> None:
    assert free_name(tmp_path, "figure") == "figure.svg"
    (tmp_path / "figure.svg").touch()
    (tmp_path / "figure-2.svg").touch()
    assert free_name(tmp_path, "figure") == "figure-3.svg"


def test_an_empty_figure_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        save_figure(Figure("empty"), tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []


def converter(folder: Path, script: str) -> None:
    program = folder / "rsvg-convert"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_png_by_a_program_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    monkeypatch.setenv("PATH", str(bin_folder))
    with pytest.raises(DataError, match="turns SVG into PNG") as caught:
        export(SHOWN, tmp_path / "a.png")
    assert all(name in caught.value.hint for name in CONVERTERS)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}/bin{os.pathsep}/usr/bin")
    converter(bin_folder, 'head -c 4 "$5" > "$4"')  # zoom 2, output PNG, SVG
    assert export(SHOWN, tmp_path / "a.png").read_bytes() == b"<svg"
    converter(bin_folder, 'echo "no such font" >&2; exit 3')
    with pytest.raises(DataError, match="made no PNG: no such font"):
        export(SHOWN, tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "bin"]
