"""What every screen has: bars, a banner for trouble, and one way to read data without blocking the keyboard.

A screen says what to read (``request``, on the event loop), reads it (``load``, in a thread, returns a frozen snapshot)
and shows it (``show``, on the event loop). One read is in flight at a time; asking again meanwhile queues one more, so
slow reads cannot pile up. A snapshot equal to the one on screen draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from odyssey_tui.keymap import ACTIONS, Action, bindings
from odyssey_tui.screens.copying import Copied, copied_readings, copy, row_under_cursor, whole_table
from odyssey_tui.widgets.banner import Banner
from odyssey_tui.widgets.bars import StatusBar, TopBar
from odyssey_tui.widgets.key_bar import KeyBar
from store.errors import OdysseyError

if TYPE_CHECKING:
    from odyssey_tui.app import OdysseyApp


PATIENCE_S = 1.0
"""How long a read may take before it is looked who has the database."""
READING = "Reading the workspace…"
WHAT_TO_PRESS = "3  launch an experiment        1  watch its runs"
"""For screens that have nothing to show before something has run."""


class OdysseyScreen(Screen[None]):
    """Base of the screens. Subclasses set SCOPE and ``BINDINGS = [*bindings("screen", SCOPE)]``."""

    SCOPE: ClassVar[str] = ""
    READS: ClassVar[tuple[str, ...]] = ()
    """Modules that ``load`` and ``show`` import, in a thread of their own while the first screen is read."""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen")]

    @dataclass
    class Loaded(Message):
        """A read ended well."""

        snapshot: Any

    @dataclass
    class LoadFailed(Message):
        """A read failed; the last good data stays on screen."""

        error: Exception

    @dataclass
    class Waiting(Message):
        """A read takes its time; ``holder`` has the database to itself, if any other process has."""

        holder: str

    @dataclass
    class Performed(Message):
        """Something asked for with ``perform`` was done, or was not."""

        result: Any
        error: Exception | None
        then: Callable[[Any], None]
        afterwards: Callable[[], None] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._shown: Any = None
        self._loading = False
        self._again = False
        self._patience: Timer | None = None
        """Until it is said who keeps a read waiting."""
        self._troubles: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        yield TopBar(self.SCOPE)
        yield Banner()
        with Vertical(id="body"):
            yield from self.compose_body()
        yield StatusBar()
        yield KeyBar()

    def compose_body(self) -> ComposeResult:
        """The widgets between the bars."""
        yield from ()

    def request(self) -> Any:
        """What to read, from the state of the widgets; passed to ``load``."""
        return None

    def load(self, request: Any) -> Any:
        """Read, in a thread, and return a frozen snapshot. Must touch no widget; an OdysseyError is shown as it is."""
        return None

    def show(self, snapshot: Any) -> None:
        """Put a snapshot on screen."""

    def arrive(self, context: object) -> None:
        """Another screen sent the user here with something to show."""

    @property
    def odyssey(self) -> OdysseyApp:
        """The application, typed."""
        return cast("OdysseyApp", self.app)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.reload)

    def reload(self) -> None:
        """Read again; if a read is under way, once more after it."""
        if self._loading:
            self._again = True
            return
        self._loading = True
        self._be_patient()
        self.run_worker(partial(self._load, self.request()), group="load", thread=True, exit_on_error=False)

    def _load(self, request: Any) -> None:
        try:
            self.post_message(self.Loaded(self.load(request)))
        except Exception as error:
            self.post_message(self.LoadFailed(error))

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.stop()
        self._patience = self.set_timer(PATIENCE_S, self._look_for_holder)

    def _look_for_holder(self) -> None:
        self.run_worker(self._find_holder, group="holder", thread=True, exit_on_error=False)

    def _find_holder(self) -> None:
        from store.database import find_holder

        self.post_message(self.Waiting(find_holder(self.odyssey.workspace, own=False)))

    @on(Waiting)
    def _tell_holder(self, message: Waiting) -> None:
        if not self._loading:
            return
        if message.holder:
            self._troubles["wait"] = f"waiting for the database, which is in use by {message.holder}"
            self._draw_banner()
        else:
            self.clear_trouble("wait")
        self._be_patient()

    def _read_ended(self) -> None:
        self._loading = False
        if self._patience is not None:
            self._patience.stop()
        self.clear_trouble("wait")

    @on(Loaded)
    def _receive(self, message: Loaded) -> None:
        self._read_ended()
        self.clear_trouble("load")
        if message.snapshot != self._shown:
            self._shown = message.snapshot
            self.show(message.snapshot)
        self._follow()

    @on(LoadFailed)
    def _receive_failure(self, message: LoadFailed) -> None:
        self._read_ended()
        self.show_trouble("load", message.error)
        self._follow()

    def _follow(self) -> None:
        self.odyssey.prepare_screens()
        if self._again:
            self._again = False
            self.reload()

    def expect_change(self) -> None:
        """Something was asked for that others carry out."""
        self.odyssey.look_now()

    def perform(
        self, work: Callable[[], Any], then: Callable[[Any], None], afterwards: Callable[[], None] | None = None
    ) -> None:
        """Do ``work`` in a thread and ``then`` with its result on the event loop; an error is shown instead.

        ``afterwards`` is called after either.
        """

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                self.post_message(self.Performed(None, error, then, afterwards))
            else:
                self.post_message(self.Performed(result, None, then, afterwards))

        self.run_worker(run, group="perform", thread=True, exit_on_error=False)

    @on(Performed)
    def _receive_result(self, message: Performed) -> None:
        if message.error is None:
            message.then(message.result)
        else:
            self.notify(one_line(message.error), severity="error", timeout=10)
        if message.afterwards is not None:
            message.afterwards()

    async def action_matrix(self) -> None:
        """The matrix of adaptations and texts."""
        await self.odyssey.go("matrix")

    def copied(self) -> Copied | None:
        """What ``c`` copies: screens that know better than the row under the cursor say so."""
        return row_under_cursor(self)

    def copied_table(self) -> Copied | None:
        """What ``C`` copies: screens whose table is no widget of rows say so."""
        return whole_table(self)

    def action_copy(self) -> None:
        """``c``: what is under the cursor, or what the cross-hair of a chart reads, to the clipboard."""
        copy(self, copied_readings(self) or self.copied())

    def action_copy_table(self) -> None:
        """``C``: the table that has the focus."""
        copy(self, self.copied_table())

    def action_reload(self) -> None:
        """``r``: read again."""
        self.reload()

    def show_trouble(self, source: str, error: Exception) -> None:
        """Tell why data may be old, until ``clear_trouble`` of the same source."""
        self._troubles[source] = one_line(error)
        self._draw_banner()

    def clear_trouble(self, source: str) -> None:
        """The source works again."""
        if self._troubles.pop(source, None) is not None:
            self._draw_banner()

    def _draw_banner(self) -> None:
        for banner in self.query(Banner):
            banner.text = next(iter(self._troubles.values()), "")


def one_line(error: Exception) -> str:
    """An error as the banner shows it; unexpected ones name their type."""
    if isinstance(error, OdysseyError):
        return f"{error.message} · {error.hint}" if error.hint else error.message
    return f"{type(error).__name__}: {error}"


def following(values: Sequence[Any], current: object) -> Any:
    """The value after ``current``, round and round; the first when it is not there."""
    return values[(values.index(current) + 1) % len(values)] if current in values else values[0]


def reachable_actions(screen: OdysseyScreen) -> Iterator[tuple[DOMNode, Action]]:
    """``offered_actions``, and those of tables and charts in sight without the focus: the palette needs no key."""
    offered = dict.fromkeys(action.id for _, action in offered_actions(screen))
    yield from offered_actions(screen)
    known = {action.id: action for action in ACTIONS}
    for widget in screen.query("#body *").results(Widget):
        if not (widget.focusable and widget.is_on_screen):
            continue
        for binding in widget.BINDINGS:
            if isinstance(binding, Binding) and binding.id in known and binding.id not in offered:
                offered[binding.id] = None
                yield widget, known[binding.id]


def offered_actions(screen: OdysseyScreen) -> Iterator[tuple[DOMNode, Action]]:
    """What can be done on a screen now, in the keymap's order, with the node that does it."""
    active = {
        shown.binding.id: shown for shown in screen.active_bindings.values() if shown.binding.id and shown.enabled
    }
    for action in ACTIONS:
        if action.id in active:
            yield active[action.id].node, action
