"""Writes ``sample_configs/french-8.1b-SIMULATED.csv``: losses that were never measured, drawn from the laws below.

    python docs/simulate_8b.py

They stand in for a grid of adaptations from English and Arabic to French, to try the planner on: small models at three
pretraining budgets, from which a plan for a model of 8.1 billion parameters is to be made. Every number of the truth is
this project's invention; nothing in it is a result of any paper.
"""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "sample_configs" / "french-8.1b-SIMULATED.csv"
DOMAIN = "French-SIMULATED"
SIZES, PTPPS = (1.1e8, 2.6e8, 5.9e8, 1.3e9), (15.0, 31.0, 279.0)
RATIOS, ATPPS = (0.0, 0.1, 0.25, 0.5), (0.5, 1.0, 2.0, 4.0)
P0 = float(np.prod(PTPPS) ** (1 / len(PTPPS)))
RUN_NOISE, STATE_NOISE, SEED = 0.003, 0.0015, 0
"""Relative standard deviations: one draw for each run, one for each of its states."""


def zero_shot(role: str, n: float, p: float) -> float:
    """Loss before adaptation (chinchilla): E + A/N^α + B/(P·N)^β."""
    if role == "target":
        return 1.9 + 600 / n**0.32 + 900 / (p * n) ** 0.30
    return 1.7 + 406 / n**0.34 + 411 / (p * n) ** 0.28


def adapted(role: str, n: float, p: float, atpp: float, rho: float) -> float:
    """Loss after adaptation: of French by the form ptpp_gated_floor, of the base text by forgetting_pinned."""
    d = atpp * n
    if role == "base":
        return zero_shot("base", n, p) + 0.06 * d**0.40 / ((1 + 100 * rho) * n) ** 0.38
    r = 1 - rho
    gate = (p / P0) ** 0.05
    mix = gate * 70 * r**0.1 / d**0.28 + 0.2 / (r + 0.1) ** 0.5
    return 0.75 + 406 / n**0.34 + 186 / (p * n) ** 0.28 + mix


def simulate() -> str:
    """The table as CSV."""
    rng = np.random.default_rng(SEED)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["domain", "role", "n_params", "ptpp", "replay_ratio", "atpp", "group", "zero_shot_loss", "loss"])
    for role, n, p in itertools.product(("target", "base"), SIZES, PTPPS):
        before = zero_shot(role, n, p) * np.exp(STATE_NOISE * rng.standard_normal())
        for rho in RATIOS:
            run = RUN_NOISE * rng.standard_normal()
            for atpp in ATPPS:
                # The noise is of what adaptation changed, so that the loss before it stays where it was measured.
                change = adapted(role, n, p, atpp, rho) - zero_shot(role, n, p)
                loss = before + change + before * (run + STATE_NOISE * rng.standard_normal()) * 0.5
                group = f"SIMULATED-{role}-{n:g}-{p:g}-{rho:g}"
                writer.writerow([DOMAIN, role, f"{n:g}", f"{p:g}", rho, atpp, group, f"{before:.5f}", f"{loss:.5f}"])
    return file.getvalue()


if __name__ == "__main__":
    TARGET.write_text(simulate(), encoding="utf-8")
