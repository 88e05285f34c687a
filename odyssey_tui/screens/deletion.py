"""Deleting runs from a screen: looks at what would go, says it, and asks for the word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from odyssey_tui.screens.confirm import TypedConfirmScreen
from odyssey_tui.screens.requests import list_names
from odyssey_tui.services.format import count, size

if TYPE_CHECKING:
    from odyssey_tui.screens.base import OdysseyScreen
    from odyssey_tui.services.deletion import DeletionPlan

WORD = "DELETE"
MOST_REASONS = 3


def ask_delete(screen: OdysseyScreen, run_ids: Sequence[str], then: Callable[[], None]) -> None:
    """Delete runs, and those that rest on them, once the word is typed; ``then`` when they are gone.

    A run that waits or runs is refused with the reason.
    """
    from odyssey_tui.services.deletion import delete_runs, plan_deletion

    workspace = screen.odyssey.workspace

    def plan() -> DeletionPlan:
        found = plan_deletion(workspace, run_ids)
        return plan_deletion(workspace, run_ids, with_dependents=True) if found.dependents else found

    def show(found: DeletionPlan) -> None:
        if found.refusals:
            more = len(found.refusals) - MOST_REASONS
            reasons = [*found.refusals[:MOST_REASONS], *([f"and {more} more"] if more > 0 else [])]
            screen.notify("\n".join(reasons), title="not deleted", severity="error", timeout=10, markup=False)
            return

        def answer(confirmed: bool | None) -> None:
            if confirmed:
                screen.perform(lambda: delete_runs(workspace, found), lambda _: told(found))

        screen.app.push_screen(TypedConfirmScreen("Delete", describe(found), WORD), answer)

    def told(found: DeletionPlan) -> None:
        gone = {run.run_id for run in found.runs}
        screen.odyssey.marked = [run_id for run_id in screen.odyssey.marked if run_id not in gone]
        screen.notify(f"deleted {_runs(len(gone))}, {size(found.n_bytes)}", timeout=4)
        then()

    screen.perform(plan, show)


def describe(plan: DeletionPlan) -> str:
    """What would go: runs, those that go along, bytes, rows by table."""
    asked = [run.run_id for run in plan.runs if run.asked]
    along = [run.run_id for run in plan.runs if not run.asked]
    rows = ", ".join(f"{count(rows)} of {table}" for table, rows in plan.rows.items())
    lines = [f"{_runs(len(asked))} for good:", list_names(asked)]
    if along:
        lines += [f"and {_runs(len(along))} that rest on them:", list_names(along)]
    return "\n".join([*lines, f"{size(plan.n_bytes)} in directories; rows: {rows or 'none'}"])


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"
