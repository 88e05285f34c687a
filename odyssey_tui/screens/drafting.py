"""Editing an experiment on a screen: its axes, every key of it, its text in an editor; each change can be undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on

from engine.spec.located import KeyPath
from odyssey_tui.screens.base import OdysseyScreen, one_line
from odyssey_tui.screens.confirm import ConfirmScreen
from odyssey_tui.screens.copying import Copied
from odyssey_tui.screens.prompt import PromptScreen
from odyssey_tui.services.draft import yaml_path
from odyssey_tui.widgets.axes_form import AxesForm
from odyssey_tui.widgets.field_editor import FieldEditor
from odyssey_tui.widgets.field_table import FieldTable, nearest_rows
from odyssey_tui.widgets.field_typed import FieldKept, FieldTyped
from odyssey_tui.widgets.filter_line import FilterLine
from store.errors import ConfigError

if TYPE_CHECKING:
    from odyssey_tui.services.draft import Draft
    from odyssey_tui.services.draft_fields import FieldRow

EDITED = ", edited"
FORM_SHARE, FORM_LEAST = 0.44, 46
"""Of a wide screen the form takes this share, and at least so many cells."""


class DraftingScreen(OdysseyScreen):
    """Holds the draft and its history; subclasses show what it expands into."""

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | None = None
        self.opening = True
        """Whether a draft is to be opened: at first, from another start, after a launch; editing gives that up."""
        self.block = 0
        """The adaptation block whose axes are shown."""
        self._history: list[Draft] = []
        self._touched: KeyPath | None = None
        """The key typed into last: what is typed there further is undone with it."""
        self._before: Draft | None = None
        """As it was before the key under edit was begun."""
        self._opened: set[KeyPath] = set()
        self._sought = ""
        self._problems: Mapping[KeyPath, str] = {}
        self._broken = ""
        """What the editor left and could not be read."""

    @property
    def form_width(self) -> int:
        """Cells that the form has."""
        if not self.has_class("-wide"):
            return self.size.width
        return max(FORM_LEAST, int(FORM_SHARE * self.size.width))

    def begin(self, draft: Draft) -> None:
        """Start from another experiment; what was edited before is one step back."""
        if self.draft is not None and self.draft.changes:
            self._history.append(self.draft)
        self.draft, self.opening, self._touched, self._broken = draft, False, None, ""
        self.block = draft.block or 0
        self._opened = set()
        self._problems = {}
        self.draw_form()

    def change(self, draft: Draft, path: KeyPath | None = None) -> None:
        """Go on with another draft; ``path`` is the key that was typed into."""
        if self.draft is None or draft == self.draft:
            return
        if path is None or path != self._touched:
            self._history.append(self.draft)
        self._touched = path
        self.draft, self.opening = draft, False
        self.draw_form()
        self.reload()

    def tell_problems(self, problems: Mapping[KeyPath, str]) -> None:
        """Say at their keys what is wrong."""
        if problems == self._problems:
            return
        self._problems = problems
        self.draw_form()

    def draw_form(self) -> None:
        """The axes, the keys in sight and what is wrong with them."""
        from odyssey_tui.services.axes import list_axes
        from odyssey_tui.services.draft_fields import list_fields

        if self.draft is None:
            return
        axes = list_axes(self.draft, self.block)
        named = {axis.name: self._words(axis.path) or axis.key.choices for axis in axes}
        at_axes = {axis.path: text for axis in axes if (text := self._problem_below(axis.path))}
        self.query_one(AxesForm).show(axes, named, at_axes)
        rows = list_fields(self.draft, frozenset(self._opened), self._sought)
        self.query_one(FieldTable).show_fields(rows, nearest_rows(rows, self._problems), self.form_width)
        editor = self.query_one(FieldEditor)
        if editor.path is not None:
            editor.tell(self._problem_below(editor.path))
        self.refresh_bindings()

    def _problem_below(self, path: KeyPath) -> str:
        return next((text for at, text in self._problems.items() if at[: len(path)] == path), "")

    def _words(self, path: KeyPath) -> tuple[str, ...]:
        """Names of the experiment that a key may hold."""
        names = {"domain": "corpora", "corpora": "corpora", "domains": "corpora", "train_on": "corpora"}
        names |= {"size": "sizes"}
        wanted = names.get(str(path[-1]))
        found = self.draft.value(("base", "sizes") if wanted == "sizes" else ("corpora",)) if self.draft else None
        return tuple(found) if wanted and isinstance(found, Mapping) else ()

    @on(FieldTyped)
    def field_typed(self, message: FieldTyped) -> None:
        """Write what is typed: the experiment is expanded with it at once."""
        if self.draft is not None:
            value = self._read(message)
            path = message.path
            self.change(self.draft.unset(path) if value is None else self.draft.set(path, value), path)

    def _read(self, message: FieldTyped) -> Any:
        from odyssey_tui.services.draft_fields import find_field
        from odyssey_tui.services.draft_values import UNSET, read_typed

        assert self.draft is not None
        row = find_field(self.draft, message.path)
        typed = read_typed(message.text, row.key if row is not None and not message.as_yaml else None)
        return None if typed is UNSET else typed

    @on(FieldKept)
    def field_kept(self, message: FieldKept) -> None:
        """Enter: out of the line, to the keys or to what it expands into."""
        self._touched = None
        if self.query_one(FieldEditor).path is not None:
            self._close_editor()
        else:
            self.leave_axes()

    def leave_axes(self) -> None:
        """Where Enter and Escape lead from the axes."""
        self.query_one(FieldTable).focus()

    def _close_editor(self) -> None:
        self.query_one(FieldEditor).close()
        self._before = None
        self.query_one(FieldTable).focus()

    def leave_editor(self) -> bool:
        """Escape in the line of a key: what was typed is taken back. False when none is edited."""
        if self.query_one(FieldEditor).path is None:
            return False
        before = self._before
        self._close_editor()
        if before is not None and before != self.draft:
            self.change(before)
            del self._history[-2:]
        self._touched = None
        return True

    @property
    def field(self) -> FieldRow | None:
        """The key under the cursor."""
        return self.query_one(FieldTable).field

    def open_field(self) -> None:
        """Enter on a key: fold, flip, or edit."""
        row = self.field
        if row is None or self.draft is None:
            return
        if row.branch:
            self._opened ^= {row.path}
            self.draw_form()
        elif row.key is not None and row.key.is_flag and isinstance(row.value, bool | None):
            now = row.value if row.value is not None else row.key.default
            self.change(self.draft.set(row.path, not now))
        else:
            self._edit(row, as_yaml=False)

    def action_yaml(self) -> None:
        """Edit all below the cursor as YAML."""
        if (row := self.field) is not None:
            self._edit(row, as_yaml=True)

    def _edit(self, row: FieldRow, *, as_yaml: bool) -> None:
        self._before, self._touched = self.draft, None
        choices = row.key.choices if row.key is not None else ()
        words = (
            self._words(row.path) or choices or (("true", "false") if row.key is not None and row.key.is_flag else ())
        )
        self.query_one(FieldEditor).open(row, words, as_yaml=as_yaml)
        self.query_one(FieldEditor).tell(self._problem_below(row.path))
        self.refresh_bindings()

    def action_add(self) -> None:
        """Below the cursor: an item (of blocks a copy), a name, or the part that is not there yet."""
        row = self.field
        if row is None or self.draft is None:
            return
        holder = next((above for above in self._above(row) if above.adds), None)
        if row.branch and not row.written and not row.adds:
            self._add(row.path, {})
        elif holder is None:
            self.notify("nothing can be added here: go to a list, like adapt or masks, or to corpora", timeout=4)
        elif holder.adds == "item":
            items = holder.value if isinstance(holder.value, list) else []
            under = row.path[len(holder.path)] if len(row.path) > len(holder.path) else len(items) - 1
            model = items[under] if holder.path == ("adapt",) and isinstance(under, int) and items else {}
            self._add((*holder.path, len(items)), model)
        else:
            self._ask_name(holder)

    def _above(self, row: FieldRow) -> list[FieldRow]:
        """The key itself and those that hold it, the nearest first."""
        from odyssey_tui.services.draft_fields import find_field

        assert self.draft is not None
        paths = [row.path[:length] for length in range(len(row.path) - 1, 0, -1)]
        return [row, *(found for path in paths if (found := find_field(self.draft, path)) is not None)]

    def _ask_name(self, holder: FieldRow) -> None:
        def name_it(name: str | None) -> None:
            if name and name.strip():
                self._add((*holder.path, name.strip()), {})

        self.app.push_screen(PromptScreen("Add", f"A name for what is added to {holder.label}:"), name_it)

    def _add(self, path: KeyPath, value: Any) -> None:
        if self.draft is None:
            return
        if self.draft.value(path) is not None:
            self.notify(f"{path[-1]} is there already", severity="warning")
            return
        self._opened |= {path[:length] for length in range(1, len(path) + 1)}
        self.change(self.draft.set(path, value))
        self.query_one(FieldTable).find(path)

    def action_clear(self) -> None:
        """Write nothing at the key under the cursor."""
        row = self.field
        if row is None or self.draft is None or not row.written:
            return
        if len(row.path) == 1 and row.key is not None and row.key.required:
            self.notify(f"an experiment needs {row.label}", severity="warning")
            return
        self.change(self.draft.unset(row.path))
        self.block = min(self.block, max(0, len(self.draft.blocks) - 1))
        if self.draft.block is not None and self.draft.block >= len(self.draft.blocks):
            self.draft = replace(self.draft, block=self.block if self.draft.blocks else None)
            self.draw_form()

    def action_undo(self) -> None:
        """The draft before the last change."""
        if not self._history:
            self.notify("nothing to undo", timeout=2)
            return
        self.draft, self._touched, self.opening = self._history.pop(), None, False
        last = max(0, len(self.draft.blocks) - 1)
        self.block = min(self.block, last) if self.draft.block is None else self.draft.block
        self.draw_form()
        self.reload()

    def action_block(self) -> None:
        """The axes of the next adaptation block."""
        if self.draft is None or len(self.draft.blocks) < 2:
            self.notify("there is one adaptation block only; f shows every key", timeout=3)
            return
        self.block = (self.block + 1) % len(self.draft.blocks)
        if self.draft.block is not None:
            self.change(replace(self.draft, block=self.block))
        else:
            self.draw_form()
            self.draw_source()

    def action_only(self) -> None:
        """Only the block whose axes are shown, or the whole experiment."""
        if self.draft is None:
            return
        if not self.draft.blocks:
            self.notify("the experiment adapts nothing", severity="warning")
            return
        self.change(replace(self.draft, block=self.block if self.draft.block is None else None))

    def draw_source(self) -> None:
        """Say what is edited."""

    def action_editor(self) -> None:
        """The experiment as YAML in the user's editor; what it leaves is read, and kept if it cannot be."""
        from odyssey_tui.services.text_editor import edit_text

        if self.draft is None:
            return
        text = self._broken or self.draft.to_yaml()
        with self.app.suspend():
            try:
                edited = edit_text(text)
            except ConfigError as error:
                self.notify(one_line(error), severity="error", timeout=10)
                return
        self.app.refresh(layout=True)
        if edited != text or self._broken:
            self.take_text(edited)

    def take_text(self, text: str) -> None:
        """Go on with a text that was edited."""
        from odyssey_tui.services.draft import open_text

        assert self.draft is not None
        try:
            title = self.draft.title.removesuffix(EDITED)
            edited = open_text(text, f"edited {title}", self.draft.folder, title + EDITED)
        except ConfigError as error:
            self._broken = text
            self.notify(f"{one_line(error)} (nothing is lost: e goes on)", severity="error", timeout=10)
            return
        self._broken = ""
        block = self.draft.block if self.draft.block is not None and self.draft.block < len(edited.blocks) else None
        self.block = min(self.block, max(0, len(edited.blocks) - 1))
        self.change(replace(edited, block=block, before=self.draft.before or self.draft.origin))
        self.draw_source()

    def action_write(self) -> None:
        """The experiment into a file."""
        if self.draft is None:
            return
        from odyssey_tui.services.starts import is_path

        suggested = str(Path.cwd() / f"{self.draft.name or 'experiment'}.yaml")
        if is_path(self.draft.source):
            suggested = self.draft.source
        self.app.push_screen(PromptScreen("Write", "The experiment as a file:", value=suggested), self._ask_to_replace)

    def _ask_to_replace(self, name: str | None) -> None:
        if not name or not name.strip():
            return
        path = yaml_path(Path(name.strip()))
        if path.exists():
            text = f"{path} is there. Write the experiment over it?"
            self.app.push_screen(ConfirmScreen("Write", text), lambda yes: self._write(path) if yes else None)
        else:
            self._write(path)

    def _write(self, path: Path) -> None:
        from odyssey_tui.services.draft import save

        draft = self.draft
        if draft is None:
            return

        def written(saved: Draft) -> None:
            self.notify(f"wrote {saved.source}")
            self.change(saved)
            self.draw_source()

        self.perform(lambda: save(draft, path, replace_it=True), written)

    def copied(self) -> Copied | None:
        """The command that does the same."""
        if self.draft is None:
            return None
        from odyssey_tui.cli.context import usual_workspace

        root = self.odyssey.workspace.root
        return Copied(self.draft.command(None if root == usual_workspace() else root), "the command")

    def action_copy(self) -> None:
        """``c``: the command, once there is a file that it can name."""
        if self.draft is not None and not self.draft.source:
            self.notify("write the experiment into a file first (w): then a command can name it", severity="warning")
            return
        super().action_copy()

    def action_find(self) -> None:
        """Look for a key."""
        self.query_one(FilterLine).open()
        self.refresh_bindings()

    @on(FilterLine.Changed)
    def find_changed(self, message: FilterLine.Changed) -> None:
        """Only keys that hold all of the words."""
        self._sought = message.text
        self.draw_form()

    @on(FilterLine.Submitted)
    def find_submitted(self) -> None:
        """Enter: to the keys that were found."""
        self.query_one(FieldTable).focus()

    def leave_search(self) -> bool:
        """Escape: the search goes. False when there is none."""
        line = self.query_one(FilterLine)
        if not (self._sought or line.opened):
            return False
        row = self.field
        line.close()
        self._sought = ""
        if row is not None:
            self._opened |= {row.path[:length] for length in range(1, len(row.path))}
        self.draw_form()
        table = self.query_one(FieldTable)
        if row is not None:
            table.find(row.path)
        table.focus()
        return True


def first_problems(problems: Sequence[Any]) -> dict[KeyPath, str]:
    """Text and advice of the first problem at each path."""
    found: dict[KeyPath, str] = {}
    for problem in problems:
        found.setdefault(problem.path, f"{problem.text} · {problem.advice}" if problem.advice else problem.text)
    return found
