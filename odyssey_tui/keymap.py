"""Every key of the application, in one table: it drives dispatch, the footer, ``?``, the palette and rebinding.

``id`` is ``SCOPE.ACTION``; the widget or screen that owns the scope has a method ``action_ACTION`` and takes its
bindings from ``bindings(SCOPE)``. A settings file may give any id other keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.binding import Binding

from odyssey_tui.screens.registry import FURTHER, SCREENS


@dataclass(frozen=True)
class Action:
    """Something the user can do. ``footer``: whether the footer names it (``?`` and the palette always do)."""

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    footer: bool = True
    argument: str = ""

    @property
    def scope(self) -> str:
        return self.id.partition(".")[0]

    @property
    def call(self) -> str:
        """The action string Textual dispatches: ``ACTION`` or ``ACTION('argument')``."""
        name = self.id.partition(".")[2].partition(".")[0]
        return f"{name}({self.argument!r})" if self.argument else name


SCOPE_TITLES: Mapping[str, str] = {
    "app": "Everywhere",
    "screen": "On every screen",
    "table": "In tables",
    "chart": "In charts",
    "filter": "In the filter line",
    **{entry.name: entry.title for entry in (*SCREENS, *FURTHER)},
    "run": "Run",
    "log": "Console of a run",
    "audit": "Format audit",
    "welcome": "Welcome",
}

TOKEN_CLASSES = (
    ("n", "newline", "mask line ends, or unmask them"),
    ("w", "whitespace", "mask other whitespace, or unmask it"),
    ("full_stop", "punctuation", "mask marks and symbols, or unmask them"),
    ("d", "digits", "mask numbers, or unmask them"),
    ("f", "function", "mask function words, or unmask them"),
    ("W", "word", "mask content words, or unmask them"),
    ("S", "special", "mask special tokens, or unmask them"),
    ("O", "other", "mask pieces of characters and the like, or unmask them"),
)
"""Keys of the classes of tokens on the Tokens screen."""

ACTIONS: tuple[Action, ...] = (
    *(Action(f"app.go.{s.name}", (s.key,), s.title, s.help, argument=s.name, footer=False) for s in SCREENS),
    Action("app.keys", ("question_mark",), "Help", "the keys that act here"),
    Action("app.command_palette", ("colon", "ctrl+p"), "Palette", "every action, by name", footer=False),
    Action("app.quit", ("q",), "Quit", "leave; whatever runs goes on"),
    Action("screen.reload", ("r",), "Refresh", "read the workspace again", footer=False),
    Action("screen.copy", ("c",), "Copy", "what is under the cursor, to your terminal's clipboard", footer=False),
    Action("screen.copy_table", ("C",), "Copy table", "with tabs between, for a spreadsheet", footer=False),
    Action("table.cursor_down", ("j", "down"), "Down", "next row", footer=False),
    Action("table.cursor_up", ("k", "up"), "Up", "previous row", footer=False),
    Action("table.cursor_left", ("h", "left"), "Left", "scroll left", footer=False),
    Action("table.cursor_right", ("l", "right"), "Right", "scroll right", footer=False),
    Action("table.page_down", ("pagedown",), "Page down", "a screenful down", footer=False),
    Action("table.page_up", ("pageup",), "Page up", "a screenful up", footer=False),
    Action("table.scroll_top", ("g", "home"), "Top", "first row", footer=False),
    Action("table.scroll_bottom", ("G", "end"), "Bottom", "last row", footer=False),
    Action("filter.complete", ("tab",), "Complete", "take the key or value that stands out", footer=False),
    Action("filter.next", ("down",), "Next", "another key or value", footer=False),
    Action("filter.previous", ("up",), "Previous", "the one before", footer=False),
    Action("chart.zoom_in", ("plus", "equals_sign"), "Zoom in", "about the cross-hair, or the centre", footer=False),
    Action("chart.zoom_out", ("minus",), "Zoom out", "about the cross-hair, or the centre", footer=False),
    Action("chart.reset", ("0",), "All of it", "forget zoom, pan and scales", footer=False),
    Action("chart.pan_left", ("H",), "Pan left", "by a quarter", footer=False),
    Action("chart.pan_right", ("L",), "Pan right", "by a quarter", footer=False),
    Action("chart.log_y", ("y",), "Log y", "logarithmic or linear y axis", footer=False),
    Action("chart.log_x", ("Y",), "Log x", "logarithmic or linear x axis", footer=False),
    Action("chart.smoother", ("s",), "Smoother", "average curves more; the values stay in sight", footer=False),
    Action("chart.rougher", ("S",), "Rougher", "average less, at last not at all", footer=False),
    Action("chart.cursor_left", ("h", "left"), "Cross-hair", "to the left; the legend reads the values", footer=False),
    Action("chart.cursor_right", ("l", "right"), "Cross-hair", "to the right", footer=False),
    Action("chart.cursor_far_left", ("shift+left", "pageup"), "Cross-hair", "far to the left", footer=False),
    Action("chart.cursor_far_right", ("shift+right", "pagedown"), "Cross-hair", "far to the right", footer=False),
    Action("chart.cursor_off", ("escape",), "No cross-hair", "take it away", footer=False),
    Action("runs.open", ("enter",), "Open", "the run under the cursor; groups and seeds unfold"),
    Action("runs.mark", ("space",), "Mark", "for Compare and the preview; of seeds or a group every run"),
    Action("runs.filter", ("slash",), "Filter", "domain=tests and replay>=0.1, tag:x, ~text"),
    Action("runs.sort", ("o",), "Sort", "by the next column"),
    Action("runs.group", ("b",), "Group", "by the next key", footer=False),
    Action("runs.choose_group", ("B",), "Group by", "any key of the configurations, from a list", footer=False),
    Action("runs.fold", ("z",), "Fold", "every group, or unfold them all", footer=False),
    Action("runs.cancel", ("X",), "Cancel run", "the marked runs, or what is under the cursor", footer=False),
    Action("runs.retry", ("R",), "Retry", "failed, cancelled or lost runs", footer=False),
    Action("runs.unmark", ("U",), "Unmark all", "forget every mark", footer=False),
    Action("runs.hold", ("w",), "Hold", "keep runs waiting, or let go of them", footer=False),
    Action("runs.tag", ("t",), "Tags", "words to find the runs by: the filter knows tag:x", footer=False),
    Action("runs.note", ("N",), "Note", "a line that the run's page shows", footer=False),
    Action("runs.pin", ("p",), "Pin", "keep at the top of the list, or no longer", footer=False),
    Action("runs.delete", ("D",), "Delete", "for good; says first what would go", footer=False),
    Action("runs.export", ("E",), "Export", "the table, or the curves below it, as a file", footer=False),
    Action("runs.new", ("n",), "New sweep", "start one from this run's experiment", footer=False),
    Action("runs.demo", ("d",), "Demo", "a miniature odyssey on text this machine has", footer=False),
    Action("runs.leave", ("escape",), "Back", "close the filter line"),
    Action("run.back", ("escape",), "Back", "to the runs"),
    Action("run.down", ("j", "down"), "Down", "further down the page", footer=False),
    Action("run.up", ("k", "up"), "Up", "up the page", footer=False),
    Action("run.metric", ("m",), "Metric", "the curve's next metric"),
    Action("run.several", ("v",), "Several", "loss, speed, learning rate and memory at once", footer=False),
    Action("run.x_axis", ("x",), "X axis", "tokens, steps, FLOPs or time"),
    Action("run.log", ("o",), "Log", "the whole console: follow, search"),
    Action("run.cancel", ("X",), "Cancel run", "stop this run", footer=False),
    Action("run.retry", ("R",), "Retry", "queue it again", footer=False),
    Action("run.hold", ("w",), "Hold", "keep it waiting, or let go of it", footer=False),
    Action("run.delete", ("D",), "Delete", "for good; says first what would go", footer=False),
    Action("run.card", ("M",), "Card", "how to make this run again, as Markdown, into a file", footer=False),
    Action("run.tag", ("t",), "Tags", "words to find the run by: the filter knows tag:x", footer=False),
    Action("run.note", ("N",), "Note", "a line that this page shows", footer=False),
    Action("run.export", ("E",), "Export", "the curve, the evaluations or everything as a file", footer=False),
    Action("run.pin", ("p",), "Pin", "keep at the top of the list, or no longer", footer=False),
    Action("log.filter", ("slash",), "Search", "text in the lines"),
    Action("log.next", ("n",), "Next", "the next line that has it"),
    Action("log.previous", ("N",), "Previous", "the line before that has it", footer=False),
    Action("log.attempt", ("a",), "Attempt", "the console of the attempt before"),
    Action("log.leave", ("escape",), "Back", "end the search, then leave"),
    Action("launch.launch", ("L",), "Launch", "queue the new runs (asks first)"),
    Action("launch.start", ("s",), "Start", "from a ready experiment, one launched here, a past run, a file"),
    Action("launch.open", ("enter",), "Edit", "the key under the cursor; in the table: the run"),
    Action("launch.fields", ("f",), "Fields", "every key of the experiment, or the runs again"),
    Action("launch.only", ("o",), "Only", "the runs of this adaptation block, or the whole experiment"),
    Action("launch.block", ("b",), "Block", "the axes of the next adaptation block", footer=False),
    Action("launch.find", ("slash",), "Find", "a key by its name or meaning", footer=False),
    Action("launch.add", ("plus",), "Add", "an item, a name, or the part under the cursor", footer=False),
    Action("launch.clear", ("x",), "Clear", "write nothing here: the default holds; takes an item out", footer=False),
    Action("launch.yaml", ("y",), "As YAML", "edit all below the cursor in one line", footer=False),
    Action("launch.undo", ("u",), "Undo", "the last change", footer=False),
    Action("launch.editor", ("e", "ctrl+o"), "Editor", "the experiment as YAML in $EDITOR", footer=False),
    Action("launch.write", ("w",), "Write", "the experiment into a file", footer=False),
    Action("launch.calibrate", ("T",), "Time", "train a few steps of every new model, seconds each", footer=False),
    Action(
        "launch.details",
        ("v",),
        "Details",
        "of the run under the cursor and of all: epochs, memory, laws",
        footer=False,
    ),
    Action("launch.audit", ("a",), "Audit", "compare the format of the texts that are trained on and scored"),
    Action("launch.leave", ("escape",), "Back", "one step: out of the field, the search, the keys"),
    Action("queue.open", ("enter",), "Open", "the run under the cursor"),
    Action("queue.mark", ("space",), "Mark", "for the keys below; without marks they act on the run under the cursor"),
    Action("queue.mark_sweep", ("x",), "Sweep", "mark every run of this one's experiment, or none of them"),
    Action("queue.unmark", ("U",), "Unmark all", "forget every mark", footer=False),
    Action("queue.pause", ("P",), "Pause", "the queue, or let it go on; start a scheduler where none works"),
    Action("queue.pause_sweep", ("S",), "Pause sweep", "the experiment of the runs, or let it go on", footer=False),
    Action("queue.hold", ("w",), "Hold", "runs, so that they wait, or let go of them"),
    Action("queue.move.up", ("K",), "Move up", "start earlier, ahead of the run before", footer=False, argument="up"),
    Action("queue.move.down", ("J",), "Move down", "start later", footer=False, argument="down"),
    Action("queue.move.top", ("T",), "To the top", "start next, with what it needs", footer=False, argument="top"),
    Action("queue.move.bottom", ("B",), "To the bottom", "start last", footer=False, argument="bottom"),
    Action("queue.cancel", ("X",), "Cancel", "runs that wait or run (asks first)"),
    Action("queue.retry", ("R",), "Retry", "failed and lost runs; of held ones what holds them", footer=False),
    Action("queue.filter", ("slash",), "Filter", "state=held and experiment=demo, ~text", footer=False),
    Action("queue.export", ("E",), "Export", "the table as a file", footer=False),
    Action("queue.new", ("n",), "New sweep", "start one from this run's experiment", footer=False),
    Action("queue.leave", ("escape",), "Back", "close the filter line"),
    Action("similarity.open", ("enter",), "Tokens", "which tokens carry ΔL on this domain"),
    Action("similarity.measure", ("m",), "Measure", "the next measure of similarity"),
    Action("similarity.embedder", ("e",), "Embedder", "the same measure through the next embedder", footer=False),
    Action("similarity.model", ("n",), "Model", "the next model: size, PTPP, method, replay, variant"),
    Action("similarity.choose", ("M",), "Choose", "any model and budget from a list", footer=False),
    Action("similarity.pool", ("a",), "All", "all models on one figure, or one again"),
    Action("similarity.group", ("b",), "Groups", "tell groups of domains apart, or not"),
    Action("similarity.unit", ("u",), "Unit", "nats per token, perplexity ratio, bits per byte", footer=False),
    Action("similarity.statistics", ("s",), "Statistics", "within groups, partial, by measure; or the domains"),
    Action("similarity.export", ("E",), "Export", "figure, table or everything as a file", footer=False),
    Action("similarity.matrix", ("v",), "Matrix", "every adaptation on every text"),
    Action("matrix.open", ("enter",), "Tokens", "which tokens carry ΔL of the cell under the cursor"),
    Action("matrix.value", ("x",), "Value", "ΔL, loss, perplexity, ratio, zero-shot, bits per byte"),
    Action("matrix.cell", ("n",), "Cell", "the next size, PTPP, method, replay, variant or budget"),
    Action("matrix.choose", ("M",), "Choose", "any cell from a list", footer=False),
    Action("matrix.order", ("o",), "Order", "by name, by ΔL, by similarity to the base text"),
    Action("matrix.rows", ("b",), "Rows", "domains, or sizes, methods, variants, repairs, …"),
    Action("matrix.repairs", ("v",), "Repairs", "ways to adapt to the domain under the cursor, side by side"),
    Action("matrix.interval", ("i",), "Interval", "bootstrap ΔL of the cell over documents"),
    Action("matrix.filter", ("slash",), "Filter", "only states that pass: size=s and method=full", footer=False),
    Action("matrix.experiment", ("e",), "Experiment", "one of them, or all", footer=False),
    Action("matrix.export", ("E",), "Export", "heat map, table or everything as a file", footer=False),
    Action("matrix.leave", ("escape",), "Back", "close the filter line, then to Similarity"),
    Action("repairs.open", ("enter",), "Tokens", "which tokens carry ΔL of the way under the cursor"),
    Action("repairs.class", ("m",), "Class", "set another class of tokens apart"),
    Action("repairs.domain", ("d",), "Domain", "another domain, from a list"),
    Action("repairs.cell", ("n",), "Cell", "the next size, PTPP or budget"),
    Action("repairs.choose", ("M",), "Choose", "any of them from a list", footer=False),
    Action("repairs.filter", ("slash",), "Filter", "only states that pass: size=s and lr<0.01", footer=False),
    Action("repairs.experiment", ("e",), "Experiment", "one of them, or all", footer=False),
    Action("repairs.export", ("E",), "Export", "the table or everything as a file", footer=False),
    Action("repairs.matrix", ("v",), "Matrix", "every adaptation on every text"),
    Action("repairs.leave", ("escape",), "Back", "close the filter line, then to the matrix"),
    Action("compare.open", ("enter",), "Open", "the run of the row under the cursor"),
    Action("compare.tokens", ("t",), "Tokens", "which tokens carry ΔL of the row under the cursor"),
    Action("compare.chart", ("v",), "Chart", "curves, or learning and forgetting"),
    Action("compare.metric", ("m",), "Metric", "the curves' next metric", footer=False),
    Action("compare.x_axis", ("x",), "X axis", "tokens, steps, FLOPs or time"),
    Action("compare.seeds", ("b",), "Seeds", "one curve for each run, or the mean over seeds with its band"),
    Action("compare.export", ("E",), "Export", "the chart, the table or everything as a file", footer=False),
    Action("tokens.open", ("enter",), "Where", "the passages where this type or class changes most"),
    Action("tokens.mask", ("m",), "Mask", "the type or class under the cursor, or unmask it"),
    *(
        Action(f"tokens.mask_class.{name}", (key,), f"Mask {name}", what, footer=False, argument=name)
        for key, name, what in TOKEN_CLASSES
    ),
    Action("tokens.unmask", ("U",), "Unmask all", "forget every mask", footer=False),
    Action("tokens.next_passage", ("J",), "Next", "the next passage, the worst first"),
    Action("tokens.previous_passage", ("K",), "Previous", "back towards the worst passage", footer=False),
    Action("tokens.fall", ("b",), "Best", "the passages whose loss fell most, or rose most again"),
    Action("tokens.view", ("v",), "View", "the text, ΔL by position in the window, losses by position"),
    Action("tokens.drift", ("D",), "Drift", "what moved, by token type, and which of it changed the loss"),
    Action("tokens.leave", ("escape",), "Back", "to the passages of the whole text", footer=False),
    Action("tokens.set", ("s",), "Set", "the same state on its other evaluation set", footer=False),
    Action("tokens.pair", ("p",), "Pair", "choose another adapted state"),
    Action("tokens.export", ("E",), "Export", "the ledger as a table, the positions as a figure", footer=False),
    Action("data.open", ("enter",), "Audit", "training and evaluation text side by side, with warnings"),
    Action("data.filter", ("slash",), "Filter", "kind=corpus and audit=serious, ~text"),
    Action("data.export", ("E",), "Export", "the table as a file", footer=False),
    Action("data.leave", ("escape",), "Back", "close the filter line"),
    Action("audit.back", ("escape",), "Back", "to where this was opened from"),
    Action("audit.next", ("s",), "Next pair", "the same text with another evaluation set or form"),
    Action("audit.previous", ("S",), "Pair before", "back", footer=False),
    Action("audit.down", ("j", "down"), "Down", "further down the page", footer=False),
    Action("audit.up", ("k", "up"), "Up", "up the page", footer=False),
    Action("audit.export", ("E",), "Export", "the classes as a table, or everything as JSON", footer=False),
    Action("forecast.form", ("f",), "Form", "the next law"),
    Action("forecast.anchors", ("a",), "Anchors", "fits with the next number of anchors, or without any"),
    Action("forecast.role", ("t",), "Loss", "of the target or of the base text"),
    Action("forecast.split", ("p",), "Split", "the next fit: other PTPP held out, other states"),
    Action("forecast.x_axis", ("x",), "X axis", "tokens, tokens per parameter, replay ratio, size, PTPP"),
    Action("forecast.residuals", ("e",), "Errors", "what the law gets wrong; measured against predicted; curves"),
    Action("forecast.size", ("s",), "Size", "the next model size", footer=False),
    Action("forecast.replay", ("v",), "Replay", "the next replay ratio", footer=False),
    Action("forecast.budget", ("b",), "Budget", "the next ATPP, where it is not the axis", footer=False),
    Action("forecast.domain", ("d",), "Domain", "another domain that laws are fitted to", footer=False),
    Action("forecast.fit", ("n",), "Fit again", "queue a new fit: other anchors, PTPP, laws", footer=False),
    Action(
        "forecast.next", ("w",), "Next runs", "those that would tell most about the highest PTPP here", footer=False
    ),
    Action("forecast.card", ("M",), "Card", "how to make this fit again, as Markdown, into a file", footer=False),
    Action("forecast.export", ("E",), "Export", "figure, table or everything as a file", footer=False),
    Action("plan.queue", ("enter",), "Queue", "run the cell under the cursor (asks first), or open its run"),
    Action("plan.limits", ("t",), "Limits", "edit them; Enter or Esc comes back to the map"),
    Action("plan.problem", ("p",), "Problem", "cheapest, best, with all domain text, at one budget"),
    Action("plan.view", ("x",), "View", "probability, target loss, forgetting, compute"),
    Action("plan.answer", ("a",), "Answer", "the cursor on the chosen cell"),
    Action("plan.next", ("n",), "Next runs", "those that would tell most about the cell under the cursor"),
    Action("plan.domain", ("d",), "Domain", "another domain, from a list", footer=False),
    Action("plan.export", ("E",), "Export", "the map as a figure or a table, or everything as JSON", footer=False),
    Action("plan.leave", ("escape",), "Back", "leave the field"),
)


def actions(scope: str) -> list[Action]:
    """The actions of one scope, in table order."""
    return [action for action in ACTIONS if action.scope == scope]


def bindings(*scopes: str) -> list[Binding]:
    """Textual bindings of the scopes, with ids, so that ``App.set_keymap`` can rebind them."""
    return [
        Binding(",".join(action.keys), action.call, action.label, show=action.footer, id=action.id, tooltip=action.help)
        for scope in scopes
        for action in actions(scope)
    ]


KEY_NAMES: Mapping[str, str] = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "full_stop": ".",
    "space": "Space",
    "enter": "Enter",
    "escape": "Esc",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "ctrl+p": "Ctrl-P",
    "tab": "Tab",
    "shift+left": "Shift-←",
    "shift+right": "Shift-→",
    "home": "Home",
    "end": "End",
}


def shown_keys(action: Action, rebound: Mapping[str, str]) -> str:
    """The keys that trigger ``action`` after rebinding, as people read them."""
    keys: Iterable[str] = rebound[action.id].split(",") if action.id in rebound else action.keys
    return " ".join(KEY_NAMES.get(key, key) for key in keys)
