"""One run: curve, evaluations before and after, configuration, lineage, log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll

from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import following
from odyssey_tui.screens.copying import Copied, copied_runs
from odyssey_tui.screens.exporting import ask_card, ask_export
from odyssey_tui.screens.requests import FINISHED, RETRIABLE
from odyssey_tui.screens.run_actions import RunActions
from odyssey_tui.services.curve_names import X_AXES
from odyssey_tui.services.format import bar, duration, number, signed, state_text
from odyssey_tui.services.runs import TRAINED
from odyssey_tui.widgets.calm import Calm
from odyssey_tui.widgets.chart import Chart
from odyssey_tui.widgets.metric_grid import PANELS, MetricGrid

if TYPE_CHECKING:
    from odyssey_tui.services.curves import Curve
    from odyssey_tui.services.gpus import GpuRow
    from odyssey_tui.services.run_detail import RunDetail
    from odyssey_tui.services.runs import RunRow

LIVE = frozenset({"starting", "running", "stopping"})
LOG_LINES = 12


class Request(NamedTuple):
    """Which curve to read, or the first few at once."""

    metric: str
    axis: str
    several: bool


class Snapshot(NamedTuple):
    """The run and the chosen curve."""

    detail: RunDetail
    curves: tuple[Curve, ...]
    metric: str
    axis: str
    panels: tuple[tuple[str, tuple[Curve, ...]], ...] = ()
    """Metrics that are shown at once, with their curves; empty where one is shown alone."""
    gpus: tuple[GpuRow, ...] = ()
    """Those it works on now."""


class RunScreen(RunActions):
    """Everything about one run; stays current while it runs."""

    SCOPE = "run"
    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("screen", "run")]

    def __init__(self, run_id: str, row: RunRow | None = None) -> None:
        """``row``: what a list knows of the run, so that keys act before its page has been read."""
        super().__init__()
        self._run_id, self._row = run_id, row
        self._metric = "loss"
        self._axis = "tokens"
        self._several = False
        self._snapshot: Snapshot | None = None

    def compose_body(self) -> ComposeResult:
        yield Calm("reading …", id="about")
        with VerticalScroll(id="page"):
            with Vertical(classes="column trained"):
                with Vertical(id="curve", classes="pane"):
                    yield Chart(empty="No metrics yet.", id="one")
                with Vertical(id="several", classes="pane"):
                    yield MetricGrid()
                with Vertical(id="evaluations-pane", classes="pane"):
                    yield Calm("", id="evaluations")
            with VerticalScroll(classes="column", id="side"):
                with Vertical(id="gpu-pane", classes="pane"):
                    yield Calm("", id="gpu", markup=False)
                with Vertical(id="log-pane", classes="pane"):
                    yield Calm("", id="log", markup=False)
                with Vertical(id="facts-pane", classes="pane"):
                    yield Calm("", id="facts", markup=False)

    def on_mount(self) -> None:
        for pane, title in (
            ("evaluations", "evaluations"),
            ("facts", "configuration"),
            ("log", "end of the log · o opens it"),
        ):
            self.query_one(f"#{pane}-pane").border_title = title
        for pane in ("several", "gpu-pane", "evaluations-pane"):
            self.query_one(f"#{pane}").display = False
        if self._row is not None:
            self.query_one("#about", Calm).update(
                Text(f"{self._row.name}  {state_text(self._row.state)}\nreading …", "bold")
            )
        self.query_one("#one").focus()

    def request(self) -> Request:
        return Request(self._metric, self._axis, self._several)

    def load(self, request: Request) -> Snapshot:
        from odyssey_tui.services.curves import read_curves
        from odyssey_tui.services.gpus import read_run_gpus
        from odyssey_tui.services.run_detail import read_detail

        workspace = self.odyssey.workspace
        detail = read_detail(workspace, self._run_id, log_lines=LOG_LINES)
        known = detail.metrics
        metric = request.metric if request.metric in known or not known else known[0]
        curves = read_curves(workspace, [self._run_id], metric, request.axis)
        shown = known[:PANELS] if request.several else ()
        panels = tuple((name, tuple(read_curves(workspace, [self._run_id], name, request.axis))) for name in shown)
        gpus = read_run_gpus(workspace, self._run_id) if detail.row.state in LIVE else ()
        return Snapshot(detail, tuple(curves), metric, request.axis, panels, gpus)

    def show(self, snapshot: Snapshot) -> None:
        from odyssey_tui.services.curves import curve_figure

        before, self._snapshot = self._snapshot, snapshot
        detail = snapshot.detail
        self.query_one("#about", Calm).update(heading(detail))
        chart = self.query_one("#one", Chart)
        if before is None or before[1:4] != snapshot[1:4]:
            same = before is not None and before[2:4] == snapshot[2:4]
            empty = "No metrics yet." if detail.row.state not in FINISHED else "This run wrote no such metric."
            chart.show(curve_figure(snapshot.curves, snapshot.metric, snapshot.axis), empty=empty, keep_view=same)
        if snapshot.panels and (before is None or before.panels != snapshot.panels):
            same = before is not None and bool(before.panels) and before.axis == snapshot.axis
            self.query_one(MetricGrid).show(snapshot.panels, snapshot.axis, keep_view=same)
        trains = bool(snapshot.curves) or detail.row.kind in TRAINED
        self.query_one("#curve").display = trains and not snapshot.panels
        self.query_one("#several").display = bool(snapshot.panels)
        self.set_class(not (trains or detail.evaluations), "-plain")
        if before is None or before.detail.evaluations != detail.evaluations:
            self.query_one("#evaluations", Calm).update(evaluation_table(detail))
        self.query_one("#evaluations-pane").display = bool(detail.evaluations)
        self.query_one("#gpu-pane").display = bool(snapshot.gpus)
        self.query_one("#gpu", Calm).update(self._gpu_lines(snapshot.gpus))
        self.query_one("#facts", Calm).update(detail.facts)
        self.query_one("#log", Calm).update("\n".join(detail.log) or "the worker has written nothing")
        self.refresh_bindings()

    def _gpu_lines(self, gpus: tuple[GpuRow, ...]) -> Text:
        from odyssey_tui.widgets.machine_strip import gpu_text

        width = (self.size.width * 2 // 5 if self.has_class("-wide") else self.size.width) - 5
        return Text("\n").join(gpu_text(row, (), width, max(len(one.name) for one in gpus)) for row in gpus)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        state = next((row.state for row in self._chosen()), "")
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
        self._axis = following(tuple(X_AXES), self._axis)
        self.reload()

    def action_several(self) -> None:
        """Loss, speed, learning rate and memory at once, or one metric alone again."""
        self._several = not self._several
        self.reload()

    def action_log(self) -> None:
        """The console as a screen of its own."""
        from odyssey_tui.screens.run_log import LogScreen

        name = next((row.name for row in self._chosen()), self._run_id)
        self.app.push_screen(LogScreen(self._run_id, name))

    def _chosen(self) -> list[RunRow]:
        if self._snapshot is not None:
            return [self._snapshot.detail.row]
        return [self._row] if self._row is not None else []

    def _deleted(self) -> None:
        self.action_back()

    def action_export(self) -> None:
        """The curve as it is seen, the evaluations, or everything as a file."""
        from odyssey_tui.services.figure_export import Exportable
        from odyssey_tui.services.run_tables import EVALUATIONS, detail_record

        if self._snapshot is None:
            return
        chart = self.query_one(MetricGrid).chosen if self._snapshot.panels else self.query_one("#one", Chart)
        record = detail_record(self._snapshot.detail)
        ask_export(
            self,
            Exportable(
                f"{self._run_id}-curve",
                chart.figure,
                EVALUATIONS,
                record["evaluations"],
                record,
                view=chart.view,
            ),
        )

    def action_card(self) -> None:
        """Write the reproduction card."""
        ask_card(self, self._run_id)

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


def heading(detail: RunDetail) -> Text:
    """Name and state; what it is doing, or why it failed and what to do."""
    row = detail.row
    text = Text(row.name, "bold").append(f"  {state_text(row.state)}", "bold reverse" if row.state == "failed" else "")
    if row.state in LIVE and row.share is not None:
        left = f" {duration(row.eta_s)} left" if row.eta_s is not None else ""
        text.append(f"  {row.phase} {bar(row.share, 16)} {row.share:.0%}{left}")
    text.append(f"\n{row.run_id} · attempt {detail.attempt} · {detail.where}", "dim")
    for line in detail.descent:
        text.append(f"\n{line}", "dim")
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
