"""Tables and records in forms that other programs read: CSV, LaTeX, JSON. Files and standard output take the same."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

Row = Mapping[str, Any] | Sequence[Any]
"""Values by column key, or in column order."""


@dataclass(frozen=True)
class Column:
    """A column: ``key`` names it in JSON and CSV (and looks it up in mapping rows), ``title`` heads it in text.

    ``format`` turns a value into text (text and LaTeX only; JSON and CSV keep full precision). When a text table is too
    wide, the columns with the highest ``drop`` go first; 0 is never dropped.
    """

    key: str
    title: str = ""
    format: Callable[[Any], str] | str = ""
    drop: int = 0
    right: bool = False
    """Aligned as numbers are, though its values are texts."""

    def text(self, value: Any) -> str:
        """``value`` as shown to people; a missing one is ``–``."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "–"
        if callable(self.format):
            return self.format(value)
        if self.format:
            return format(value, self.format)
        return f"{value:.6g}" if isinstance(value, float) else str(value)


def csv_text(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The table as CSV in full precision, headed by the columns' keys."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    writer.writerows([["" if value is None else value for value in values_of(columns, row)] for row in rows])
    return buffer.getvalue()


def latex_text(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The table as a LaTeX ``tabular`` with booktabs' rules."""
    values = [values_of(columns, row) for row in rows]
    alignment = "".join("r" if number else "l" for number in find_numeric(columns, values))
    lines = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines.append(" & ".join(escape_latex(column.title or column.key) for column in columns) + r" \\")
    lines.append(r"\midrule")
    for row in values:
        cells = (escape_latex(column.text(value)) for column, value in zip(columns, row, strict=True))
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def json_text(value: Any) -> str:
    """A JSON value, indented; NaN and infinities become null, other objects their text."""
    try:
        return orjson.dumps(value, default=_other, option=_INDENTED).decode()
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits, or half a surrogate pair
        return json.dumps(plain(value), indent=2, ensure_ascii=False, default=str) + "\n"


_INDENTED = (
    orjson.OPT_INDENT_2
    | orjson.OPT_APPEND_NEWLINE
    | orjson.OPT_NON_STR_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


def _other(value: Any) -> Any:
    """What JSON has no kind for, one level down."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    return value.item() if hasattr(value, "item") else str(value)


def plain(value: Any) -> Any:
    """A value of mappings, lists and scalars that JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def values_of(columns: Sequence[Column], row: Row) -> list[Any]:
    """A row's values in column order."""
    if isinstance(row, Mapping):
        return [row.get(column.key) for column in columns]
    if len(row) != len(columns):
        raise ValueError(f"a row of {len(row)} values under {len(columns)} columns")
    return list(row)


def find_numeric(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> list[bool]:
    """Which columns hold numbers only, or are to look as if."""

    def is_numeric(index: int) -> bool:
        present = [row[index] for row in rows if row[index] is not None]
        return columns[index].right or (bool(present) and all(isinstance(value, (int, float)) for value in present))

    return [is_numeric(index) for index in range(len(columns))]


LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "−": "$-$",
        "ρ": r"$\rho$",
        "Δ": r"$\Delta$",
        "…": r"\ldots{}",
        "₀": "$_0$",
        "²": "$^2$",
        "·": r"$\cdot$",
        "×": r"$\times$",
        "±": r"$\pm$",
        "α": r"$\alpha$",
    }
)


def escape_latex(text: str) -> str:
    """Text as LaTeX writes it."""
    return text.translate(LATEX_ESCAPES)
