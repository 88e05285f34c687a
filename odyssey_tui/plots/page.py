"""A page of coloured character cells: text is placed on it, then printed with or without colours."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace

from odyssey_tui.plots.palette import Rgb, to_256


@dataclass(frozen=True)
class Ink:
    color: Rgb | None = None
    bold: bool = False
    ground: Rgb | None = None


PLAIN = Ink()
HALF_BLOCKS = "▀▄"


def single_width(text: str) -> str:
    """``text`` with one cell per character: wide, combining and control characters become ``·``."""
    normal = unicodedata.normalize("NFC", text)
    return "".join(char if _is_single(char) else "·" for char in normal)


def _is_single(char: str) -> bool:
    if char.isascii():
        return char.isprintable()
    return char.isprintable() and unicodedata.east_asian_width(char) not in "WF" and not unicodedata.combining(char)


def cut(text: str, width: int) -> str:
    """At most ``width`` characters, ending in ``…`` when something was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…" * (width > 0)


class Page:
    """``width`` x ``height`` cells; what does not fit is cut at the edge."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells = [[" "] * width for _ in range(height)]
        self._inks = [[PLAIN] * width for _ in range(height)]
        self._grounds: list[list[Rgb | None]] = [[None] * width for _ in range(height)]

    def put(self, column: int, row: int, text: str, ink: Ink = PLAIN) -> None:
        """Write ``text`` from (column, row), over what is there; a half block under it becomes its ground."""
        if not 0 <= row < self.height:
            return
        for offset, char in enumerate(text):
            if 0 <= column + offset < self.width:
                if self._cells[row][column + offset] in HALF_BLOCKS:
                    self._grounds[row][column + offset] = self._inks[row][column + offset].color
                self._cells[row][column + offset] = char
                self._inks[row][column + offset] = ink

    def shade(self, column: int, row: int, ground: Rgb) -> None:
        """Colour the ground of one cell, whatever is or will be written there; two colours on one cell mix."""
        before = self._grounds[row][column]
        mixed = ground if before is None else tuple((a + b) // 2 for a, b in zip(before, ground, strict=True))
        self._grounds[row][column] = mixed

    def is_free(self, column: int, row: int, length: int, over: frozenset[str] = frozenset()) -> bool:
        """Whether ``length`` cells from (column, row) exist and are blank, or hold only characters of ``over``."""
        if not 0 <= row < self.height or column < 0 or column + length > self.width:
            return False
        return all(cell == " " or cell in over for cell in self._cells[row][column : column + length])

    def runs(self, row: int) -> list[tuple[str, Ink]]:
        """One row as (text, ink) runs, left to right; blanks take the ink before them."""
        runs: list[tuple[str, Ink]] = []
        text, current = "", PLAIN
        for char, written, ground in zip(self._cells[row], self._inks[row], self._grounds[row], strict=True):
            ink = written if ground is None else replace(written, ground=ground)
            if (char != " " or ground != current.ground) and ink != current:
                if text:
                    runs.append((text, current))
                text, current = "", ink
            text += char
        return [*runs, (text, current)] if text else runs

    def text(self, colors: int) -> str:
        """The page as lines, all of the page's width; ``colors`` is 0 (none), 256 or 2**24."""
        return "\n".join(self._line(row, colors) for row in range(self.height))

    def _line(self, row: int, colors: int) -> str:
        if not colors:
            return "".join(self._cells[row])
        runs = self.runs(row)
        inked = "".join(text if ink == PLAIN else _escape(ink, colors) + text for text, ink in runs)
        return inked + "\x1b[0m" * any(ink != PLAIN for _, ink in runs)


def _escape(ink: Ink, colors: int) -> str:
    codes = ["0"]
    if ink.bold:
        codes.append("1")
    for layer, color in ((38, ink.color), (48, ink.ground)):
        if color is not None:
            codes.append(f"{layer};5;{to_256(color)}" if colors == 256 else f"{layer};2;{';'.join(map(str, color))}")
    return f"\x1b[{';'.join(codes)}m"
