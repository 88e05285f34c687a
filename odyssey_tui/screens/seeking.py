"""Screens with slow parts: each kind of work has one thread at a time, and what was asked for last wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from textual import on
from textual.message import Message

from odyssey_tui.screens.base import OdysseyScreen


class Wish(NamedTuple):
    """What is to be found out: ``of`` tells one wish from another of the same kind."""

    of: object
    work: Callable[[], Any]
    then: Callable[[Any], None]


class SeekingScreen(OdysseyScreen):
    """``seek`` works in a thread and hands the result over on the event loop, unless something else was asked since."""

    @dataclass
    class Sought(Message):
        """A thread ended."""

        kind: str
        of: object
        result: Any
        error: Exception | None

    def __init__(self) -> None:
        super().__init__()
        self._wishes: dict[str, Wish] = {}
        self._seeking: set[str] = set()

    def seek(self, kind: str, of: object, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Find out ``of`` by ``work``, then call ``then``; an error stays in the banner until the kind succeeds.

        While a thread of this kind works, only the newest wish waits: however fast keys are pressed, work does not
        pile up.
        """
        self._wishes[kind] = Wish(of, work, then)
        if kind not in self._seeking:
            self._start(kind)

    def forget(self, *kinds: str) -> None:
        """Nothing is waited for any more."""
        for kind in kinds:
            self._wishes.pop(kind, None)
            self.clear_trouble(kind)

    def _start(self, kind: str) -> None:
        self._seeking.add(kind)
        work = partial(self._seek, kind, self._wishes[kind])
        self.run_worker(work, group=f"seek-{kind}", thread=True, exit_on_error=False)

    def _seek(self, kind: str, wish: Wish) -> None:
        try:
            self.post_message(self.Sought(kind, wish.of, wish.work(), None))
        except Exception as error:
            self.post_message(self.Sought(kind, wish.of, None, error))

    @on(Sought)
    def _receive_sought(self, message: Sought) -> None:
        self._seeking.discard(message.kind)
        wish = self._wishes.get(message.kind)
        if wish is None:
            return
        if wish.of != message.of:
            self._start(message.kind)
            return
        del self._wishes[message.kind]
        if message.error is not None:
            self.show_trouble(message.kind, message.error)
            return
        self.clear_trouble(message.kind)
        wish.then(message.result)
