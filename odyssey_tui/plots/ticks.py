"""Round ticks (1, 2, 2.5 or 5 times a power of ten; decades on a logarithmic axis) and the words on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Tick:
    """``at``: position in axis space (log10 of the value on a logarithmic axis)."""

    at: float
    label: str


def linear_ticks(low: float, high: float, count: int) -> list[Tick]:
    """About ``count`` round ticks within [low, high]; never fewer than one."""
    count = max(1, count)
    span = high - low
    if not math.isfinite(span) or span <= abs(high) * 1e-13:
        return [Tick(low, short(low))]
    steps = _round_steps(span / count)
    # A short axis may hold no multiple, or a lonely one, of the step it has room for: then a finer step says more.
    for step in steps:
        values = _multiples(step, low, high)
        if len(values) >= min(2, count):
            break
    if not values:
        middle = low + span / 2
        return [Tick(middle, short(middle))]
    return [Tick(value, label) for value, label in zip(values, _same_form(values, step), strict=True)]


def _round_steps(least: float) -> list[float]:
    """The smallest round step that is at least ``least``, then three finer ones."""
    power = 10.0 ** math.floor(math.log10(least))
    ladder = [step * scale for scale in (power / 10, power) for step in _STEPS[:-1]] + [power * 10]
    first = next(index for index, step in enumerate(ladder) if step >= least * 0.999)
    return ladder[first : first - 4 : -1] if first > 3 else ladder[first::-1]


def _multiples(step: float, low: float, high: float) -> list[float]:
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, count: int) -> list[Tick]:
    """Ticks for log10 limits: decades; 2 and 5 as well when fewer than two decades are in sight; linear when none."""
    count = max(1, count)
    fine = [
        math.log10(mantissa) + decade
        for decade in range(math.floor(low), math.ceil(high) + 1)
        for mantissa in (1, 2, 5)
    ]
    fine = [at for at in fine if low - 1e-9 <= at <= high + 1e-9]
    if high - low < 2 and 2 <= len(fine) <= count + 1:
        return [Tick(at, short(10.0**at)) for at in fine]
    decades = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
    if len(decades) >= 2:
        stride = math.ceil(len(decades) / (count + 1))
        chosen = decades[(len(decades) - 1) % stride // 2 :: stride]
        return [Tick(float(decade), short(10.0**decade)) for decade in chosen]
    return [Tick(math.log10(tick.at), tick.label) for tick in linear_ticks(10.0**low, 10.0**high, count) if tick.at > 0]


def short(value: float) -> str:
    """A number in few characters: 0, 0.25, 1.5k, 20M, 3e-05."""
    if value == 0 or abs(value) < 1e-300:
        return "0"
    size = abs(value)
    for factor, suffix in _SUFFIXES:
        if size >= factor * 0.99995:
            return f"{value / factor:.3g}{suffix}" if size < 1e15 else f"{value:.0e}".replace("e+", "e")
    if size < 1e-3:
        return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")
    return f"{value:.4g}"


def _same_form(values: list[float], step: float) -> list[str]:
    """One number of decimals and one suffix for a whole axis, so that ticks line up."""
    largest = max(abs(value) for value in values)
    if largest >= 1e15:
        return [f"{value:.2e}".replace("e+", "e") for value in values]
    factor, suffix = next(((f, s) for f, s in _SUFFIXES if largest >= f), (1.0, ""))
    if step / factor < 1e-3:
        factor, suffix = 1.0, ""
    if step < 1e-4:
        return [short(value) if value else "0" for value in values]
    decimals = max(0, -math.floor(math.log10(step / factor) + 1e-9))
    if abs(step / factor * 10**decimals - round(step / factor * 10**decimals)) > 1e-6:
        decimals += 1
    return [f"{value / factor:.{decimals}f}{suffix}" if value else "0" for value in values]
