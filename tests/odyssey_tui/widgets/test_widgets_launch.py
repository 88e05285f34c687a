"""Parts of the Launch screen by themselves: columns that fit, completion, problems at the row in sight."""

from __future__ import annotations

import pytest

from odyssey_tui.services.draft import open_file
from odyssey_tui.services.draft_fields import list_fields
from odyssey_tui.services.launch import compose_whole
from odyssey_tui.services.plan_words import run_line
from odyssey_tui.services.starts import find_config
from odyssey_tui.widgets.field_table import nearest_rows
from odyssey_tui.widgets.last_word import LastWord
from odyssey_tui.widgets.planned_rows import planned_columns, planned_row


@pytest.mark.parametrize("width", [20, 41, 68, 80, 120, 200])
def test_the_table_of_runs_is_as_wide_as_its_room(empty, width: int) -> None:
    runs = compose_whole(empty, find_config("demo"), ()).runs
    columns = planned_columns(runs, width)
    if width >= 44:
        assert sum(column.width + 1 for column in columns) <= width
    shown = [column.key for column in columns]
    assert shown[:4] == ["state", "name", "tokens", "flops"]
    assert ("time" in shown) == (width >= 68)
    assert ("steps" in shown) == (width >= 120)
    row = planned_row(runs[5], columns)
    assert [len(cell) <= column.width for cell, column in zip(row.cells, columns, strict=True)] == [True] * len(columns)


def test_a_line_says_what_a_run_reads(empty) -> None:
    runs = {run.name: run for run in compose_whole(empty, find_config("demo"), ()).runs}
    line = run_line(runs["adapt-tests-r0.25-p8-s"])
    assert "sequences · " in line
    assert "875 of them replayed (0.2499)" in line
    assert "epochs: tests ?, source ?, docs ?" in line
    assert run_line(runs["prepare"]) == "prepare"


@pytest.mark.parametrize(
    ("typed", "suggested"), [("te", "tests"), ("docs, te", "docs, tests"), ("[li", "[library"), ("", None), ("x", None)]
)
async def test_the_last_word_is_completed(typed: str, suggested: str | None) -> None:
    assert await LastWord(["tests", "library", "docs"]).get_suggestion(typed) == suggested


def test_a_problem_is_told_where_it_can_be_seen() -> None:
    draft = open_file(find_config("demo"))
    problems = {("adapt", 0, "replay_ratio", 1): "is 7", ("laws", "forms"): "= x is no law"}
    folded = list_fields(draft, frozenset())
    assert nearest_rows(folded, problems) == {("adapt",): "0.replay_ratio.1 is 7", ("laws",): "forms = x is no law"}
    opened = list_fields(draft, frozenset({("adapt",), ("adapt", 0)}))
    assert nearest_rows(opened, problems)[("adapt", 0, "replay_ratio")] == "1 is 7"
