"""Kill -9 over worker, scheduler, TUI and ingest during real sweeps; then every loss against an undisturbed sweep.

``python -m bench.faults --kills 100 [--seed S]``: at random moments and at those at which something could be lost.
Sweeps follow one another until the kills are used up. Exits non-zero if anything was lost, doubled or differs.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.faulting.crew import Crew
from bench.faulting.strikes import Storm, Strike, plan_strikes, weather
from bench.faulting.sweep import QUICK, Extent, Nurse, dismiss, make_plan, processes_of, work_through, write_texts
from bench.faulting.verdict import Verdict, compare, count_resumed
from store.errors import OdysseyError
from store.workspace import Workspace

DEADLINE_S = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="how many processes to kill (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="which random moments")
    parser.add_argument("--quick", action="store_true", help="a smaller sweep")
    parser.add_argument("--json", type=Path, help="write the result here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-faults-") as folder:
        result = measure(Path(folder), options.kills, options.seed, QUICK if options.quick else Extent())
    print("\n".join(table(result)))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(0 if result["clean"] else 1)


def measure(folder: Path, kills: int, seed: int, extent: Extent, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """Kill that many processes, over as many sweeps as it takes; what happened and what became of the results."""
    began = time.monotonic()
    strikes, rng, rounds = plan_strikes(kills, seed), random.Random(seed), 0
    hits: Counter[Strike] = Counter()
    total, resumed, attempts, retried, failed = Verdict(), 0, 0, 0, []
    with processes_of(folder):
        config = write_texts(folder / "texts", extent)
        reference = Workspace.create(folder / "undisturbed")
        nurse = Nurse(reference, make_plan(config, reference))
        nurse.begin()
        work_through(nurse, deadline_s)
        dismiss(reference)
        while strikes:
            rounds += 1
            workspace = Workspace.create(folder / f"disturbed-{rounds}")
            nurse = Nurse(workspace, make_plan(config, workspace))
            storm = Storm(workspace, nurse, Crew(workspace), rng)
            strikes = weather(storm, strikes)
            if not storm.kills:
                raise OdysseyError(f"a whole sweep passed without a kill; left are: {', '.join(map(str, strikes))}")
            dismiss(workspace)
            verdict = compare(reference, workspace)
            total.token_losses += verdict.token_losses
            total.metrics += verdict.metrics
            total.weights += verdict.weights
            total.lost += verdict.lost
            total.doubled += verdict.doubled
            total.differing += verdict.differing
            hits += storm.kills
            resumed += count_resumed(workspace)
            attempts += sum(len(workspace.run(run_id).attempts()) for run_id in workspace.run_ids())
            retried += nurse.retried
            failed += nurse.failed
    return {
        "seed": seed,
        "kills": {str(strike): count for strike, count in sorted(hits.items(), key=str)},
        "killed": hits.total(),
        "sweeps": rounds,
        "runs": rounds * len(nurse.plan.runs),
        "attempts": attempts,
        "resumed": resumed,
        "retried_by_hand": retried,
        "token_losses": total.token_losses,
        "metrics": total.metrics,
        "weights": total.weights,
        "lost": total.lost,
        "doubled": total.doubled,
        "differing": total.differing,
        "failed": failed,
        "clean": total.clean and not failed,
        "seconds": round(time.monotonic() - began, 1),
    }


def table(result: dict[str, Any]) -> list[str]:
    """The result as lines of text."""
    rows = [(f"killed: {name}", count) for name, count in result["kills"].items()]
    rows += [(name, result[name]) for name in ("killed", "sweeps", "runs", "attempts", "resumed", "retried_by_hand")]
    rows += [(f"compared: {name}", result[name]) for name in ("token_losses", "metrics", "weights")]
    rows += [(name, len(result[name])) for name in ("lost", "doubled", "differing", "failed")]
    rows += [("seconds", result["seconds"])]
    lines = [f"{name.replace('_', ' '):<46}{value:>12,}" for name, value in rows]
    wrong = [f"{name}: {what}" for name in ("lost", "doubled", "differing", "failed") for what in result[name][:10]]
    return [*lines, *wrong]


if __name__ == "__main__":
    main()
