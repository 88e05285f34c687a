"""The line of screens at the top and the line of progress at the bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.events import Click
from textual.widgets import Static

from odyssey_tui.screens.registry import SCREENS
from odyssey_tui.services.format import bar, duration

if TYPE_CHECKING:
    from odyssey_tui.services.progress import Pulse


class TopBar(Static):
    """The screens with their number keys, which a click opens too; the current one stands out. On the right the
    workspace, if it fits."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"topbar--current"}

    def __init__(self, current: str) -> None:
        super().__init__()
        self.current = current
        self._places: list[tuple[range, str]] = []
        """The columns of each title, and its screen."""

    async def on_click(self, event: Click) -> None:
        """Open the screen whose title was clicked."""
        for columns, name in self._places:
            if event.x in columns and name != self.current:
                await self.app.run_action(f"app.go({name!r})")

    def render(self) -> Text:
        standing_out = self.get_component_rich_style("topbar--current")
        # Where not every title fits, with two spaces between them or one, the current one does.
        letters = sum(len(entry.title) + len(entry.key) for entry in SCREENS)
        titled = letters + 2 * len(SCREENS) < self.size.width
        space = " " if not titled or letters + 3 * len(SCREENS) < self.size.width else ""
        line = Text(" ")
        self._places = []
        for entry in SCREENS:
            begins = len(line)
            if entry.name == self.current:
                line.append(f"{space}{entry.key} {entry.title} ", style=standing_out)
            else:
                line.append(f"{space}{entry.key} ", style="dim").append(f"{entry.title} " if titled else "")
            self._places.append((range(begins, len(line)), entry.name))
        name = self.app.workspace.root.name
        room = self.size.width - line.cell_len - len(name) - 1
        return line.append(" " * room + name, style="dim") if room > 0 else line


class StatusBar(Static):
    """What runs, how far everything queued is, and how long the rest takes."""

    def on_mount(self) -> None:
        self.watch(self.app, "pulse", self._draw)

    def on_resize(self) -> None:
        self._draw(self.app.pulse)

    def _draw(self, pulse: Pulse | None) -> None:
        self.update(progress_line(pulse, self.size.width) if pulse is not None else Text("reading the workspace …"))


def progress_line(pulse: Pulse, width: int) -> Text:
    """At most ``width`` cells: counts, then, while something is active, what runs with a bar and its ETA."""
    counts = " · ".join(f"{count} {state}" for state, count in pulse.counts)
    line = Text(counts or "no runs yet")
    if pulse.paused:
        return line.append(f"  paused: {pulse.paused}", "bold")
    if not pulse.active:
        return line
    if not pulse.works:
        return line.append("  nobody works on the queue", "bold")
    eta = f" {duration(pulse.eta_s)} left" if pulse.eta_s is not None else ""
    share = f" {pulse.share:4.0%}{eta}"
    label = f"{pulse.label} " if pulse.label else ""
    room = width - line.cell_len - len(share) - 3
    if room < 8:
        return Text(f"{bar(pulse.share, max(4, width - len(share) - 2))}{share}")
    label = label if len(label) <= room - 12 else label[: max(0, room - 14)] + "… " if room > 20 else ""
    return line.append(f"  {label}").append(bar(pulse.share, min(30, room - len(label)))).append(share)
