"""What is done to runs, the same where many are listed and on the page of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odyssey_tui.screens.base import OdysseyScreen

if TYPE_CHECKING:
    from odyssey_tui.services.runs import RunRow


class RunActions(OdysseyScreen):
    """Cancelling, retrying, holding, tags, notes, pins, deleting. Subclasses say which runs are meant."""

    def _chosen(self) -> list[RunRow]:
        """The runs that a key acts on."""
        raise NotImplementedError

    def _deleted(self) -> None:
        """The chosen runs are gone."""
        self.reload()

    def action_cancel(self) -> None:
        """Cancel runs; a live one asks for the word."""
        from odyssey_tui.screens.requests import FINISHED, ask_cancel

        rows = [row for row in self._chosen() if row.state not in FINISHED]
        if not rows:
            self.notify("no run to cancel here: choose one that waits or runs", severity="warning")
            return
        ask_cancel(self, [(row.run_id, row.name, row.state) for row in rows])

    def action_retry(self) -> None:
        """Queue failed, cancelled or lost runs again."""
        from odyssey_tui.screens.requests import RETRIABLE, retry_runs

        rows = [row for row in self._chosen() if row.state in RETRIABLE]
        if not rows:
            self.notify("no run to retry here: choose a failed, cancelled or lost one", severity="warning")
            return
        retry_runs(self, [row.run_id for row in rows])

    def action_hold(self) -> None:
        """Hold runs that wait or run; let go of those that a person holds."""
        from odyssey_tui.screens.requests import FINISHED, as_asked, hold_or_release

        rows = [row for row in self._chosen() if row.state not in FINISHED]
        if not rows:
            self.notify("no run to hold here: choose one that waits or runs", severity="warning")
            return
        hold_or_release(self, [as_asked(row) for row in rows])

    def action_tag(self) -> None:
        """Edit tags."""
        from odyssey_tui.screens.annotate import ask_tags

        if rows := self._chosen():
            ask_tags(self, rows)

    def action_note(self) -> None:
        """Write a note."""
        from odyssey_tui.screens.annotate import ask_note

        if rows := self._chosen():
            ask_note(self, rows)

    def action_pin(self) -> None:
        """Pin, or let go."""
        from odyssey_tui.screens.annotate import pin_runs

        if rows := self._chosen():
            pin_runs(self, rows)

    def action_delete(self) -> None:
        """Delete runs for good, after a look at what would go."""
        from odyssey_tui.screens.deletion import ask_delete

        if rows := self._chosen():
            ask_delete(self, [row.run_id for row in rows], self._deleted)
