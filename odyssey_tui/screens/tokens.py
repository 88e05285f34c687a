"""Screen 6: which token types carry the change of loss, what remains when some are masked, and where in the text.

The ledger comes from sums and is on screen first. What needs the losses of single tokens is sought behind it: passages,
intervals, the curve over positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS
from odyssey_tui.screens.choose import ChooseScreen
from odyssey_tui.screens.copying import Copied
from odyssey_tui.screens.token_drift import DriftScreen
from odyssey_tui.services.format import signed
from odyssey_tui.services.token_text import visible
from odyssey_tui.widgets.keyed_table import KeyedTable
from odyssey_tui.widgets.long_table import LongTable
from odyssey_tui.widgets.token_pane import TokenPane
from odyssey_tui.widgets.token_rows import class_columns, class_rows, type_cells, type_columns

if TYPE_CHECKING:
    from engine.stats import MeanDifference
    from odyssey_tui.services.ledger import Ledger
    from odyssey_tui.services.token_details import Details
    from odyssey_tui.services.tokens import Found, StoredPair

CLASS_KEY, TYPE_KEY = "class:", "type:"


class Request(NamedTuple):
    """Which pair (None: the last state that worsened most), on which set, and what is known already."""

    pair: tuple[str, str | None] | None
    on: str
    known: StoredPair | None


class TokensScreen(DriftScreen):
    """The ledger of one pair: types, classes, masks and the text as a heat map."""

    SCOPE = "tokens"
    READS = (
        "odyssey_tui.services.tokens",
        "odyssey_tui.services.token_details",
        "odyssey_tui.services.token_figure",
        "store.queries.evaluations",
        "store.queries.tokens",
        "store.queries.passages",
        "store.queries.positions",
        "store.queries.drift",
        "numpy.ma",  # duckdb asks for it with the first arrays
        "numpy.random",
        "rich._emoji_codes",
    )
    CSS_PATH = "tokens.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "tokens")]

    def __init__(self) -> None:
        super().__init__()
        self.add_class("-empty")
        self._wanted: tuple[str, str | None] | None = None
        self._asked = self._wanted
        """What was wanted when the read under way began."""
        self._on = "target"
        self._found: Found | None = None
        self._keys: tuple[str, ...] = ()
        self._read_anew = False
        self._masked: frozenset[int] = frozenset()
        self._interval: MeanDifference | None = None
        self._by_class: Mapping[str, MeanDifference] | None = None
        self._masked_interval: MeanDifference | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(READING, id="empty", markup=False)
        for line in ("pair", "basis", "change", "rise", "masked"):
            yield Static("", id=line, markup=False, classes="line")
        with Horizontal(id="tables"):
            yield LongTable(id="types")
            yield KeyedTable(id="classes")
        yield TokenPane(id="text")

    def on_mount(self) -> None:
        self.query_one("#types", LongTable).focus()
        if not self.odyssey.bringing:
            self.reload()  # while the widgets are laid out, the database can be read

    def on_screen_resume(self) -> None:
        if not self._loading:
            super().on_screen_resume()

    def on_resize(self) -> None:
        self._draw_tables()

    def arrive(self, context: object) -> None:
        """A pair of evaluations, or a run, chosen on another screen."""
        before, after = (context, None) if isinstance(context, str) else context  # type: ignore[misc]
        self._on = "target"
        self._choose((before, after))

    def request(self) -> Request:
        known = self.source if not self._read_anew else None
        self._read_anew = False
        pair = self._asked = self._wanted
        if pair is None and self.odyssey.marked:
            pair = (self.odyssey.marked[0], None)
        return Request(pair, self._on, known)

    def load(self, request: Request) -> Found:
        from odyssey_tui.services.tokens import find_tokens

        return find_tokens(self.odyssey.workspace, request.pair, on=request.on, known=request.known)

    def show(self, snapshot: Found) -> None:
        if self._wanted != self._asked:
            return  # another pair was chosen meanwhile and is read next
        before, self._found = self.source, snapshot
        self.set_class(snapshot.pair is None, "-empty")
        if snapshot.pair is None:
            from odyssey_tui.services.tokens import NO_PAIR, NO_PAIR_HINT

            self.query_one("#empty", Static).update(f"{NO_PAIR}\n\n{NO_PAIR_HINT}\n\n{WHAT_TO_PRESS}")
            return
        name = snapshot.pair.report.name
        self._wanted, self._on = (name.before_id, name.after_id), name.role
        if before is not snapshot.pair:
            self._show_pair(snapshot.pair, again=before is not None and before.report.name == name)

    def _show_pair(self, source: StoredPair, *, again: bool) -> None:
        """First rows; ``again``: the same pair has other losses, masks stay."""
        tokens = source.report.ledger.token_ids.tolist()
        self._keys = tuple(f"{TYPE_KEY}{token}" for token in tokens)
        self._masked = self._masked.intersection(tokens) if again else frozenset()
        self._interval = self._by_class = self._masked_interval = None
        if not source.report.has_tokens:
            self._by_class = {}
        self._draw_head()
        self._draw_masks()
        if not again:
            self.query_one("#types", LongTable).move_cursor(0)
        # After the layout that makes room for the rows, and the frame that draws them.
        self.call_after_refresh(self.call_after_refresh, self._look_closer, source)

    def action_reload(self) -> None:
        """``r``: read again, whatever is known."""
        self._read_anew = True
        self.reload()

    def _look_closer(self, source: StoredPair) -> None:
        """Once the rows are drawn: intervals, passages."""
        from odyssey_tui.services.token_details import bootstrap_report

        if source is not self.source:
            return
        self.forget("classes")
        self.seek_details(source)
        self.seek("interval", source, lambda: bootstrap_report(source.report), self._show_interval)
        self._seek_masked()

    def show_details(self, details: Details) -> None:
        from odyssey_tui.services.token_details import bootstrap_classes

        self.seek("classes", details, lambda: bootstrap_classes(details.classes), self._show_classes)

    def _show_interval(self, interval: MeanDifference) -> None:
        self._interval = interval
        self._draw_head()

    def _show_classes(self, by_class: Mapping[str, MeanDifference]) -> None:
        self._by_class = by_class
        self._draw_tables()

    def _show_masked(self, interval: MeanDifference) -> None:
        self._masked_interval = interval
        self._draw_masked()

    def action_mask(self) -> None:
        """Mask the type or class under the cursor, or unmask it; the perplexities follow at once."""
        self._toggle(self.under_cursor()[0])

    def action_mask_class(self, name: str) -> None:
        """Mask a class of tokens, or unmask it."""
        ledger = self._ledger
        if ledger is None:
            return
        types = ledger.types_of(name)
        if not types:
            self.notify(f"no {name} tokens in this text", severity="warning")
        self._toggle(types)

    def action_unmask(self) -> None:
        """Forget every mask."""
        self._mask(frozenset())

    def _toggle(self, types: frozenset[int]) -> None:
        if types:
            self._mask(self._masked - types if types <= self._masked else self._masked | types)

    def _mask(self, types: frozenset[int]) -> None:
        self._masked, self._masked_interval = types, None
        self._seek_masked()
        self._draw_masks()

    def _draw_masks(self) -> None:
        self._draw_masked()
        self._draw_tables()
        self.query_one(TokenPane).show_masks(self._masked)

    def _seek_masked(self) -> None:
        from odyssey_tui.services.token_details import bootstrap_masked, without_tokens

        source, masked = self.source, self._masked
        if source is None or not masked:
            self.forget("masked")
        elif source.report.has_tokens:
            table = self.details.classes if self.details is not None else None
            self.seek("masked", (source, masked), lambda: bootstrap_masked(source, masked, table), self._show_masked)
        else:
            self._show_masked(without_tokens(source.report))

    def action_pair(self) -> None:
        """Choose another pair from a list, last states and what worsened most first."""
        pairs = self._found.pairs if self._found is not None else ()
        if not pairs:
            return
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
        if self._found is None or self._found.pair is None:
            return
        name = self._found.pair.report.name
        same = [pair for pair in self._found.pairs if pair.after == name.after]
        position = next((i for i, pair in enumerate(same) if pair.after_id == name.after_id), -1)
        if len(same) > 1 and position >= 0:
            following = same[(position + 1) % len(same)]
            self._choose((following.before_id, following.after_id))
        else:
            self.notify("this state is evaluated on one set only", severity="warning")

    def action_export(self) -> None:
        """The ledger as CSV, LaTeX or JSON, the curve over positions as a figure."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.token_export import Findings, describe_pair, make_record

        if self.source is None:
            return
        report, details = self.source.report, self.details
        found = Findings(
            self._interval,
            self._by_class or {},
            report.ledger.masked(self._masked) if self._masked else None,
            self._masked_interval,
            details.curve if details is not None else None,
        )
        ask_export(self, describe_pair(report, make_record(report, found), found.curve))

    def _choose(self, pair: tuple[str, str | None]) -> None:
        self._wanted = pair
        self.reload()

    @property
    def source(self) -> StoredPair | None:
        return self._found.pair if self._found is not None else None

    def show_drift(self) -> None:
        """Other columns and another line."""
        self._draw_head()
        self._draw_tables()

    @property
    def _ledger(self) -> Ledger | None:
        return self.source.report.ledger if self.source is not None else None

    def copied(self) -> Copied | None:
        """The text of the token type under the cursor, or the name of the class."""
        _, name = self.under_cursor()
        return Copied(name, "the token" if self.query_one("#types").has_focus else "the class") if name else None

    def under_cursor(self) -> tuple[frozenset[int], str]:
        """Token ids of the row under the cursor of the focused table, and what it is called."""
        ledger = self._ledger
        table = self.query_one("#classes", KeyedTable)
        if ledger is None:
            return frozenset(), ""
        if self.focused is table and table.current:
            name = table.current.removeprefix(CLASS_KEY)
            return ledger.types_of(name), name
        types = self.query_one("#types", LongTable)
        row = ledger.row(types.cursor_row)
        return frozenset({row.token_id}), visible(row.text)

    def _draw_head(self) -> None:
        from odyssey_tui.services.drift import drift_line
        from odyssey_tui.services.token_words import basis_line, change_line, rise_line

        if self.source is None:
            return
        report = self.source.report
        name = report.name
        on = name.eval_set if name.eval_set == name.role else f"{name.eval_set} ({name.role})"
        pair = Text(f"{name.before_words} → {name.after_words}, on {on}", style="bold")
        pair.append(f"  {name.before} → {name.after}", style="not bold dim")
        lines = {
            "pair": pair,
            "basis": Text(basis_line(report), "dim"),
            "change": change_line(report, self._interval),
            "rise": rise_line(report.ledger) if self.drift is None else drift_line(self.drift),
        }
        for line, text in lines.items():
            self.query_one(f"#{line}", Static).update(text)

    def _draw_masked(self) -> None:
        from odyssey_tui.services.token_words import mask_words

        ledger = self._ledger
        if ledger is None:
            return
        line = Text("Masked PPL ", style="dim")
        if not self._masked:
            line.append("– nothing is masked; m masks the type or class under the cursor", style="dim")
        else:
            perplexities, change, away = mask_words(ledger, ledger.masked(self._masked), self._masked_interval)
            line.append(perplexities, style="bold").append(f" · {change}" if change else "")
            line.append(f" · {away}", style="dim")
        self.query_one("#masked", Static).update(line)

    def _draw_tables(self) -> None:
        ledger = self._ledger
        if ledger is None:
            return
        wide = self.has_class("-wide")
        types, classes = self.query_one("#types", LongTable), self.query_one("#classes", KeyedTable)
        drift = self.drift
        types.show(type_columns(wide, drift), self._keys, type_cells(ledger, self._masked, wide, drift))
        classes.show(class_columns(), class_rows(ledger, self._masked, self._by_class, CLASS_KEY))

    @on(KeyedTable.RowSelected)
    @on(LongTable.Selected)
    def open_clicked(self) -> None:
        """A click on the row under the cursor does what Enter does."""
        self.action_open()
