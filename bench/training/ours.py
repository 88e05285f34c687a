"""One training run as the queue starts it: a worker process, warm imports, the run's journal. ``SETTING.json``.

With ``allocations`` as second argument the job runs in this process instead, under the profiler, for its peak memory.
"""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import Any

from bench.harness import MIB, leave_result
from bench.training.setting import Setting
from engine.data.mixture import Mixture
from engine.launch.mailbox import Slot
from engine.launch.workers import Pool
from engine.spec.run import (
    AdaptJob,
    Corpus,
    EvalSet,
    Evaluation,
    Method,
    Model,
    Resources,
    RunSpec,
    Scheme,
    Tokenizer,
    Training,
)
from store.journal import read_events
from store.run_dir import RunDir, create_run
from store.workspace import Workspace

TEXT = Corpus(name="source", source="installation:source", max_bytes=6_000_000)
TOKENIZER = Tokenizer(train_on=(TEXT,), vocab_size=4096, train_bytes=2_000_000)
POLL_S = 0.02
SEED = 0


def specification(setting: Setting) -> RunSpec:
    """The run: full fine-tuning or LoRA at a constant rate; a few tokens of evaluation at its end."""
    training = Training(
        lr=setting.lr,
        warmup_share=0.0,
        anneal_share=0.0,
        sequence=setting.sequence,
        batch_sequences=setting.batch,
        weight_decay=setting.weight_decay,
        betas=(setting.beta1, setting.beta2),
        clip=setting.clip,
        precision=setting.precision,
        log_every=setting.log_every,
    )
    window = min(64, setting.sequence)
    scored = EvalSet(name="source", role="target", corpora=(TEXT,), max_tokens=window)
    name = f"bench-{secrets.token_hex(4)}"
    job = AdaptJob(
        base=Model(source=setting.model),
        tokenizer=TOKENIZER,
        target=TEXT,
        replay=(),
        replay_ratio=0.0,
        adapt_tokens=(setting.steps * setting.batch * setting.sequence,),
        method=Method(name="lora", rank=setting.rank) if setting.rank else Method(),
        training=training,
        evaluation=Evaluation(sets=(scored,), scheme=Scheme(window=window)),
        keep="none",
    )
    gpus = int(setting.device == "cuda")
    resources = Resources(gpus=gpus, cpu_threads=setting.threads)
    return RunSpec(run_id=name, name=name, experiment="bench", seed=SEED, resources=resources, job=job)


def mixture_of(setting: Setting, workspace: Workspace) -> Mixture:
    """The sequences of the run, in the order it reads them."""
    from engine.data.tokenizer import load_tokenizer
    from engine.data.tokens import token_stream

    stream = token_stream(TEXT, "train", load_tokenizer(TOKENIZER, workspace), workspace)
    return Mixture(stream, (), 0.0, setting.sequence, SEED)


def main() -> None:
    setting = Setting.read(sys.argv[1])
    workspace = Workspace.open(setting.workspace)
    if "allocations" in sys.argv[2:]:
        leave_result(_allocations(setting, workspace))
    else:
        leave_result(_through_worker(setting, workspace))


def _through_worker(setting: Setting, workspace: Workspace) -> dict[str, Any]:
    began = time.perf_counter()
    pool = Pool(workspace)
    worker = pool.spawn(Slot("bench", "0" if setting.device == "cuda" else None, setting.threads), setting.threads)
    while not worker.warm:
        _check(worker.alive(), worker.ending)
        time.sleep(POLL_S)
    imported, imported_mib = time.perf_counter(), _resident(worker.child.pid, "VmRSS")
    run = create_run(workspace, specification(setting).model_dump(mode="json"))
    worker.assign(run.run_id, 1)
    while worker.busy:
        _check(worker.alive(), worker.ending)
        time.sleep(POLL_S)
    ended, peak_mib = time.perf_counter(), _resident(worker.child.pid, "VmHWM")
    worker.dismiss()
    worker.child.wait()
    metrics = [event for event in _events(run) if event["event"] == "metric"]
    return {
        "times": [event["t"] for event in metrics],
        "tokens": [event["tokens"] for event in metrics],
        "losses": [event["values"]["loss"] for event in metrics],
        "imports_s": imported - began,
        "run_s": ended - imported,
        "wall_s": ended - began,
        "imported_mib": imported_mib,
        "peak_mib": peak_mib,
        "above_imports_mib": peak_mib - imported_mib,
        "device_mib": max((e["values"].get("memory_bytes", 0) for e in metrics), default=0) / MIB or None,
    }


def _allocations(setting: Setting, workspace: Workspace) -> dict[str, Any]:
    from bench.training.allocations import peak_mib
    from engine.jobs import adapt
    from engine.report import JobContext, Report

    spec = specification(setting)
    run = create_run(workspace, spec.model_dump(mode="json"))
    with Report(run.attempt(1)) as report:
        context = JobContext(workspace, spec, run, report, setting.device, setting.threads)
        return {"allocated_mib": peak_mib(lambda: adapt.execute(spec.job, context))}


def _events(run: RunDir) -> list[dict[str, Any]]:
    events, _ = read_events(run.attempt(1).events)
    failed = [event for event in events if event["event"] == "failed"]
    if failed:
        raise SystemExit(f"the run failed: {failed[-1]['reason']}")
    return events


def _check(alive: bool, ending: Any) -> None:
    if not alive:
        raise SystemExit(ending())


def _resident(pid: int, field: str) -> float:
    """Resident memory of a process in MiB: ``VmRSS`` now, ``VmHWM`` at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


if __name__ == "__main__":
    main()
