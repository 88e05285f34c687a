"""Screen 6: which token types carry the change of loss, what remains when some are masked, and where in the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, OdysseyScreen
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.services.format import signed
from odyssey_tui.widgets.keyed_table import KeyedTable
from odyssey_tui.widgets.token_rows import class_columns, class_rows, type_columns, type_rows
from store.shards import BLOCK_TOKENS

if TYPE_CHECKING:
    from odyssey_tui.services.ledger import Ledger
    from odyssey_tui.services.passages import Passage
    from odyssey_tui.services.tokens import PairName, TokenReport

LISTED = 300
"""Token types in the table; the sums are over all of them."""
NO_PASSAGES = "Only sums are kept of this pair; passages need the losses of single tokens."
CLASS_KEY, TYPE_KEY = "class:", "type:"


class Request(NamedTuple):
    """Which pair (None: the last state that worsened most), on which set, which passage, and what is known already."""

    pair: tuple[str, str | None] | None
    on: str
    place: int
    known: TokenReport | None


class Snapshot(NamedTuple):
    """A pair with one of its passages; ``report`` is None while there is no pair at all."""

    report: TokenReport | None
    passage: Passage | None
    place: int
    pairs: tuple[PairName, ...]


class TokensScreen(OdysseyScreen):
    """The ledger of one pair: types, classes, masks and the text as a heat map."""

    SCOPE = "tokens"
    CSS_PATH = "tokens.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "tokens")]

    def __init__(self) -> None:
        super().__init__()
        self._pair: tuple[str, str | None] | None = None
        self._on = "target"
        self._place = 0
        self._masked: frozenset[int] = frozenset()
        self._snapshot: Snapshot | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(READING, id="empty", markup=False)
        yield Static("", id="pair", markup=False)
        yield Static("", id="finding", markup=False)
        yield Static("", id="masked", markup=False)
        with Horizontal(id="tables"):
            yield KeyedTable(id="types")
            yield KeyedTable(id="classes")
        with Vertical(id="text"):
            yield Static("", id="place", markup=False)
            with VerticalScroll(id="heat-scroll"):
                yield Static("", id="heat", markup=False)

    def on_mount(self) -> None:
        self.set_class(True, "-empty")
        self.query_one("#types", KeyedTable).focus()
        self.watch(self.app, "theme", self._draw_heat, init=False)

    def on_resize(self) -> None:
        if self._snapshot is not None:
            self._draw_tables()

    def arrive(self, context: object) -> None:
        """A pair of evaluations, or a run, chosen on another screen."""
        before, after = (context, None) if isinstance(context, str) else context  # type: ignore[misc]
        self._choose((before, after))

    def request(self) -> Request:
        known = self._snapshot.report if self._snapshot is not None else None
        pair = self._pair
        if pair is None and self.odyssey.marked and known is None:
            pair = (self.odyssey.marked[0], None)
        if pair is None and known is not None:
            pair = (known.name.before_id, known.name.after_id)
        return Request(pair, self._on, self._place, known)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.tokens import list_pairs, pair_ids, read_passage, read_tokens

        workspace = self.odyssey.workspace
        pairs = tuple(list_pairs(workspace))
        if request.pair is None and not pairs:
            return Snapshot(None, None, 0, pairs)
        pair = request.pair or pair_ids(pairs[0])
        known = request.known
        if known is not None and pair == pair_ids(known.name):
            report = known
        else:
            report = read_tokens(workspace, *pair, on=request.on)
        place = min(request.place, len(report.places) - 1)
        passage = read_passage(workspace, report.name, report.places[place]) if report.places else None
        return Snapshot(report, passage, place, pairs)

    def show(self, snapshot: Snapshot) -> None:
        before = self._snapshot.report if self._snapshot is not None else None
        self._snapshot = snapshot
        self.set_class(snapshot.report is None, "-empty")
        if snapshot.report is None:
            from odyssey_tui.services.tokens import NO_PAIR, NO_PAIR_HINT

            self.query_one("#empty", Static).update(f"{NO_PAIR}\n\n{NO_PAIR_HINT}\n\n{WHAT_TO_PRESS}")
            return
        self._pair = (snapshot.report.name.before_id, snapshot.report.name.after_id)
        self._on = snapshot.report.name.role
        if before is not snapshot.report:
            self._masked = frozenset()
            self._draw_head()
            self._draw_tables()
        self._draw_text()

    def action_mask(self) -> None:
        """Mask the type or class under the cursor, or unmask it; the perplexities follow at once."""
        ledger, chosen = self._ledger(), self._chosen_types()
        if ledger is None or not chosen:
            return
        self._masked = self._masked - chosen if chosen <= self._masked else self._masked | chosen
        self._draw_masked()
        self._draw_tables()
        self._draw_heat()

    def action_unmask(self) -> None:
        """Forget every mask."""
        self._masked = frozenset()
        self._draw_masked()
        self._draw_tables()
        self._draw_heat()

    def action_next_passage(self) -> None:
        """The next worst passage."""
        self._go_to(self._place + 1)

    def action_previous_passage(self) -> None:
        """The passage before."""
        self._go_to(self._place - 1)

    def action_pair(self) -> None:
        """Choose another pair from a list, last states and what worsened most first."""
        if self._snapshot is None or not self._snapshot.pairs:
            return
        pairs = self._snapshot.pairs
        titles = [
            f"{signed(pair.delta)}  {pair.eval_set:<8.8}  "
            f"{pair.before_words} → {pair.after_words.removeprefix('adapted to ')}"
            for pair in pairs
        ]

        def chosen(index: int | None) -> None:
            if index is not None:
                self._choose((pairs[index].before_id, pairs[index].after_id))

        self.app.push_screen(ChooseScreen("ΔL, on, base state → adapted state", titles), chosen)

    def action_set(self) -> None:
        """The same state on its other evaluation set."""
        report = self._snapshot.report if self._snapshot is not None else None
        if report is None or self._snapshot is None:
            return
        same = [pair for pair in self._snapshot.pairs if pair.after == report.name.after]
        position = next((i for i, pair in enumerate(same) if pair.after_id == report.name.after_id), -1)
        if len(same) > 1 and position >= 0:
            following = same[(position + 1) % len(same)]
            self._choose((following.before_id, following.after_id))
        else:
            self.notify("this state is evaluated on one set only", severity="warning")

    def _choose(self, pair: tuple[str, str | None]) -> None:
        self._pair, self._place = pair, 0
        self.reload()

    def _go_to(self, place: int) -> None:
        report = self._snapshot.report if self._snapshot is not None else None
        if report is not None and 0 <= place < len(report.places):
            self._place = place
            self.reload()

    def _ledger(self) -> Ledger | None:
        report = self._snapshot.report if self._snapshot is not None else None
        return report.ledger if report is not None else None

    def _chosen_types(self) -> frozenset[int]:
        """Token ids of the row under the cursor of the focused table."""
        ledger = self._ledger()
        focused = self.focused if isinstance(self.focused, KeyedTable) else self.query_one("#types", KeyedTable)
        key = focused.current or ""
        if ledger is None or not key:
            return frozenset()
        if key.startswith(CLASS_KEY):
            return ledger.types_of(key.removeprefix(CLASS_KEY))
        return frozenset({int(key.removeprefix(TYPE_KEY))})

    def _draw_head(self) -> None:
        from odyssey_tui.services.tokens import tell_ledger

        report = self._snapshot.report if self._snapshot is not None else None
        if report is None:
            return
        name = report.name
        on = name.eval_set if name.eval_set == name.role else f"{name.eval_set} ({name.role})"
        pair = Text(f"{name.before_words} → {name.after_words}, on {on}", style="bold")
        pair.append(f"  {report.scheme} · {name.before} → {name.after}", style="not bold dim")
        self.query_one("#pair", Static).update(pair)
        self.query_one("#finding", Static).update(" ".join(tell_ledger(report.ledger)))
        self._draw_masked()

    def _draw_masked(self) -> None:
        ledger = self._ledger()
        if ledger is None:
            return
        line = Text("Masked PPL ", style="dim")
        if not self._masked:
            line.append("– nothing is masked; m masks the type or class under the cursor", style="dim")
        else:
            found = ledger.masked(self._masked)
            line.append(f"{found.ppl_before:.3f} → {found.ppl_after:.3f}", style="bold")
            line.append(f"  ΔL {signed(found.delta, 4)}")
            away = ledger.predicted - found.predicted
            types = "1 type" if len(self._masked) == 1 else f"{len(self._masked)} types"
            line.append(f"  without {types}, {away:,} of {ledger.predicted:,} tokens", style="dim")
        self.query_one("#masked", Static).update(line)

    def _draw_tables(self) -> None:
        ledger = self._ledger()
        if ledger is None:
            return
        wide = self.has_class("-wide")
        types, classes = self.query_one("#types", KeyedTable), self.query_one("#classes", KeyedTable)
        types.show(type_columns(wide), type_rows(ledger.rows(LISTED), self._masked, wide, TYPE_KEY))
        classes.show(class_columns(wide), class_rows(ledger, self._masked, wide, CLASS_KEY))

    def _draw_text(self) -> None:
        snapshot = self._snapshot
        if snapshot is None or snapshot.report is None:
            return
        if snapshot.passage is None:
            self.query_one("#place", Static).update(NO_PASSAGES)
            self.query_one("#heat", Static).update("")
            return
        from odyssey_tui.widgets.heat_text import heat_legend

        passage = snapshot.passage
        line = Text(f"Worst passage {snapshot.place + 1} of {len(snapshot.report.places)}", style="bold")
        where = f"document {passage.document}" if passage.document is not None else "between documents"
        line.append("  ").append_text(heat_legend(dark=self.app.current_theme.dark, color=not self.app.no_color))
        line.append(
            f"  Δ {signed(passage.delta, 2)} nats, {signed(passage.mean, 2)} a token"
            f"  {where}, token {passage.block * BLOCK_TOKENS + passage.start:,}",
            style="not bold dim",
        )
        self.query_one("#place", Static).update(line)
        self.query_one("#heat-scroll", VerticalScroll).scroll_home(animate=False)
        self._draw_heat()

    def _draw_heat(self) -> None:
        from odyssey_tui.widgets.heat_text import heat_text

        passage = self._snapshot.passage if self._snapshot is not None else None
        if passage is not None:
            look = {"dark": self.app.current_theme.dark, "color": not self.app.no_color}
            text = heat_text(passage, self._masked, **look)
            self.query_one("#heat", Static).update(text)

    @on(KeyedTable.RowSelected)
    def toggle_clicked(self) -> None:
        """Enter, or a click on the row under the cursor, masks as ``m`` does."""
        self.action_mask()
