"""Tables of points with a known law behind them, as users would have them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

SIZES, PTPPS, RATIOS, ATPPS = (2e4, 6e4, 1.5e5), (8, 16, 64), (0.0, 0.1, 0.25, 0.5), (1, 2, 4, 8)
P0 = math.sqrt(8 * 16)


def zero_shot(n: float, p: float, role: str) -> float:
    return (3.2 if role == "target" else 2.4) + 60 / n**0.45 + 40 / (n * p) ** 0.4


def target(n: float, p: float, d: float, rho: float) -> float:
    """ptpp_additive, exactly."""
    r = 1 - rho
    return 1.5 + 40 / n**0.4 + 30 / (n * p) ** 0.35 + 8 * r**0.4 / d**0.2 + 0.02 / (r + 0.1) ** 0.5


def base(n: float, p: float, d: float, rho: float) -> float:
    """forgetting_pinned, exactly."""
    return zero_shot(n, p, "base") + 0.05 * d**0.35 / ((1 + 80 * rho) * n) ** 0.25


def rows(roles: Iterable[str] = ("target",), noise: float = 0.0) -> list[dict[str, Any]]:
    """One row per size, PTPP, replay ratio, ATPP and role; PTPP 64 is the stage to hold out."""
    rng = np.random.default_rng(0)
    return [
        {
            "n_params": n,
            "ptpp": p,
            "atpp": a,
            "replay_ratio": rho,
            "role": role,
            "zero_shot_loss": zero_shot(n, p, role),
            "loss": (target if role == "target" else base)(n, p, a * n, rho) * math.exp(noise * rng.standard_normal()),
        }
        for role in roles
        for n in SIZES
        for p in PTPPS
        for rho in RATIOS
        for a in ATPPS
    ]


def write(path: Path, table: list[dict[str, Any]]) -> Path:
    """``table`` as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    return path
