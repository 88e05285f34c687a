"""GPUs in tests: what the driver says stands in a JSON file (see ``fake_nvml/pynvml.py``)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).with_name("fake_nvml")


class FakeDriver:
    """The file, and what makes this process and those it starts read it."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        monkeypatch.setenv("FAKE_NVML", str(path))
        monkeypatch.setenv("PYTHONPATH", f"{FOLDER}:{os.environ.get('PYTHONPATH', '')}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.syspath_prepend(str(FOLDER))
        monkeypatch.delitem(sys.modules, "pynvml", raising=False)

    def show(self, *cards: dict[str, Any], driver: str | None = None, cuda: int | None = None, **failing: int) -> None:
        """Say from now on that there are these cards; ``failing`` maps calls to error codes, ``cuda`` is 12040 for
        12.4."""
        told = {name: value for name, value in (("driver", driver), ("cuda", cuda)) if value is not None}
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps({"cards": cards, "failing": failing, **told}))
        temporary.replace(self._path)


def card(letter: str, *processes: tuple[int, int | None], **more: Any) -> dict[str, Any]:
    """A card ``GPU-aaaa`` with processes (pid, megabytes) and the memory they use."""
    used = sum(memory or 0 for _, memory in processes)
    return {
        "uuid": f"GPU-{letter * 4}",
        "name": "Fake H100",
        "utilisation": 7,
        "memory_used_mb": used,
        "memory_total_mb": 80000,
        "power_w": 100,
        "power_limit_w": 700,
        "temperature_c": 40,
        "processes": [{"pid": pid, "memory_mb": memory} for pid, memory in processes],
        **more,
    }
