"""What a screen shows as a file: its figure as SVG or PNG, its table as CSV or LaTeX, all of it as JSON.

A page is Markdown. The name of the file says which. A file is written whole or not at all, and none is overwritten but
SVG figures that were written here before.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.tables import Column, Row, csv_text, json_text, latex_text
from store.errors import ConfigError, DataError
from store.files import write_atomic

if TYPE_CHECKING:
    from odyssey_tui.plots.figure import Figure
    from odyssey_tui.plots.series import View

SUFFIXES = (".svg", ".png", ".csv", ".tex", ".json", ".md")
FIGURES = (".svg", ".png")
CONVERTERS: dict[str, tuple[str, ...]] = {
    "rsvg-convert": ("--zoom", "2", "--output", "{png}", "{svg}"),
    "resvg": ("--zoom", "2", "{svg}", "{png}"),
    "inkscape": ("--export-type=png", "--export-dpi=192", "--export-filename={png}", "{svg}"),
}
"""Programs that turn SVG into PNG, and what they are told; we bring none."""
CONVERSION_S = 60


@dataclass(frozen=True)
class Exportable:
    """What can be written: a figure, a table, a record of everything, a page; ``stem`` is the file's name as proposed.

    ``view`` is what of the figure is seen: scales, limits, smoothing. ``drawing`` is an SVG document instead of a
    figure, ``wide`` another table for LaTeX.
    """

    stem: str
    figure: Figure | None = None
    columns: Sequence[Column] = ()
    rows: Sequence[Row] = ()
    record: Any = None
    drawing: str = ""
    wide: tuple[Sequence[Column], Sequence[Row]] | None = None
    document: Callable[[], str] | None = None
    """Makes a page of Markdown."""
    view: View | None = None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The forms there are, the figure's first."""
        has_figure = bool(self.drawing) or (self.figure is not None and not self.figure.is_empty)
        there = {".svg": has_figure, ".png": has_figure, ".json": self.record is not None}
        there[".md"] = self.document is not None
        return tuple(suffix for suffix in SUFFIXES if there.get(suffix, bool(self.rows)))


def export(exportable: Exportable, target: Path) -> Path:
    """Write ``target`` in the form that its name asks for; returns its absolute path.

    Raises ConfigError for a name that asks for nothing there is, or a file there that is something else; DataError
    where no program makes a PNG; WorkspaceError when the file system refuses.
    """
    target = target.expanduser().absolute()
    suffix = target.suffix.lower()
    known = exportable.suffixes
    if suffix not in known:
        what = f"no name of a file that can be written here: it ends in {suffix or 'nothing'}"
        raise ConfigError(f"{target.name or target} is {what}", f"Endings are {', '.join(known) or 'none'}.")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder", f"Name a file in it, such as {exportable.stem}{suffix}.")
    if suffix == ".png":
        write_png(exportable, target)
        return target
    refuse_other(target)
    writers: dict[str, Callable[[], str]] = {
        ".svg": lambda: svg_text(exportable),
        ".csv": lambda: csv_text(exportable.columns, exportable.rows),
        ".tex": lambda: latex_text(*(exportable.wide or (exportable.columns, exportable.rows))),
        ".json": lambda: json_text(exportable.record),
        ".md": lambda: exportable.document() if exportable.document is not None else "",
    }
    write_atomic(target, writers[suffix]())
    return target


def save_figure(figure: Figure, target: Path) -> Path:
    """Write a figure as ``.svg`` or ``.png``, as ``export`` does."""
    if figure.is_empty:
        raise DataError("there is nothing to draw, so no figure was written")
    return export(Exportable(target.stem, figure), target)


def svg_text(exportable: Exportable) -> str:
    """The figure as SVG, on white."""
    from odyssey_tui.plots.series import View
    from odyssey_tui.plots.svg import draw_svg

    if exportable.drawing:
        return exportable.drawing
    if exportable.figure is None:
        raise DataError("there is nothing to draw, so no figure was written")
    return draw_svg(exportable.figure, view=exportable.view or View())


def refuse_other(target: Path) -> None:
    """ConfigError for a file that is there, unless it is a figure that was written here before."""
    from odyssey_tui.plots.svg_shapes import GENERATOR  # brings numpy, for which the first frame does not wait

    try:
        with target.open("rb") as file:
            begins = file.read(200)
    except OSError:
        return  # there is none; or writing it will say what is wrong
    if not (target.suffix.lower() == ".svg" and GENERATOR.encode() in begins):
        raise ConfigError(f"{target} is there already", "Give another name, or remove it first.")


def free_name(folder: Path, stem: str, suffix: str = ".svg") -> str:
    """A name in ``folder`` that is not taken: ``STEM.svg``, ``STEM-2.svg``, …"""
    names = (f"{stem}{number}{suffix}" for number in ("", *(f"-{count}" for count in range(2, 1000))))
    return next((name for name in names if not (folder / name).exists()), f"{stem}{suffix}")


def write_png(exportable: Exportable, target: Path) -> None:
    """By way of an SVG beside it and a program that this machine has."""
    program = next((name for name in CONVERTERS if shutil.which(name)), None)
    if program is None:
        raise DataError(
            "no program here turns SVG into PNG",
            f"Write .svg, or install one of {', '.join(CONVERTERS)} (librsvg has rsvg-convert).",
        )
    refuse_other(target)
    drawn, made = (target.with_name(f".{target.stem}.part{suffix}") for suffix in FIGURES)
    try:
        write_atomic(drawn, svg_text(exportable))
        command = [program, *(part.format(svg=drawn, png=made) for part in CONVERTERS[program])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CONVERSION_S, check=False)
        if done.returncode or not made.exists():
            said = " ".join(done.stderr.split())[-200:] or f"it ended with status {done.returncode}"
            raise DataError(f"{program} made no PNG: {said}", "Write .svg instead.")
        write_atomic(target, made.read_bytes())
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{program} made no PNG in {CONVERSION_S} s", "Write .svg instead.") from error
    finally:
        for file in (drawn, made):
            file.unlink(missing_ok=True)
