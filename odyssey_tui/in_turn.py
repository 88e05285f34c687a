"""Keys act one after the other, however fast they come."""

from __future__ import annotations

from collections import deque
from typing import Any

from textual import events, on
from textual.app import App
from textual.message import Message
from textual.timer import Timer

LONGEST_S = 1.0
"""For so many seconds keys wait for one whose end is not known: the widget that had it may be gone."""


class KeysInTurn(App[None], inherit_bindings=False):
    """An application in which what a key does is done before the next key is looked at.

    Textual hands a key to the widget that has the focus when the key is read, while what the key before it does,
    such as moving the focus into a field, may still be on its way: of keys that come at once, as over a slow line or
    from a macro, those meant for the field would act on the table.
    """

    class Behind(Message):
        """Follows a key from widget to widget; once it is here, so is the key, or somebody took it."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sent = 0
        """How many keys were handed out."""
        self._travelling = False
        """Whether the last of them is still on its way."""
        self._in_line: deque[events.Key] = deque()
        self._patience: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        """Keys wait for the one before them; everything else is as it was."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._travelling or self._in_line:
            self._in_line.append(event)
        else:
            await self._hand_out(event)

    async def _hand_out(self, key: events.Key) -> None:
        target = self.focused or self.screen
        await super().on_event(key)
        if key.is_forwarded:
            self._sent += 1
            self._travelling = target.post_message(self.Behind(self._sent))
            self._patience = self.set_timer(LONGEST_S, self._lose_patience) if self._travelling else None

    @on(Behind)
    def key_is_done(self, message: Behind) -> None:
        """The next key may go, once the focus is where this one moved it and the screen it opened is there."""
        message.stop()
        if message.number == self._sent:
            self.call_later(self._when_screen_is_ready, message.number)

    def _when_screen_is_ready(self, number: int) -> None:
        if not self.screen.call_later(self.call_later, self._next, number):
            self.call_later(self._next, number)

    def _lose_patience(self) -> None:
        self.call_later(self._next, self._sent)

    async def _next(self, number: int) -> None:
        if number != self._sent or not self._travelling:
            return
        self._travelling = False
        if self._patience is not None:
            self._patience.stop()
        while self._in_line and not self._travelling:
            await self._hand_out(self._in_line.popleft())
