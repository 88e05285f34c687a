"""The application shell: modes behind the number keys, one pulse that keeps them current, errors shown once."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter, Monochrome, NoColor
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.timer import Timer

from odyssey_tui.in_turn import KeysInTurn
from odyssey_tui.keymap import bindings
from odyssey_tui.memory import return_arrays
from odyssey_tui.screens.base import OdysseyScreen, reachable_actions
from odyssey_tui.screens.registry import FURTHER, SCREENS
from odyssey_tui.services.states import StateReader
from odyssey_tui.settings import Settings
from odyssey_tui.themes import NO_COLOUR, THEMES, TITLES

if TYPE_CHECKING:
    from textual.driver import Driver

    from odyssey_tui.services.progress import Pulse, PulseReader, Trouble
    from store.workspace import Workspace

LEAVE_ON = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
MONOCHROME = Monochrome()
MOST_TOLD, TOLD_S = 3, 12.0
"""Of what goes wrong at the same time so many are told one by one, each for so many seconds."""
BUSY_S, IDLE_S = 1.0, 3.0
"""Seconds between looks at the workspace while something runs, and while nothing does."""


class OdysseyApp(KeysInTurn, inherit_bindings=False):
    """The full-screen application on one workspace. It owns no job: closing it stops nothing."""

    CSS_PATH = "app.tcss"
    TITLE = "odyssey"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app"), ("ctrl+c", "interrupt", "Interrupt")]
    MODES: ClassVar[dict[str, Any]] = {entry.name: entry.create for entry in (*SCREENS, *FURTHER)}
    DEFAULT_MODE = SCREENS[0].name
    HORIZONTAL_BREAKPOINTS: ClassVar[list[tuple[int, str]] | None] = [(0, "-slim"), (60, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS: ClassVar[list[tuple[int, str]] | None] = [(0, "-tiny"), (8, "-low"), (14, "-high")]

    pulse: reactive[Pulse | None] = reactive(None, init=False)
    """The newest look at the workspace: counts, share done, ETA."""

    @dataclass
    class Pulsed(Message):
        """A look at the workspace ended."""

        pulse: Pulse | None
        error: Exception | None

    def __init__(self, workspace: Workspace, settings: Settings | None = None) -> None:
        super().__init__()
        self.workspace = workspace
        self.settings = settings or Settings()
        self.marked: list[str] = []
        """Runs marked for Compare, in the order they were marked."""
        self.bringing = False
        """Whether the screen that is being opened will be told what to show: reading something else is no use."""
        self._wants_no_color = self.no_color
        """By NO_COLOR, which no theme overrules."""
        self._next_look: Timer | None = None
        self.states = StateReader(workspace)
        """Shared by all that look at the files of runs, so that each is read once."""
        self._reader: PulseReader | None = None
        self._prepared = False
        self._told: set[str] = set()
        """Keys of the troubles that the user has been told of."""
        for theme in THEMES:
            self.register_theme(theme)
        self.choose_theme(NO_COLOUR.name if self._wants_no_color else self.settings.theme)

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice; on a Linux terminal one that sends less."""
        chosen = super().get_driver_class()
        if chosen.__name__ != "LinuxDriver":
            return chosen
        from odyssey_tui.driver import ThinDriver

        return ThinDriver

    def on_mount(self) -> None:
        self.set_keymap(self.settings.keys)
        if not self.is_headless:
            for number in LEAVE_ON:
                asyncio.get_running_loop().add_signal_handler(number, self._leave_on, number)
        # The first rows should not wait for a look at the workspace, nor the look for rows that do not come.
        self._next_look = self.set_timer(BUSY_S, self.look)

    @work(thread=True, exclusive=True, group="pulse", exit_on_error=False)
    def look(self) -> None:
        """Read the workspace's progress off the event loop; the answer arrives as one message."""
        from odyssey_tui.services.progress import PulseReader

        try:
            self._reader = self._reader or PulseReader(self.workspace, self.states)
            self.post_message(self.Pulsed(self._reader.read(), None))
        except Exception as error:
            self.post_message(self.Pulsed(None, error))

    def prepare_screens(self) -> None:
        """Something is about to be on screen: then the workspace is looked at and what is not is imported, once."""
        if not self._prepared:
            self._prepared = True
            self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.look_now()
        self._load_screens()
        if not gc.isenabled():  # as whoever started the application left it
            gc.freeze()
            gc.enable()

    @work(thread=True, group="load screens", exit_on_error=False)
    def _load_screens(self) -> None:
        """Import what is not on screen yet while the user reads: a first visit need not wait for modules and numpy."""
        return_arrays()
        for entry in (*SCREENS, *FURTHER):
            entry.load_all()

    def look_now(self) -> None:
        """Look at once, for example after something was asked for; the next look is counted from here."""
        if self._next_look is not None:
            self._next_look.stop()
        self.look()

    @on(Pulsed)
    def receive_pulse(self, message: Pulsed) -> None:
        """Keep the pulse, tell the screen when there is something new, and ask for the next look."""
        if not self.screen_stack:  # the application is closing
            return
        before, now = self.pulse, message.pulse
        screen = self.base_screen
        if now is not None:
            self.pulse = now
            self._tell(now.troubles, first=before is None)
            self._announce(now)
            if before is None or before.news != now.news:
                screen.reload()
            screen.clear_trouble("workspace")
        elif message.error is not None:
            screen.show_trouble("workspace", message.error)
        if self._next_look is not None:
            self._next_look.stop()
        self._next_look = self.set_timer(BUSY_S if now is not None and now.active else IDLE_S, self.look)

    def _tell(self, troubles: tuple[Trouble, ...], *, first: bool) -> None:
        """Say once what has gone wrong; what had when the application started is on its screens."""
        fresh = [trouble.text for trouble in troubles if trouble.key not in self._told and not first]
        self._told.update(trouble.key for trouble in troubles)
        for text in fresh[:MOST_TOLD]:
            self.notify(text, severity="error", timeout=TOLD_S, markup=False)
        if len(fresh) > MOST_TOLD:
            self.notify(f"and {len(fresh) - MOST_TOLD} more", severity="error", timeout=TOLD_S)
        if fresh:
            self._ring()

    def _announce(self, now: Pulse) -> None:
        """Say which experiments have ended, and once what logging out would do."""
        for text in now.endings:
            self.notify(text, timeout=TOLD_S, markup=False)
        if now.endings:
            self._ring()
        if now.logout and now.logout not in self._told:
            self._told.add(now.logout)
            self.notify(now.logout, severity="warning", timeout=TOLD_S, markup=False)

    def _ring(self) -> None:
        if self.settings.bell:
            self.bell()

    @property
    def base_screen(self) -> OdysseyScreen:
        """The topmost screen that is no dialog."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, OdysseyScreen))

    async def go(self, name: str, context: object = None) -> None:
        """Show a top-level screen; ``context`` is handed to its ``arrive`` (what to show, from another screen)."""
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        self.bringing = context is not None
        await self.switch_mode(name)
        self.bringing = False
        screen = self.base_screen
        if context is not None:
            screen.arrive(context)

    async def action_go(self, name: str) -> None:
        """A number key."""
        await self.go(name)

    def action_keys(self) -> None:
        """``?``: the keys that act here."""
        from odyssey_tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.base_screen, self.settings.keys))

    def action_interrupt(self) -> None:
        """Ctrl-C: leave with the shell's status for an interrupt."""
        self._leave_on(signal.SIGINT)

    def hang_up(self) -> None:
        """The terminal is gone: leave as on the signal that says so."""
        self._leave_on(signal.SIGHUP)

    def _leave_on(self, number: signal.Signals) -> None:
        """Give the terminal back, then end with the shell's status for the signal."""
        self.exit(return_code=128 + number, message=f"{LEAVE_ON[number]}; whatever runs goes on")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: every action of the table that acts on this screen."""
        base = self.base_screen
        for node, action in reachable_actions(base):
            yield SystemCommand(action.label, action.help, partial(self.run_action, action.call, node))
        for entry in FURTHER:
            if entry.name != base.SCOPE:
                yield SystemCommand(entry.title, entry.help, lambda name=entry.name: self.action_go(name))
        for theme in THEMES:
            if theme.name != self.theme:
                title = f"Theme {theme.name.removeprefix('odyssey-')}"
                yield SystemCommand(title, TITLES[theme.name], partial(self.pick_theme, theme.name))
        yield SystemCommand("Screenshot", "save this screen as SVG in the current folder", self.save_screen)

    def copy_to_clipboard(self, text: str) -> None:
        """To that of the terminal one sits at, by every way there is; also what the mouse selected."""
        from odyssey_tui.services.clipboard import hand_to_tmux, sequences

        self._clipboard = text
        if self._driver is not None:
            self._driver.write(sequences(text))
        self.run_worker(partial(hand_to_tmux, text), group="clipboard", thread=True, exit_on_error=False)

    def choose_theme(self, name: str) -> None:
        """Draw with a theme from now on; without colours where it has none, or NO_COLOR says so."""
        self.no_color = self._wants_no_color or name == NO_COLOUR.name
        self.theme = name

    def pick_theme(self, name: str) -> None:
        """A theme from the palette, for this session."""
        self.choose_theme(name)
        from odyssey_tui.settings import settings_path

        self.notify(f"theme: {name} in {settings_path()} keeps it", timeout=5, markup=False)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What lines pass through: without colours all become shades of grey."""
        filters = super().get_line_filters()
        grey = self.no_color and not any(isinstance(one, (Monochrome, NoColor)) for one in filters)
        return [*filters, MONOCHROME] if grey else filters

    def save_screen(self) -> None:
        """Export the screen as SVG."""
        path = Path(self.save_screenshot(path=str(Path.cwd())))
        self.notify(f"saved {path.name}")
