"""The line of keys at the foot of a screen, as one widget.

Textual's ``Footer`` is a widget for every key, all made anew whenever one changes; here a change is one line drawn, and
no change draws nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.events import Click, MouseMove
from textual.widget import Widget

if TYPE_CHECKING:
    from textual.screen import Screen


class Shown(NamedTuple):
    """A key, what it does in a word and in a line, and whether it can be pressed now."""

    key: str
    display: str
    label: str
    help: str
    enabled: bool


class KeyBar(Widget):
    """The keys that act on the screen now, as far as they fit; a click presses one."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--label"}

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[Shown, ...] = ()
        self._places: list[tuple[range, Shown]] = []
        """The columns of each key."""
        self._waiting = False

    @property
    def shown(self) -> tuple[Shown, ...]:
        """The keys that fitted when it was drawn."""
        return tuple(key for _, key in self._places)

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_unmount(self) -> None:
        self.screen.bindings_updated_signal.unsubscribe(self)

    def on_click(self, event: Click) -> None:
        """Press the key, or tell that it is no use now."""
        key = self._key_at(event.x)
        if key is not None and key.enabled:
            self.app.simulate_key(key.key)
        elif key is not None:
            self.app.bell()

    def on_mouse_move(self, event: MouseMove) -> None:
        """Help for the key under the mouse."""
        key = self._key_at(event.x)
        self.tooltip = key.help if key is not None else None

    def render(self) -> Text:
        key_style = self.get_component_rich_style("keybar--key")
        label_style = self.get_component_rich_style("keybar--label")
        line, self._places = Text(no_wrap=True), []
        for key in self._keys:
            text = Text.assemble((key.display, key_style), (f" {key.label}", label_style))
            if line.cell_len + text.cell_len > self.size.width:
                break
            if not key.enabled:
                text.stylize("dim")
            self._places.append((range(line.cell_len, line.cell_len + text.cell_len), key))
            line.append_text(text).append(" ")
        return line

    def _key_at(self, x: int) -> Shown | None:
        return next((key for columns, key in self._places if x in columns), None)

    def _changed(self, screen: Screen[object]) -> None:
        """Look what is offered, once for all that changes before the next frame."""
        if screen is self.screen and not self._waiting:
            self._waiting = True
            self.call_after_refresh(self._gather)

    def _gather(self) -> None:
        self._waiting = False
        if not self.is_attached:
            return
        by_action: dict[str, Shown] = {}
        for _, binding, enabled, tooltip in self.screen.active_bindings.values():
            if binding.show and binding.action not in by_action:
                display = self.app.get_key_display(binding)
                help_ = tooltip or binding.description
                by_action[binding.action] = Shown(binding.key, display, binding.description, help_, enabled)
        keys = tuple(by_action.values())
        if keys != self._keys:
            self._keys = keys
            self.refresh()
