"""Slots, the queue's expected duration, and telling processes apart."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.launch import workers
from engine.launch.eta import Pace, makespan
from engine.launch.gpus import Gpu
from engine.launch.mailbox import Mailbox, Slot
from engine.launch.process import Identity
from engine.launch.slots import count_cores, find_slots
from engine.launch.workers import tail, worker_environment
from engine.spec.run import Corpus, PrepareJob, RunSpec, Tokenizer
from store.errors import ConfigError


def run(run_id, *needs, flops=0.0):
    job = PrepareJob(corpora=(Corpus(name="x", source="x"),), tokenizer=Tokenizer())
    return RunSpec(run_id=run_id, name=run_id, experiment="x", needs=needs, cost_flops=flops, job=job)


def test_cpu_slots_are_cores_unless_told():
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    assert len(find_slots(hidden)) == count_cores()
    assert [slot.name for slot in find_slots({**hidden, "ODYSSEY_SLOTS": "3"})] == ["cpu0", "cpu1", "cpu2"]


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_bad_numbers_of_slots(text):
    with pytest.raises(ConfigError, match="ODYSSEY_SLOTS"):
        find_slots({"CUDA_VISIBLE_DEVICES": "", "ODYSSEY_SLOTS": text})


def test_gpu_slots_share_devices_in_turn(monkeypatch):
    gpus = (Gpu(0, "GPU-a", "x"), Gpu(3, "GPU-b", "x"), Gpu(4, "MIG-c", "x"), Gpu(4, "MIG-d", "x"))
    monkeypatch.setattr("engine.launch.slots.read_gpus", lambda environment: gpus[:2])

    def named(runs_per_gpu=1, **environment):
        return [(slot.name, slot.gpu) for slot in find_slots(environment, runs_per_gpu)]

    assert named() == [("gpu0", "GPU-a"), ("gpu3", "GPU-b")]
    twice = [("gpu0.0", "GPU-a"), ("gpu3.0", "GPU-b"), ("gpu0.1", "GPU-a"), ("gpu3.1", "GPU-b")]
    assert named(2) == twice
    assert named(2, ODYSSEY_SLOTS="3") == named(ODYSSEY_SLOTS="3") == twice[:3]
    assert named(2, ODYSSEY_SLOTS="1") == [("gpu0", "GPU-a")]
    monkeypatch.setattr("engine.launch.slots.read_gpus", lambda environment: gpus)
    assert [name for name, _ in named()] == ["gpu0", "gpu3", "gpu4mig0", "gpu4mig1"]


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/a/b", {"a/b/cpu.max": "100000 100000"}, 1),
        ("0::/a/b", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/elsewhere", {"cpu.max": "150000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/../out", {"out/cpu.max": "100000 100000"}, None),
        ("2:cpuacct,cpu:/j\n0::/", {"cpu,cpuacct/j/cpu.cfs_quota_us": "50000"}, 1),
        ("1:cpu:/j/k\n0::/", {"cpu/j/cpu.cfs_quota_us": "100000", "cpu/j/k/cpu.cfs_quota_us": "-1"}, 1),
        ("3:memory:/j\n1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "memory/j/cpu.cfs_quota_us": "50000"}, None),
    ],
)
def test_a_quota_of_any_control_group_above_bounds_the_cores(tmp_path, groups, files, cores):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    for name, content in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")
        if file.name == "cpu.cfs_quota_us":
            file.with_name("cpu.cfs_period_us").write_text("100000\n")
    assert count_cores(tmp_path) == (cores or len(os.sched_getaffinity(0)))


def test_niceness_takes_no_slots():
    code = "from engine.launch.slots import find_slots; print(len(find_slots()))"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ODYSSEY_SLOTS": ""}
    counted = subprocess.run(("nice", sys.executable, "-c", code), env=environment, capture_output=True, text=True)
    assert int(counted.stdout) == count_cores()


def test_worker_environment_binds_the_slot():
    environment = worker_environment(Slot("gpu1", "1", 4), 4)
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["OMP_NUM_THREADS"]) == ("1", "4")
    assert worker_environment(Slot("cpu0", None, 1), 1)["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["MALLOC_MMAP_THRESHOLD_"] == "4294967296"


def test_an_identity_dies_with_its_process():
    child = subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE)
    identity = Identity.of(child.pid)
    assert identity.alive()
    assert not replace(identity, pid_started=identity.pid_started - 60).alive()
    assert not replace(identity, boot_id="another").alive()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not identity.alive()  # ended, though not collected yet
    child.communicate()
    assert not identity.alive()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times count from the epoch on this system")
def test_setting_the_clock_changes_no_identity(monkeypatch):
    identity = Identity.current()
    started = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: started + 3600)
    assert identity.alive()
    assert Identity.current() == identity


def test_makespan_places_runs_as_the_scheduler_would():
    seconds = {"long": 10.0, "short": 4.0, "child": 5.0, "last": 1.0}
    queued = [run("long"), run("short"), run("child", "short"), run("last", "long", "child")]

    def expect(spec):
        return seconds[spec.run_id]

    assert makespan({}, queued, 2, expect) == 11.0
    assert makespan({}, queued, 1, expect) == 20.0
    assert makespan({"busy": 3.0}, [run("child", "busy"), run("short", "elsewhere")], 2, expect) == 8.0
    assert makespan({}, [], 2, expect) == 0.0


def test_pace_learns_from_what_finished():
    pace = Pace("cpu")
    prior = pace.expect(run("a"))
    pace.observe(run("b"), 3 * prior)
    assert pace.expect(run("a")) == pytest.approx(3 * prior)


def test_pace_listens_to_what_runs_until_it_has_finished():
    pace = Pace("cpu")
    prior = pace.expect(run("a"))
    pace.suppose([(run("b"), 3 * prior)])
    assert pace.expect(run("a")) == pytest.approx(3 * prior)
    pace.suppose([])
    assert pace.expect(run("a")) == prior
    pace.observe(run("b"), prior)
    pace.suppose([(run("c"), 3 * prior)])
    assert pace.expect(run("a")) == pytest.approx(2 * prior)


def test_last_words_come_before_the_interpreters_dump(tmp_path):
    console = tmp_path / "console.log"
    console.write_text(
        "step 1\nmemory allocation of 60 bytes failed\nFatal Python error: Aborted\n\n"
        + "Thread 0x01 (most recent call first):\n"
        + '  File "a.py", line 1 in f\n' * 200
        + f"Extension modules: {'numpy, ' * 800}\n"
    )
    assert tail(console) == "step 1 / memory allocation of 60 bytes failed / Fatal Python error: Aborted"


@pytest.mark.parametrize(
    ("before", "now", "words", "advised"),
    [
        (3, 4, "by the kernel for want of memory (SIGKILL)", True),
        (3, 3, "its worker was ended by SIGKILL", False),
        (None, None, "by SIGKILL, often for want of memory", True),
    ],
)
def test_a_killed_worker_is_put_down_to_memory_when_the_kernel_counts_it(
    tmp_path, monkeypatch, before, now, words, advised
):
    monkeypatch.setattr(workers, "count_memory_kills", lambda: now)
    child = subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    child.wait()
    worker = workers.Worker("w", Slot("cpu0", None, 1), Mailbox(tmp_path), child=child, memory_kills=before)
    assert words in worker.ending()
    assert bool(worker.advice()) == advised
