"""One contender: a queue worked off, and what its journals say of it. ``python -m bench.queueing.work KIND RUNS``."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.harness import leave_result
from engine.launch import scheduler
from engine.launch.foreground import Foreground
from engine.launch.status import read_status
from engine.launch.submit import enqueue
from engine.plan.expand import expand
from engine.plan.known import look_up
from engine.spec.load import load_experiment
from engine.spec.run import Corpus, PrepareJob, RunSpec, Tokenizer
from store.journal import read_events
from store.workspace import Workspace

EXPERIMENT = """\
name: queue
corpora:
  source: {{source: "installation:source", max_bytes: 600kB}}
  tests: {{source: "installation:tests", max_bytes: 600kB}}
tokenizer: {{train_on: source, vocab_size: 512}}
base:
  corpora: source
  sizes: {{s: {{n_layer: 1, n_embd: 32, n_head: 2}}}}
  context: 64
  ptpp: 4
  training: {{lr: 3e-3, sequence: 64, batch_sequences: 16, log_every: 1}}
adapt:
  - {{domain: tests, replay_ratio: {ratios}, atpp: 2, keep: none}}
adapt_training: {{lr: 1e-3, sequence: 64, batch_sequences: 16, log_every: 1}}
evaluate: {{max_tokens: 8000}}
"""
LOOK_S = 0.1


@dataclass(frozen=True)
class Executed:
    """One run by its journals; unix seconds."""

    slot: str
    assigned: float
    starting: float
    first_step: float
    done: float


def main() -> None:
    kind, runs = sys.argv[1], int(sys.argv[2])
    workspace = Workspace.create(Path.cwd() / "workspace")
    specs = prepare_adaptations(workspace, runs) if kind == "adapt" else list_waiting(runs)
    if kind == "wait":
        scheduler.COMMAND = (sys.executable, "-P", "-m", "bench.queueing.scheduling")
    asked = time.time()
    enqueue(workspace, specs, {spec.run_id: 0.0 for spec in specs})
    scheduler.ensure_running(workspace)
    scheduler_s = follow(workspace, specs)
    executed = sorted((read_run(workspace, spec.run_id) for spec in specs), key=lambda run: run.starting)
    began, ended = executed[0].starting, max(run.done for run in executed)
    slots = len({run.slot for run in executed})
    gaps = sorted(find_gaps(executed))
    warm = [run.first_step - run.assigned for run in executed[slots:]]
    leave_result(
        {
            "busy_percent": 100 * sum(run.done - run.starting for run in executed) / (slots * (ended - began)),
            "gap_ms": 1000 * statistics.median(gaps),
            "gap_longest_ms": 1000 * gaps[-1],
            "cold_s": min(run.first_step for run in executed) - asked,
            "warm_ms": 1000 * statistics.median(warm),
            "run_s": statistics.median(run.done - run.starting for run in executed),
            "scheduler_percent": 100 * scheduler_s / (ended - asked),
            "gaps_ms": " ".join(f"{1000 * gap:.0f}" for gap in gaps),
        }
    )


def prepare_adaptations(workspace: Workspace, runs: int) -> Sequence[RunSpec]:
    """Texts, base and zero-shot scores are made beforehand; the adaptations all may start at once."""
    path = Path.cwd() / "queue.yaml"
    path.write_text(EXPERIMENT.format(ratios=[round(0.9 * place / runs, 6) for place in range(runs)]))
    experiment = load_experiment(path)
    plan = expand(experiment, look_up(experiment, workspace))
    adaptations = [run for run in plan.runs if run.job.kind == "adapt"]
    needed = {need for run in adaptations for need in run.needs}
    before = [run for run in plan.runs if run.job.kind in ("prepare", "pretrain") or run.run_id in needed]
    with Foreground(workspace, before) as foreground:
        failed = foreground.work(lambda moment: None)
    if failed is not None:
        sys.exit(f"a run ended {failed.state}: {failed.reason}")
    return adaptations


def list_waiting(runs: int) -> Sequence[RunSpec]:
    job = PrepareJob(corpora=(Corpus(name="none", source="none"),), tokenizer=Tokenizer(model="none"))
    names = [f"wait-{place:04d}" for place in range(runs)]
    return [RunSpec(run_id=name, name=name, experiment="queue", job=job) for name in names]


def follow(workspace: Workspace, specs: Sequence[RunSpec]) -> float:
    """Wait until all are done; returns the CPU seconds of the scheduler until then."""
    left, used_s = [spec.run_id for spec in specs], 0.0
    while left:
        time.sleep(LOOK_S)
        state = workspace.run(left[-1]).state()
        if state.finished and state.state != "done":
            sys.exit(f"{left[-1]} ended {state.state}: {state.reason}")
        if state.state == "done":
            left.pop()
        status = read_status(workspace)
        if status is not None and status.identity.alive():
            times = psutil.Process(status.identity.pid).cpu_times()
            used_s = times.user + times.system
    return used_s


def read_run(workspace: Workspace, run_id: str) -> Executed:
    run = workspace.run(run_id)
    assigned = next(event for event in read_events(run.control)[0] if event["event"] == "assigned")
    events = read_events(run.attempt(1).events)[0]

    def first(*names: str) -> float:
        return next(event["t"] for event in events if event["event"] in names)

    steps = first("metric", "progress")
    slot = assigned["worker"].rpartition("-")[0]
    return Executed(slot, assigned["t"], first("starting"), steps, first("done"))


def find_gaps(executed: Sequence[Executed]) -> Iterator[float]:
    """Seconds between the end of a run and the beginning of the next on the same slot."""
    last: dict[str, float] = {}
    for run in executed:
        if run.slot in last:
            yield run.starting - last[run.slot]
        last[run.slot] = run.done


if __name__ == "__main__":
    main()
