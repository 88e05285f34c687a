"""What the driver says of the GPUs, and which of them CUDA would show."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from engine.launch.gpus import read_gpus
from tests.support.gpus import FakeDriver, card

NOT_SUPPORTED, NO_PERMISSION, LOST, NO_DRIVER = 3, 4, 15, 9


@pytest.fixture
def driver(tmp_path, monkeypatch):
    yield FakeDriver(tmp_path / "nvml.json", monkeypatch)
    sys.modules.pop("pynvml", None)


def seen(visible=None):
    return [gpu.uuid for gpu in read_gpus({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})]


def test_no_driver_and_no_card_are_no_error(driver):
    assert read_gpus({}) == ()
    driver.show()
    assert read_gpus({}) == ()
    driver.show(card("a"), nvmlInit=NO_DRIVER)
    assert read_gpus({}) == ()


def test_a_card_tells_everything(driver):
    driver.show(card("a"), card("b", (os.getpid(), 500), (2**22 + 1, None)))
    gpu = read_gpus({})[1]
    assert (gpu.index, gpu.uuid, gpu.name, gpu.utilisation) == (1, "GPU-bbbb", "Fake H100", 0.07)
    assert (gpu.memory_used, gpu.memory_total) == (500_000_000, 80_000_000_000)
    assert (gpu.power_w, gpu.power_limit_w, gpu.temperature_c) == (100, 700, 40)
    mine, stranger = gpu.processes
    assert (mine.pid, mine.user, mine.memory) == (os.getpid(), psutil.Process().username(), 500_000_000)
    assert "python" in mine.command
    assert (stranger.user, stranger.command, stranger.memory) == (None, None, None)


def test_what_is_not_supported_is_none(driver):
    driver.show({"uuid": "GPU-a", "failing": {"nvmlDeviceGetComputeRunningProcesses": NO_PERMISSION}})
    (gpu,) = read_gpus({})
    told = (gpu.utilisation, gpu.memory_used, gpu.memory_total, gpu.power_w, gpu.power_limit_w, gpu.temperature_c)
    assert told == (None,) * 6
    assert (gpu.name, gpu.processes) == ("GPU", ())
    refused = {"nvmlDeviceGetComputeRunningProcesses": NO_PERMISSION, "nvmlDeviceGetGraphicsRunningProcesses": 3}
    driver.show({"failing": refused})
    (gpu,) = read_gpus({})
    assert (gpu.uuid, gpu.processes) == ("0", None)


def test_memory_that_the_driver_keeps_for_itself_is_nobodys(driver):
    driver.show(card("a", failing={"nvmlDeviceGetMemoryInfo_v2": NOT_SUPPORTED}, memory_used_mb=600))
    assert read_gpus({})[0].memory_used == 600_000_000


def test_a_lost_card_hides_no_other(driver):
    driver.show(card("a", failing={"nvmlDeviceGetHandleByIndex": LOST}), card("b"))
    assert seen() == ["GPU-bbbb"]
    assert seen("0") == []
    assert seen("1") == ["GPU-bbbb"]


@pytest.mark.parametrize(
    ("visible", "letters"),
    [
        (None, "abc"),
        ("0,1", "ab"),
        ("2, 0", "ca"),
        ("GPU-bbbb,GPU-aaaa", "ba"),
        ("GPU-c", "c"),
        ("1,GPU-a", "ba"),
        ("", ""),
        ("-1", ""),
        ("1,-1,0", "b"),
        ("1,,0", "b"),
        ("0,7,1", "a"),
        ("GPU-x,0", ""),
        ("GPU-", ""),
        ("none", ""),
        ("0,0", ""),
        ("0,GPU-a", ""),
    ],
)
def test_the_visible_are_those_that_cuda_shows(driver, visible, letters):
    driver.show(card("a"), card("b"), card("c"))
    assert seen(visible) == [f"GPU-{letter * 4}" for letter in letters]


def test_a_divided_card_shows_its_parts(driver):
    parts = [{"uuid": f"MIG-{letter * 4}", "memory_used_mb": 5, "memory_total_mb": 9000} for letter in "xy"]
    driver.show(card("a", mig=parts), card("b"))
    assert seen() == ["MIG-xxxx", "MIG-yyyy", "GPU-bbbb"]
    assert seen("MIG-yyyy") == ["MIG-yyyy"]
    assert seen("0,1") == ["MIG-xxxx", "GPU-bbbb"]
    assert seen("GPU-aaaa") == []
    first = read_gpus({})[0]
    assert (first.mig, first.utilisation, first.memory_total, first.temperature_c) == (True, None, 9_000_000_000, 40)
    driver.show(card("a", mig=[]), card("b"))
    assert seen() == ["GPU-bbbb"]
