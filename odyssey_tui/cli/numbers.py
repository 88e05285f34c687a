"""Numbers on the command line: finite ones, and lists of them."""

from __future__ import annotations

import math
from typing import Any

import click


class Number(click.FloatRange):
    """A finite number in a range; click's own lets ``nan`` through, and ``inf`` where there is no upper end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()


class Items(click.ParamType):
    """Values separated by commas; numbers are finite and not below ``least``."""

    name = "A,B,…"

    def __init__(self, kind: type, least: float | None = None) -> None:
        self.kind = kind
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        whole = "whole numbers" if self.kind is int else "numbers"
        try:
            items = tuple(self.kind(part.strip()) for part in str(value).split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of {whole}, for example 8,16", param, ctx)
        for item in items if self.kind is not str else ():
            if not math.isfinite(item):
                self.fail(f"{item!r} is no finite number", param, ctx)
            if self.least is not None and item < self.least:
                self.fail(f"{item:g} is below {self.least:g}", param, ctx)
        return items
