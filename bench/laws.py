"""Fits of every law: 1,000 starts, then 1,000 bootstrap refits, beside loops of scipy's L-BFGS-B over starts.

Times are CPU seconds of one thread. A peer fits fewer starts and refits, and its times are scaled up. The time to the
best is what it takes to have been within 0.1 % of the best objective that anyone found with a probability of 99 %: the
time of one try (a start; of ours a fit with 10 starts) times the tries that its share of successes asks for.
"""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.harness import Comparison, Contender, Measured, Metric, alternate, arguments, conclude

ROOT = Path(__file__).resolve().parent.parent
OURS, NUMERIC, ANALYTIC = "odyssey", "scipy L-BFGS-B, numeric gradient", "scipy L-BFGS-B, analytic gradient"
STARTS, REFITS = 1000, 1000
NEAR = 1e-3
GOAL = "≥ 100× the loop with numeric gradients, ≥ 10× with analytic ones; objective never worse"
METRICS = (
    Metric("starts_s", "1,000 starts", "s", more_is_better=False),
    Metric("refits_s", "1,000 refits", "s", more_is_better=False),
    Metric("best_s", "to within 0.1 % of the best, 99 %", "s", more_is_better=False),
    Metric("worst_objective", "objective / best, worst form", more_is_better=False, digits=6),
)


def main() -> None:
    parser = arguments("laws", __doc__.splitlines()[0])
    parser.add_argument("--forms", metavar="A,B", default="", help="laws to fit; without: all of the registry")
    parser.add_argument("--peer-starts", type=int, metavar="N", help="starts that a peer fits")
    options = parser.parse_args()
    peer_starts = options.peer_starts or (6 if options.quick else 60)
    peer_refits = max(peer_starts // 3, 2)
    common = ("--forms", options.forms)
    starts, refits = STARTS, REFITS // 10 if options.quick else REFITS
    contenders = [
        _contender(OURS, "ours", *common, "--starts", starts, "--refits", refits, "--judged", peer_refits),
        *(
            _contender(
                name, "scipy_loop", *common, "--gradient", gradient, "--starts", peer_starts, "--refits", peer_refits
            )
            for name, gradient in ((NUMERIC, "numeric"), (ANALYTIC, "analytic"))
        ),
    ]
    measured = alternate(contenders, 1)
    rows = summarise(measured, starts, refits)
    totals = [_total(one, rows) for one in measured]
    notes = tuple(f"{form}: {_tell(by_name)}" for form, by_name in rows.items())
    fewer = f"a peer's times are scaled up from {peer_starts} starts and {peer_refits} refits"
    comparisons = [
        Comparison(f"All laws, 210 points each; {fewer}", tuple(totals), METRICS, peer, GOAL, notes * (peer == NUMERIC))
        for peer in (NUMERIC, ANALYTIC)
    ]
    conclude("laws", comparisons, options, rows=rows, peer_starts=peer_starts, peer_refits=peer_refits)


def _contender(name: str, module: str, *arguments: object) -> Contender:
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return Contender(name, (sys.executable, "-m", f"bench.fitting.{module}", *map(str, arguments)), environment)


def summarise(measured: list[Measured], starts: int, refits: int) -> dict[str, dict[str, dict[str, float]]]:
    """By law and contender: times for ``STARTS`` starts and ``REFITS`` refits, time to the best, objective / best."""
    results: dict[str, dict[str, Any]] = {one.name: one.repetitions[0]["forms"] for one in measured if one.repetitions}
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for form in next(iter(results.values())):
        best = min(result[form]["objective"] for result in results.values())
        rows[form] = {}
        for name, result in results.items():
            found = result[form]
            seconds, costs = zip(*found["tries"], strict=True)
            hits = sum(cost <= best * (1 + NEAR) for cost in costs)
            if name == OURS:
                starts_s, refits_s = found["starts_s"] * STARTS / starts, found["refits_s"] * REFITS / refits
            else:
                starts_s = statistics.fmean(seconds) * STARTS
                refits_s = statistics.fmean(second for second, _ in found["refits"]) * REFITS
            rows[form][name] = {
                "starts_s": starts_s,
                "refits_s": refits_s,
                "best_s": statistics.fmean(seconds) * tries_for_certainty(hits, len(costs)),
                "arrived": hits / len(costs),
                "objective": found["objective"] / best,
            }
        ours = results.get(OURS, {}).get(form)
        for name, result in results.items():
            if ours and name != OURS:
                pairs = zip(ours["refit_objectives"], (cost for _, cost in result[form]["refits"]), strict=True)
                rows[form][name]["ours_worse_refits"] = sum(mine > theirs * (1 + NEAR) for mine, theirs in pairs)
    return rows


def tries_for_certainty(hits: int, tries: int, certainty: float = 0.99) -> float:
    """Tries after which one has succeeded with this probability; where none of ``tries`` did, as many as that at least
    (as if the next one had)."""
    if hits == tries:
        return 1.0
    return math.log(1 - certainty) / math.log(1 - max(hits, 1) / (tries + (hits == 0)))


def _total(one: Measured, rows: dict[str, dict[str, dict[str, float]]]) -> Measured:
    """Times summed over all laws."""
    mine = [by_name[one.name] for by_name in rows.values() if one.name in by_name]
    if not mine:
        return one
    total = {key: sum(row[key] for row in mine) for key in ("starts_s", "refits_s", "best_s")}
    return Measured(one.name, ({**total, "worst_objective": max(row["objective"] for row in mine)},))


def _tell(by_name: dict[str, dict[str, float]]) -> str:
    """One law: starts, refits and time to the best of ours, and how many times longer each peer takes."""
    ours = by_name.get(OURS)
    if ours is None:
        return "not measured"
    parts = [f"{ours['starts_s']:.2f} s, {ours['refits_s']:.2f} s, {ours['best_s']:.2f} s ({ours['arrived']:.0%})"]
    for name, short in ((NUMERIC, "numeric"), (ANALYTIC, "analytic")):
        if peer := by_name.get(name):
            ratios = "/".join(f"{peer[key] / ours[key]:.0f}" for key in ("starts_s", "refits_s", "best_s"))
            more = ">" if not peer["arrived"] else ""
            parts.append(
                f"{short} ×{more}{ratios} ({peer['arrived']:.0%}, objective {peer['objective']:.4f}, "
                f"{peer.get('ours_worse_refits', 0):.0f} refits better)"
            )
    return "; ".join(parts)


if __name__ == "__main__":
    main()
