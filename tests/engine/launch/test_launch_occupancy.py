"""GPUs that other people use are left to them; this workspace's own processes do not count."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from engine.launch.gpus import Gpu, GpuProcess
from engine.launch.hiring import REST_S, Hiring
from engine.launch.mailbox import Card, Mailbox, Order, Slot
from engine.launch.occupancy import LOOK_S, MB, Occupancy, Own, held_by_others, list_own
from engine.launch.process import Identity, Instant
from engine.launch.queue_state import queue_state
from engine.launch.workers import Pool
from store.workspace import Workspace
from tests.support.gpus import FakeDriver, card

OURS = Own(frozenset({1, 2}), {"GPU-a": 1})
NOBODY = Own()


def gpu(*processes, used=None, listed=True):
    found = tuple(GpuProcess(pid, user, user and "cmd", size and size * MB) for pid, user, size in processes)
    return Gpu(0, "GPU-a", "x", memory_used=None if used is None else used * MB, processes=found if listed else None)


@pytest.mark.parametrize(
    ("shown", "own", "inside", "megabytes"),
    [
        (gpu(), NOBODY, False, 0),
        (gpu((1, "me", 900), (7, "bob", 40), used=940), OURS, False, 40),
        (gpu((1, "me", 900), used=1500), OURS, False, 0),  # the rest is the driver's
        (gpu((7, None, 900), used=900), OURS, False, 900),  # somebody whose processes are hidden
        # Sizes that the driver does not tell: what is used and not ours.
        (gpu((1, "me", 900), (7, "bob", None), used=1500), OURS, False, 600),
        (gpu((1, "me", None), (7, "bob", None), used=1500), OURS, False, None),
        (gpu((1, "me", None), used=1500), OURS, False, 0),
        (gpu((7, "bob", None)), NOBODY, False, None),
        # No list.
        (gpu(used=900, listed=False), NOBODY, False, 900),
        (gpu(used=900, listed=False), OURS, False, 0),
        (gpu(listed=False), NOBODY, False, 0),
        # In a container: numbers of the machine, or nobody listed.
        (gpu((4001, None, 900), used=900), OURS, True, 0),
        (gpu((4001, None, 900), (4002, None, 50), used=950), OURS, True, 900),
        (gpu((4001, None, 900), used=900), NOBODY, True, 900),
        (gpu(used=900), NOBODY, True, 900),
        (gpu(used=900), OURS, True, 0),
        (gpu((1, "me", 900), used=1500), OURS, True, 600),  # the neighbour is not listed
    ],
)
def test_what_others_hold(shown, own, inside, megabytes):
    assert held_by_others(shown, own, inside)[0] == (None if megabytes is None else megabytes * MB)


def write_worker(workspace, name, pid, slot, seq=1):
    mailbox = Mailbox(workspace.workers / name)
    mailbox.write_slot(slot)
    mailbox.write_card(Card(Identity.of(pid), warm=True))
    mailbox.write_order(Order(seq, given=Instant.now()))


def test_workers_and_what_they_started_are_ours(tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()']); print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen((sys.executable, "-c", code), stdin=pipe, stdout=pipe, start_new_session=True) as child:
        child.stdout.readline()
        write_worker(workspace, "gpu0-1", child.pid, Slot("gpu0+gpu1", "GPU-a,GPU-b", 2))
        write_worker(workspace, ".foreground-9", os.getpid(), Slot("gpu1", "GPU-b", 2), seq=0)
        own = list_own(workspace)
        grown = subprocess.check_output(("pgrep", "-P", str(child.pid)), text=True)
        assert {child.pid, int(grown), os.getpid()} <= own.pids
        assert own.computed == {"GPU-a": 1, "GPU-b": 1}
        child.stdin.close()
    assert child.pid not in list_own(workspace).pids


def test_the_driver_is_asked_every_few_seconds(tmp_path):
    now, shown, asked = [0.0], [gpu((7, "bob", 9000))], []

    def read():
        asked.append(now[0])
        return (shown[0],)

    workspace = Workspace.create(tmp_path / "w")
    occupancy = Occupancy(workspace, [Slot("gpu0", "GPU-a", 1)], read=read, clock=lambda: now[0])
    assert occupancy.look()
    assert occupancy.busy == {"GPU-a": "bob: cmd (9.0 GB)"}
    shown[0] = gpu()
    assert not occupancy.look()
    now[0] += LOOK_S
    assert occupancy.look()
    assert occupancy.busy == {}
    assert len(asked) == 2
    cores = Occupancy(workspace, [Slot("cpu0", None, 1)], read=read)
    assert not cores.look()
    assert len(asked) == 2


def test_a_card_the_driver_no_longer_shows_is_not_free(tmp_path):
    occupancy = Occupancy(Workspace.create(tmp_path / "w"), [Slot("gpu0", "GPU-a", 1)], read=lambda: ())
    assert occupancy.look()
    assert "driver" in occupancy.busy["GPU-a"]


def test_an_idle_worker_leaves_its_gpu_to_others(tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    slots = [Slot("gpu0", "GPU-a", 1), Slot("gpu1", "GPU-b", 1), Slot("gpu2", "GPU-c", 1)]
    write_worker(workspace, "gpu0-1", os.getpid(), slots[0])
    write_worker(workspace, "gpu1-1", os.getpid(), slots[1])
    write_worker(workspace, "gpu2-1", os.getpid(), slots[2], seq=0)  # it has not computed yet
    for name in ("gpu0-1", "gpu1-1"):
        Mailbox(workspace.workers / name).write_card(Card(Identity.current(), finished=1, warm=True))
    pool = Pool(workspace)
    pool.adopt()
    shown, now = [Gpu(place, slot.gpu, "x") for place, slot in enumerate(slots)], [0.0]
    occupancy = Occupancy(workspace, slots, read=lambda: tuple(shown), clock=lambda: now[0])
    hiring = Hiring(pool, slots, occupancy, clock=lambda: now[0])

    def leaving():
        hiring.look([], lambda: False)
        return [name for name, worker in sorted(pool.workers.items()) if worker.order.exit]

    assert leaving() == []
    shown[1] = Gpu(1, "GPU-b", "x", processes=(GpuProcess(2**22 + 1, "bob", "cmd", 10**10),))
    now[0] += LOOK_S
    leaving()
    assert leaving() == ["gpu1-1"]
    now[0] += REST_S
    assert leaving() == ["gpu0-1", "gpu1-1"]


@pytest.fixture
def driver(tmp_path, monkeypatch):
    yield FakeDriver(tmp_path / "nvml.json", monkeypatch)
    sys.modules.pop("pynvml", None)


def test_a_busy_card_is_left_alone_until_it_is_free(bench, driver, start_scheduler):
    other = (os.getpid(), 9000)
    driver.show(card("a", other), card("b"))
    first, second = bench.queue("a-first", "finish"), bench.queue("b-second", "finish")
    start_scheduler()
    bench.until(lambda: bench.state(second) == "done")
    slots = {slot.name: slot.busy for slot in queue_state(bench.workspace).slots}
    assert slots["gpu1"] == ""
    assert "python" in slots["gpu0"]
    assert "(9.0 GB)" in slots["gpu0"]
    assert {bench.workspace.run(run_id).state().worker[:5] for run_id in (first, second)} == {"gpu1-"}
    driver.show(card("a", other), card("b", other))
    bench.until(lambda: all(slot.busy for slot in queue_state(bench.workspace).slots))
    third = bench.queue("c-third", "finish")
    bench.until(lambda: queue_state(bench.workspace).queued == (third,) and bench.said(third) == ["queued"])
    assert bench.state(third) == "queued"
    driver.show(card("a"), card("b", other))
    bench.until(lambda: bench.state(third) == "done")
    assert bench.workspace.run(third).state().worker.startswith("gpu0-")
