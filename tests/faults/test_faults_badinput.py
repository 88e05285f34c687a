"""Damaged files of every kind under every command: no traceback, no hang, the file named, nothing else harmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.badinput import try_one
from bench.faulting.estate import KINDS, Estate, build_estate
from bench.faulting.probes import Told, faults_of, preload

pytestmark = pytest.mark.slow

EACH = 2


@pytest.fixture(scope="module")
def estates(tmp_path_factory: pytest.TempPathFactory) -> list[Estate]:
    preload()
    folder = tmp_path_factory.mktemp("estates")
    return [build_estate(folder / name, ingested=name == "ingested") for name in ("fresh", "ingested")]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_damaged_file(estates: list[Estate], tmp_path: Path, kind: str) -> None:
    found = []
    for number in range(EACH):
        _, faults, _ = try_one(estates[number % 2], tmp_path / "copy", 100 + number, kind)
        found += faults
    assert not found, "\n".join(found)


def test_what_counts_as_a_fault() -> None:
    def told(status: int | None, err: str) -> Told:
        return Told(("runs",), status, "", err, 0.1)

    names = ("spec.json",)
    assert not faults_of(told(0, ""), names)
    assert not faults_of(told(4, "error: spec.json:1: not JSON\n  Restore it.\n"), names)
    assert "does not name" in faults_of(told(4, "error: a file is damaged\n  Restore it.\n"), names)[0]
    assert "does not say what to do" in faults_of(told(4, "error: spec.json is damaged\n"), names)[0]
    assert "breaks" in faults_of(told(70, "error: TypeError: no\n  This is a bug\n"), names)[0]
    assert "breaks" in faults_of(told(0, "Traceback (most recent call last):\nKeyError: 'a'\n"), names)[0]
    assert "hangs" in faults_of(told(None, ""), names)[0]
