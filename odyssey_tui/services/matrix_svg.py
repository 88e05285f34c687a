"""The matrix as an SVG heat map: coloured cells with their numbers, own texts outlined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from odyssey_tui.plots.palette import color_of
from odyssey_tui.plots.svg_shapes import FONT, GENERATOR, SMALL, TEXT, TITLE, clean, hexadecimal, measure, words
from odyssey_tui.services.heat import Scale, ink_on
from odyssey_tui.services.matrix_export import cell_text, head_of

if TYPE_CHECKING:
    from odyssey_tui.services.matrix import Matrix

ROW_HEIGHT = 24.0
LEAST_WIDTH, EDGE = 46.0, 12.0
MISSING = "no result"


def draw_matrix(matrix: Matrix, *, dark: bool = False) -> str:
    """One SVG document, as large as the matrix needs."""
    labels = matrix.row_labels
    texts = {
        (row, column.name): cell_text(matrix.value_of(row), matrix.summary(row, column.name), "none")
        for row in labels
        for column in matrix.columns
    }
    widest = max((measure(text, SMALL) for text in texts.values()), default=0.0)
    cell = max(LEAST_WIDTH, widest + 16)
    left = EDGE + max(measure(label, TEXT) for label in (head_of(matrix), *labels)) + 10
    slant = max((measure(column.name, SMALL) for column in matrix.columns), default=0.0)
    slanted = slant > cell - 6
    top = 62.0 + (slant * 0.71 + 12 if slanted else 20)
    width = max(left + cell * len(matrix.columns), measure(matrix.cell_text, SMALL) + EDGE, 360.0) + EDGE
    width += slant * 0.71 if slanted else 0
    height = top + ROW_HEIGHT * len(labels) + 40 + 16 * len(notes_of(matrix))
    ground, text, muted = (
        (18, 18, 18) if dark else (255, 255, 255),
        color_of("text", dark=dark),
        color_of("muted", dark=dark),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {GENERATOR} width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}" font-size="{TEXT:g}">',
        f"<title>{clean(matrix.title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="{hexadecimal(ground)}"/>',
        words(EDGE, 26, matrix.title, hexadecimal(text), TITLE),
        words(EDGE, 44, matrix.cell_text, hexadecimal(muted), SMALL),
        *draw_heads(matrix, left, top, cell, hexadecimal(muted), slanted=slanted),
        *draw_cells(matrix, texts, left, top, cell, dark=dark),
        *(
            words(EDGE, top + ROW_HEIGHT * len(labels) + 26 + 16 * number, note, hexadecimal(muted), SMALL)
            for number, note in enumerate(notes_of(matrix))
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def notes_of(matrix: Matrix) -> list[str]:
    """What must be known to read it."""
    seeds = {row.n_seeds for row in matrix.rows}
    several = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else f"{max(seeds, default=0)} seeds"
    mean = [f"Means over {several}."] if max(seeds, default=0) > 1 else []
    outlined = ["Outlined: scored on the domain adapted to."] if matrix.rows else []
    missing = [f"{matrix.n_missing} cells have {MISSING}."] if matrix.n_missing else []
    return [" ".join([*mean, *outlined, *missing]), *matrix.notes]


def draw_heads(matrix: Matrix, left: float, top: float, cell: float, color: str, *, slanted: bool) -> Iterator[str]:
    """Names of rows and columns."""
    yield words(EDGE, top - 8, head_of(matrix), color, SMALL)
    for number, column in enumerate(matrix.columns):
        x = left + cell * (number + 0.5)
        if slanted:
            yield (
                f'<text transform="translate({x:.1f},{top - 8:.1f}) rotate(-45)" font-size="{SMALL:g}" '
                f'fill="{color}">{clean(column.name)}</text>'
            )
        else:
            yield words(x, top - 8, column.name, color, SMALL, "middle")
    for number, label in enumerate(matrix.row_labels):
        yield words(left - 8, top + ROW_HEIGHT * (number + 0.5) + 4, label, color, TEXT, "end")


def draw_cells(
    matrix: Matrix, texts: dict[tuple[str, str], str], left: float, top: float, cell: float, *, dark: bool
) -> Iterator[str]:
    """The cells; those of the zero-shot rows have no colour, for theirs is another scale."""
    scale = scale_of(matrix)
    outline, muted = hexadecimal(color_of("text", dark=dark)), hexadecimal(color_of("muted", dark=dark))
    outlined = []
    for down, row in enumerate(matrix.row_labels):
        for across, column in enumerate(matrix.columns):
            x, y = left + cell * across, top + ROW_HEIGHT * down
            summary, entry = matrix.summary(row, column.name), matrix.entry(row, column.name)
            place = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:.1f}" height="{ROW_HEIGHT - 2:.1f}"'
            if summary is None:
                yield f'<rect {place} fill="none" stroke="{muted}" stroke-width="0.5" stroke-dasharray="2 3"/>'
                continue
            ink = outline
            if row not in matrix.zero_rows:
                ground = scale.color(matrix.value.heat(summary.mean), dark=dark)
                ink = hexadecimal(ink_on(ground))
                yield f'<rect {place} fill="{hexadecimal(ground)}"/>'
            yield words(x + cell / 2, y + ROW_HEIGHT / 2 + 4, texts[row, column.name], ink, SMALL, "middle")
            if entry is not None and entry.own:
                outlined.append(f'<rect {place} fill="none" stroke="{outline}" stroke-width="1.6"/>')
    yield from outlined


def scale_of(matrix: Matrix) -> Scale:
    """The scale of a matrix's colours: of all its cells but the zero-shot rows."""
    found = (matrix.summary(row.label, column.name) for row in matrix.rows for column in matrix.columns)
    return Scale.of(
        (matrix.value.heat(summary.mean) for summary in found if summary is not None), change=matrix.value.change
    )
