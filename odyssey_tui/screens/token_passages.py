"""The lower half of the Tokens screen: passages of the text where losses changed most, and the curve over positions.

Both need the losses of single tokens and are sought in threads; the ledger above does not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from odyssey_tui.screens.seeking import SeekingScreen
from odyssey_tui.widgets.token_pane import TokenPane

if TYPE_CHECKING:
    from odyssey_tui.services.passages import Passage
    from odyssey_tui.services.token_details import Changed, Details
    from odyssey_tui.services.tokens import Source
    from store.queries.passages import Passage as Place

NO_PASSAGES = "Only sums are kept of this pair; passages and positions need the losses of single tokens."
SEEKING = "Looking for passages …"
TEXT, CHANGE, LOSSES = "text", "change", "losses"
VIEWS = (TEXT, CHANGE, LOSSES)


class Walk(NamedTuple):
    """The passages that J and K go through: those of the whole text, or those where some token types change."""

    types: frozenset[int] = frozenset()
    """None of them: the whole text."""
    label: str = ""
    falling: bool = False


class PassagesScreen(SeekingScreen):
    """Goes through the passages of ``source``. Subclasses say which rows are under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._view = TEXT
        self.details: Details | None = None
        """What one scan of the losses gathered; None while it is under way."""
        self._leave_passages()

    @property
    def source(self) -> Source | None:
        """The pair on screen."""
        raise NotImplementedError

    def under_cursor(self) -> tuple[frozenset[int], str]:
        """Token types of the row under the cursor, and what they are called."""
        raise NotImplementedError

    def show_details(self, details: Details) -> None:
        """One scan of the losses has ended."""

    def _leave_passages(self) -> None:
        self._walk, self._place = Walk(), 0
        self.details = None
        self._changed: Changed | None = None
        self._passage: Passage | None = None

    def seek_details(self, source: Source) -> None:
        """Forget the passages of another pair and look for those of this one."""
        from odyssey_tui.services.token_details import read_details

        self.forget("details", "passage", "types")
        self._leave_passages()
        self.query_one(TokenPane).show_words(SEEKING if source.report.has_tokens else NO_PASSAGES)
        if source.report.has_tokens:
            self.seek("details", source, lambda: read_details(source), self._show_details)
        self._draw_figure()

    def _show_details(self, details: Details) -> None:
        self.details = details
        self._draw_figure()
        self._go_to(0)
        self.show_details(details)

    def action_open(self) -> None:
        """J and K go through the passages where the type or class under the cursor changes most."""
        types, label = self.under_cursor()
        if types and self.details is not None:
            self._go_along(Walk(types, label, self._walk.falling))

    def action_leave(self) -> None:
        """Back to the passages of the whole text."""
        if self._walk.types:
            self._go_along(Walk(falling=self._walk.falling))

    def action_fall(self) -> None:
        """The passages whose loss fell most, or those where it rose most."""
        if self.details is not None:
            self._walk, self._place = self._walk._replace(falling=not self._walk.falling), 0
            self._go_to(0)

    def action_next_passage(self) -> None:
        """The next passage."""
        self._go_to(self._place + 1)

    def action_previous_passage(self) -> None:
        """The passage before."""
        self._go_to(self._place - 1)

    def action_view(self) -> None:
        """The text, the change of the loss over positions, or the losses over positions."""
        self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
        self._draw_figure()

    def _show_changed(self, changed: Changed) -> None:
        self._changed = changed
        self._go_to(0)

    def _show_passage(self, passage: Passage) -> None:
        self._passage = passage
        self._draw_passage()

    def _go_along(self, walk: Walk) -> None:
        from odyssey_tui.services.token_details import seek_types

        source = self.source
        self._walk, self._place, self._changed = walk, 0, None
        if source is None or not walk.types:
            self.forget("types")
            self._go_to(0)
            return
        self.query_one(TokenPane).show_words(f"Looking for passages of {walk.label} …")
        self.seek("types", (source, walk.types), lambda: seek_types(source, walk.types), self._show_changed)

    def _go_to(self, number: int) -> None:
        source, places = self.source, self._places()
        if source is None or places is None:
            return
        if not places:
            way = "falls" if self._walk.falling else "rises"
            self.query_one(TokenPane).show_words(f"{self._walk.label} {way} in no passage; b looks the other way")
        elif 0 <= number < len(places):
            self._place = number
            place = places[number]
            self.seek("passage", (source, place), lambda: source.read_passage(place), self._show_passage)

    def _places(self) -> tuple[Place, ...] | None:
        """The passages of the walk, None while they are sought."""
        known = self._changed if self._walk.types else self.details
        if known is None:
            return None
        return known.falling if self._walk.falling else known.rising

    def _draw_passage(self) -> None:
        from odyssey_tui.services.token_words import passage_words

        places, passage = self._places(), self._passage
        if places is None or passage is None:
            return
        kind = "Best" if self._walk.falling else "Worst"
        title = f"{kind} passage {self._place + 1} of {len(places)}"
        if self._walk.types:
            title += f" for {self._walk.label}"
        where = passage_words(passage, typed=bool(self._walk.types))
        self.query_one(TokenPane).show_passage(title, where, passage, self._walk.types)

    def _draw_figure(self) -> None:
        from odyssey_tui.services.token_figure import draw_change, draw_losses

        pane = self.query_one(TokenPane)
        pane.turn(self._view != TEXT)
        if self._view == TEXT:
            return
        draw = draw_losses if self._view == LOSSES else draw_change
        kept = self.source is None or self.source.report.has_tokens
        figure = draw(self.details.curve) if self.details is not None else None
        pane.show_figure(figure, SEEKING if kept else NO_PASSAGES)
