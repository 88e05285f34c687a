"""Runs of several processes: which slots they take, and what becomes of them when one of their processes fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from engine.launch import requests
from engine.launch.dispatcher import Dispatcher
from engine.launch.eta import makespan
from engine.launch.mailbox import Slot
from engine.launch.progress import Progress
from engine.launch.queue_state import queue_state
from engine.launch.slots import choose_slots, widest
from engine.launch.workers import worker_environment
from engine.rank import Place, prepare
from engine.spec.run import Corpus, PrepareJob, Resources, RunSpec, Tokenizer
from store.errors import ConfigError
from store.journal import read_events

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, str(Path(__file__).with_name("scripted_worker.py")))


def places(dispatcher, run_id):
    entry = dispatcher.entries[run_id]
    return None if entry.worker is None else entry.worker.slot.places


def test_slots_of_a_run_have_different_gpus():
    shared = [Slot("gpu0.0", "GPU-a", 2), Slot("gpu1.0", "GPU-b", 2), Slot("gpu0.1", "GPU-a", 2)]
    joined = choose_slots(shared, 2)
    assert (joined.places, joined.gpu, joined.threads) == (("gpu0.0", "gpu0.1", "gpu1.0"), "GPU-a,GPU-b", 6)
    assert worker_environment(joined, 4)["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert choose_slots(shared, 3) is None
    assert choose_slots([shared[0], shared[2]], 2) is None
    assert choose_slots(shared[:2], 2, shared) is None  # another run has a part of the first
    assert choose_slots(shared, 1) == shared[0]
    assert widest(shared) == 2
    instances = [Slot("gpu0mig0", "MIG-a", 2), Slot("gpu0mig1", "MIG-b", 2)]
    assert choose_slots(instances, 2) is None
    assert widest(instances) == 1
    assert widest([Slot("cpu0", None, 1), Slot("cpu1", None, 1)]) == 2


def test_a_wide_run_is_not_overtaken(bench, tmp_path):
    first = bench.queue("a-narrow", f"wait {tmp_path / 'go'}", priority=3)
    wide = bench.queue("b-wide", "finish", processes=2, priority=2)
    last = bench.queue("c-narrow", f"wait {tmp_path / 'never'}", priority=1)
    dispatcher = bench.dispatcher(slots=2)
    bench.until(lambda: bench.state(first) == "running", dispatcher)
    assert (len(places(dispatcher, first)), places(dispatcher, wide), places(dispatcher, last)) == (1, None, None)
    (tmp_path / "go").touch()
    bench.until(lambda: bench.state(first) == "done" and first not in dispatcher.entries, dispatcher)
    dispatcher.tick()
    assert places(dispatcher, wide) == ("cpu0", "cpu1")
    assert places(dispatcher, last) is None
    Progress(bench.workspace, dispatcher.slots).write(dispatcher)
    shown = [(slot.name, slot.run_id) for slot in queue_state(bench.workspace).slots]
    assert shown == [("cpu0", wide), ("cpu1", wide)]


def test_what_never_fits_is_held_with_a_reason(bench):
    wide = bench.queue("wide", "finish", processes=3)
    gpus = bench.queue("gpus", "finish", gpus=2)
    nodes = bench.queue("nodes", "finish", processes=2, nodes=2)
    after = bench.queue("other", "finish")
    dispatcher = bench.dispatcher(slots=2)
    bench.until(lambda: bench.state(after) == "done", dispatcher)
    assert bench.reason(wide) == "it wants 3 processes at a time; this queue has 2 slots"
    assert bench.reason(gpus) == "it wants 2 GPUs; this queue has 0"
    assert bench.reason(nodes).startswith("it wants 2 machines; start it on each, on a shared file system: torchrun")
    assert bench.reason(nodes).endswith(f"--nproc-per-node 2 -m engine.rank {bench.workspace.root} nodes 1")


def test_a_run_on_several_machines_is_followed_by_its_files(bench):
    far = bench.queue("far", "finish", nodes=2)
    child = bench.queue("child", "finish", "far")
    dispatcher = bench.dispatcher()
    dispatcher.tick()
    assert bench.state(far) == "held"
    events = bench.workspace.run(far).attempt(1).events
    events.parent.mkdir(parents=True)
    events.write_text('{"seq":0,"t":1.0,"event":"starting"}\n{"seq":1,"t":1.0,"event":"running","total":1}\n')
    dispatcher.tick()
    assert bench.state(far) == "running"
    replaced = Dispatcher(bench.workspace, dispatcher.slots, command=COMMAND)
    replaced.tick()
    assert bench.state(far) == "running"
    with events.open("a") as file:
        file.write('{"seq":2,"t":2.0,"event":"done","seconds":1}\n')
    bench.until(lambda: bench.state(child) == "done", replaced)
    assert bench.state(far) == "done"


def test_the_end_of_a_queue_with_wide_runs_is_foreseen():
    job = PrepareJob(corpora=(Corpus(name="x", source="x"),), tokenizer=Tokenizer())

    def run(run_id, processes):
        resources = Resources(processes=processes)
        return RunSpec(run_id=run_id, name=run_id, experiment="x", resources=resources, job=job)

    seconds = {"wide": 5.0, "long": 4.0, "short": 1.0}
    queued = [run("long", 1), run("wide", 2), run("short", 1)]
    assert makespan({}, queued, 2, lambda spec: seconds[spec.run_id]) == 10.0
    assert makespan({"on": 3.0}, [run("short", 1)], 2, lambda spec: 1.0, {"on": 2}) == 4.0


def test_ends_of_runs_of_two_processes(bench, tmp_path):
    """One fails, one crashes, one loses a process, one is cancelled; each says why, once."""
    never = tmp_path / "never"
    scripts = ("second_fails", "second_crashes", "second_dies", f"wait_together {never}")
    fails, crashes, dies, waits = (bench.queue(script.split()[0], script, processes=2) for script in scripts)
    dispatcher = bench.dispatcher(slots=8)
    bench.until(lambda: len(list(tmp_path.glob("never.*"))) == 2, dispatcher)
    requests.cancel(bench.workspace, [waits])
    bench.until(lambda: not dispatcher.entries, dispatcher)

    state = bench.workspace.run(fails).state()
    assert (state.state, state.hint) == ("failed", "Give it some.")
    assert state.reason == "process 1 of 2: no text; in the corpus"
    assert bench.reason(crashes) == "process 1 of 2: ValueError: a bug"
    for run_id in (fails, crashes):
        ends = [e for e in read_events(bench.workspace.run(run_id).attempt(1).events)[0] if e["event"] == "failed"]
        assert len(ends) == 1
    assert bench.state(dies) == "lost"
    assert "process 1 of 2 was ended by SIGKILL" in bench.reason(dies)
    assert (bench.state(waits), bench.reason(waits)) == ("cancelled", "cancelled on request")
    events = [event["event"] for event in read_events(bench.workspace.run(waits).attempt(1).events)[0]]
    assert [name for name in events if name != "heartbeat"] == ["starting", "running", "stopping", "cancelled"]
    assert bench.workspace.run(waits).checkpoint("resume").is_dir()


def test_no_process_outlives_its_worker(bench, tmp_path):
    go = tmp_path / "go"
    run_id = bench.queue("only", f"wait_together {go}", processes=2)
    dispatcher = bench.dispatcher(slots=2, early_death_s=0.0)
    bench.until(lambda: len(list(tmp_path.glob("go.*"))) == 2, dispatcher)
    pids = [int(path.suffix[1:]) for path in tmp_path.glob("go.*")]
    worker = dispatcher.entries[run_id].worker
    os.kill(worker.child.pid, signal.SIGTERM)
    # Told to end, it lets its run save and leaves it to the next attempt.
    bench.until(lambda: bench.workspace.run(run_id).checkpoint("resume").is_dir(), dispatcher)
    bench.until(lambda: bench.workspace.run(run_id).state().attempt == 2, dispatcher)
    bench.until(lambda: not any(psutil.pid_exists(pid) for pid in pids), dispatcher)
    bench.until(lambda: len(list(tmp_path.glob("go.*"))) == 4, dispatcher)
    later = [int(path.suffix[1:]) for path in tmp_path.glob("go.*") if int(path.suffix[1:]) not in pids]
    dispatcher.entries[run_id].worker.child.kill()
    bench.until(lambda: not any(psutil.pid_exists(pid) for pid in later))


def test_a_world_of_another_size_is_refused(bench, monkeypatch):
    run_id = bench.queue("only", "finish", processes=2)
    with pytest.raises(ConfigError, match="started by torchrun, which sets RANK"):
        Place.find({})
    for name, value in {"RANK": 0, "WORLD_SIZE": 3, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 3}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ConfigError, match=r"wants 2 processes on 1 machine.*torchrun started 3 on this one") as refused:
        prepare(str(bench.workspace.root), run_id, 1)
    assert (
        f"torchrun --standalone --nproc-per-node 2 -m engine.rank {bench.workspace.root} only 1" in refused.value.hint
    )
    assert not bench.workspace.run(run_id).attempt(1).events.exists()


def test_a_process_alone_says_how_it_is_started(bench):
    command = (sys.executable, "-P", "-m", "engine.rank", str(bench.workspace.root), "none", "1")
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("odyssey: engine.rank is started by torchrun")
