"""One run: curve, evaluations before and after, configuration, lineage, log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.annotate import ask_note, ask_tags, pin_runs
from odyssey_tui.screens.base import OdysseyScreen, following
from odyssey_tui.screens.copying import Copied, copied_runs
from odyssey_tui.screens.deletion import ask_delete
from odyssey_tui.screens.requests import FINISHED, RETRIABLE, as_asked, ask_cancel, hold_or_release, retry_runs
from odyssey_tui.services.format import bar, duration, number, signed, state_text
from odyssey_tui.services.runs import TRAINED
from odyssey_tui.widgets.chart import Chart

if TYPE_CHECKING:
    from odyssey_tui.services.curves import Curve
    from odyssey_tui.services.run_detail import RunDetail

X_AXES = ("tokens", "step", "time")
LOG_LINES = 12


class Request(NamedTuple):
    """Which curve to read."""

    metric: str
    axis: str


class Snapshot(NamedTuple):
    """The run and the chosen curve."""

    detail: RunDetail
    curves: tuple[Curve, ...]
    metric: str
    axis: str


class RunScreen(OdysseyScreen):
    """Everything about one run; stays current while it runs."""

    SCOPE = "run"
    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "run")]

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id
        self._metric = "loss"
        self._axis = X_AXES[0]
        self._snapshot: Snapshot | None = None

    def compose_body(self) -> ComposeResult:
        yield Static("reading …", id="about")
        with VerticalScroll(id="page"):
            with Vertical(classes="column trained"):
                with Vertical(id="curve", classes="pane"):
                    yield Chart(empty="No metrics yet.")
                with Vertical(id="evaluations-pane", classes="pane"):
                    yield Static("", id="evaluations")
            with VerticalScroll(classes="column", id="side"):
                with Vertical(id="log-pane", classes="pane"):
                    yield Static("", id="log", markup=False)
                with Vertical(id="facts-pane", classes="pane"):
                    yield Static("", id="facts", markup=False)

    def on_mount(self) -> None:
        for pane, title in (("evaluations", "evaluations"), ("facts", "configuration"), ("log", "end of the log")):
            self.query_one(f"#{pane}-pane").border_title = title
        self.query_one(Chart).focus()

    def request(self) -> Request:
        return Request(self._metric, self._axis)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.run_detail import read_curves, read_detail

        workspace = self.odyssey.workspace
        detail = read_detail(workspace, self._run_id, log_lines=LOG_LINES)
        curves = read_curves(workspace, [self._run_id], request.metric, request.axis)
        return Snapshot(detail, tuple(curves), request.metric, request.axis)

    def show(self, snapshot: Snapshot) -> None:
        from odyssey_tui.services.curves import curve_figure

        before, self._snapshot = self._snapshot, snapshot
        detail = snapshot.detail
        self.query_one("#about", Static).update(heading(detail))
        chart = self.query_one(Chart)
        if before is None or before[1:] != snapshot[1:]:
            same = before is not None and before[2:] == snapshot[2:]
            empty = "No metrics yet." if detail.row.state not in FINISHED else "This run wrote no such metric."
            chart.show(curve_figure(snapshot.curves, snapshot.metric, snapshot.axis), empty=empty, keep_view=same)
        trains = bool(snapshot.curves) or detail.row.kind in TRAINED
        self.query_one("#curve").display = trains
        self.set_class(not (trains or detail.evaluations), "-plain")
        self.query_one("#evaluations", Static).update(evaluation_table(detail))
        self.query_one("#evaluations-pane").display = bool(detail.evaluations)
        self.query_one("#facts", Static).update(detail.facts)
        self.query_one("#log", Static).update("\n".join(detail.log) or "the worker has written nothing")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        state = self._snapshot.detail.row.state if self._snapshot is not None else ""
        if action in ("cancel", "hold"):
            return bool(state) and state not in FINISHED
        if action == "retry":
            return state in RETRIABLE
        return True

    def action_back(self) -> None:
        """Escape: to where this was opened from."""
        self.app.pop_screen()

    def action_down(self) -> None:
        """j: further down the page, or down the configuration where that has a column of its own."""
        self._scrolling().scroll_down(animate=False)

    def action_up(self) -> None:
        """k."""
        self._scrolling().scroll_up(animate=False)

    def _scrolling(self) -> VerticalScroll:
        page, column = self.query_one("#page", VerticalScroll), self.query_one("#side", VerticalScroll)
        return column if column.max_scroll_y else page

    def action_metric(self) -> None:
        """The next metric that the run wrote."""
        metrics = self._snapshot.detail.metrics if self._snapshot is not None else ()
        if metrics:
            self._metric = following(metrics, self._metric)
            self.reload()

    def action_x_axis(self) -> None:
        """The next x axis."""
        self._axis = following(X_AXES, self._axis)
        self.reload()

    def action_cancel(self) -> None:
        """Stop this run."""
        if self._snapshot is not None:
            row = self._snapshot.detail.row
            ask_cancel(self, [(row.run_id, row.name, row.state)])

    def action_retry(self) -> None:
        """Queue this run again."""
        retry_runs(self, [self._run_id])

    def action_hold(self) -> None:
        """Hold this run, or let go of it."""
        if self._snapshot is not None:
            hold_or_release(self, [as_asked(self._snapshot.detail.row)])

    def action_card(self) -> None:
        """Write the reproduction card."""
        from odyssey_tui.screens.exporting import ask_export
        from odyssey_tui.services.card import write_card
        from odyssey_tui.services.figure_export import Exportable

        workspace, run_id = self.odyssey.workspace, self._run_id
        ask_export(self, Exportable(f"{run_id}-card", document=lambda: write_card(workspace, run_id)))

    def copied(self) -> Copied | None:
        """The run's id."""
        return copied_runs([self._run_id])

    def copied_table(self) -> Copied | None:
        """The evaluations."""
        from odyssey_tui.services.clipboard import tsv

        lines = self._snapshot.detail.evaluations if self._snapshot is not None else ()
        if not lines:
            return None
        rows = [asdict(line) for line in lines]
        return Copied(tsv([tuple(rows[0]), *(row.values() for row in rows)]), f"a table of {len(rows)} rows")

    def action_tag(self) -> None:
        """Edit the tags."""
        if self._snapshot is not None:
            ask_tags(self, [self._snapshot.detail.row])

    def action_note(self) -> None:
        """Write a note."""
        if self._snapshot is not None:
            ask_note(self, [self._snapshot.detail.row])

    def action_pin(self) -> None:
        """Keep at the top of the list, or no longer."""
        if self._snapshot is not None:
            pin_runs(self, [self._snapshot.detail.row])

    def action_delete(self) -> None:
        """Delete this run for good, after a look at what would go."""
        ask_delete(self, [self._run_id], self.action_back)


def heading(detail: RunDetail) -> Text:
    """Name and state; what it is doing, or why it failed and what to do."""
    row = detail.row
    text = Text(row.name, "bold").append(f"  {state_text(row.state)}", "bold reverse" if row.state == "failed" else "")
    if row.state in ("running", "starting", "stopping") and row.share is not None:
        left = f" {duration(row.eta_s)} left" if row.eta_s is not None else ""
        text.append(f"  {row.phase} {bar(row.share, 16)} {row.share:.0%}{left}")
    text.append(f"\n{row.run_id} · attempt {detail.attempt} · {detail.where}", "dim")
    if detail.lineage:
        text.append(f"\nfrom {' → '.join(detail.lineage)}", "dim")
    if row.reason:
        text.append(f"\n{row.reason}", "bold")
        text.append(f"\n{detail.hint}" if detail.hint else "")
    for line in detail.history:
        text.append(f"\n{line}", "dim")
    for warning in detail.warnings:
        text.append(f"\n! {warning}")
    if row.tags or row.pinned:
        text.append("\n" + " ".join([*(["★ pinned"] * row.pinned), *(f"#{tag}" for tag in row.tags)]), "bold")
    for note in detail.notes:
        text.append(f"\n✎ {note}")
    return text


def evaluation_table(detail: RunDetail) -> Table:
    """Loss, perplexity and bits per byte, before → after, one line per state and evaluation set."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    adapted = any(line.before is not None for line in detail.evaluations)
    table.add_column("at")
    table.add_column("on", no_wrap=True)
    for title in ("loss", "ΔL", "PPL", "bits/byte") if adapted else ("loss", "PPL", "bits/byte"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in detail.evaluations:
        cells = [line.state, f"{line.eval_set} ({line.role})", number(line.loss)]
        if adapted:
            cells.append(signed(line.delta))
        cells += [_pair(line.ppl_before, line.ppl, 2), _pair(line.bits_before, line.bits, 3)]
        table.add_row(*cells)
    return table


def _pair(before: float | None, after: float, digits: int) -> str:
    return number(after, digits) if before is None else f"{number(before, digits)}→{number(after, digits)}"
