"""Sleeping until somebody has something to do: woken at once where that is possible, else after a while."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from engine.launch.wake import Sleeper, wake

LONG_S = 30.0


@pytest.mark.skipif(sys.platform != "linux", reason="names without files are Linux's")
def test_a_sleeper_is_woken(tmp_path):
    sleeper = Sleeper(tmp_path / "inbox.json")
    wake(tmp_path / "another.json")
    wake(tmp_path / "inbox.json")  # before it sleeps: it does not miss that
    wake(tmp_path / "inbox.json")
    began = time.monotonic()
    sleeper.sleep(LONG_S)
    waker = threading.Timer(0.05, wake, (tmp_path / "inbox.json",))
    waker.start()
    sleeper.sleep(LONG_S)
    waker.join()
    assert 0.04 < time.monotonic() - began < LONG_S
    sleeper.sleep(0.01)  # nothing is left over
    assert list(tmp_path.iterdir()) == []
    sleeper.close()
    wake(tmp_path / "inbox.json")


def test_without_such_names_it_sleeps_its_time(tmp_path, monkeypatch):
    first = Sleeper(tmp_path / "inbox.json")
    second = Sleeper(tmp_path / "inbox.json")
    began = time.monotonic()
    second.sleep(0.05)
    assert time.monotonic() - began >= 0.05
    first.close()
    second.close()

    def refuse(*arguments: object) -> None:
        raise OSError

    monkeypatch.setattr(socket.socket, "bind", refuse)
    third = Sleeper(tmp_path / "inbox.json")
    third.sleep(0.01)
    third.close()
