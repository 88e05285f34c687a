"""Runs as rows: what is read, how it is arranged; one run in detail."""

from __future__ import annotations

import math

from odyssey_tui.services.curves import read_curves
from odyssey_tui.services.logs import tail
from odyssey_tui.services.run_detail import describe_spec, read_detail
from odyssey_tui.services.run_groups import arrange
from odyssey_tui.services.runs import find_run_ids, list_runs


def test_rows_carry_the_last_state_of_each_run(voyage) -> None:
    rows = {row.name: row for row in list_runs(voyage)}
    row = rows["adapt-docs-r0.25-p15-s"]
    detail = read_detail(voyage, row.run_id, log_lines=5)
    last = next(line for line in detail.evaluations if line.role == "target" and line.state == "atpp4")
    assert row.atpp == 4.0
    assert row.loss == last.loss
    assert row.delta_target == last.delta
    assert math.isclose(row.ppl, last.ppl)
    assert rows["pretrain-s"].delta_target is None
    assert rows["pretrain-s"].share == 1.0
    assert rows["adapt-docs-r0-p5-xs"].state == "running"
    assert 0 < rows["adapt-docs-r0-p5-xs"].share < 1


def test_groups_keep_every_row_once(voyage) -> None:
    rows = list_runs(voyage)
    for key in ("experiment", "kind", "domain", "replay", "ptpp", "size", "none"):
        groups = arrange(rows, group=key)
        assert sorted(row.run_id for group in groups for row in group.rows) == sorted(row.run_id for row in rows)
    assert [group.name for group in arrange(rows, group="replay")] == [
        "no replay",
        "replay 0",
        "replay 0.25",
        "replay 0.5",
    ]


def test_sorting_puts_missing_values_last(voyage) -> None:
    (group,) = arrange(list_runs(voyage), sort="target", group="none")
    deltas = [row.delta_target for row in group.rows]
    known = [delta for delta in deltas if delta is not None]
    assert known == sorted(known)
    assert deltas[len(known) :] == [None] * (len(deltas) - len(known))


def test_runs_are_found_by_name_and_by_the_beginning_of_an_id(voyage) -> None:
    (by_name,) = find_run_ids(voyage, ["pretrain-s"])
    assert find_run_ids(voyage, [by_name, by_name[:-3]]) == [by_name, by_name]


def test_curves_start_at_zero_seconds_and_follow_the_axis(voyage) -> None:
    (run_id,) = find_run_ids(voyage, ["adapt-docs-r0-p5-s"])
    by_time = read_curves(voyage, [run_id], "loss", "time")
    by_tokens = read_curves(voyage, [run_id], "loss", "tokens")
    assert min(curve.x[0] for curve in by_time) == 0.0
    assert [list(curve.y) for curve in by_time] == [list(curve.y) for curve in by_tokens]
    assert all(list(curve.x) == sorted(curve.x) for curve in (*by_time, *by_tokens))
    assert by_tokens[0].branch == "trunk"


def test_a_specification_reads_as_lines() -> None:
    spec = {"a": 1, "b": {"c": [1, 2], "d": None, "e": {}}, "f": [{"name": "x", "g": True}]}
    assert list(describe_spec(spec)) == ["a: 1", "b.c: 1, 2", "f[x].name: x", "f[x].g: True"]


def test_the_tail_of_a_log_is_its_last_lines(tmp_path) -> None:
    log = tmp_path / "console.log"
    log.write_text("".join(f"line {number}\n" for number in range(20_000)))
    assert tail(log, 2) == ["line 19998", "line 19999"]
    assert tail(tmp_path / "missing.log", 2) == []


def test_lineage_goes_from_the_base_to_what_rests_on_the_run(voyage) -> None:
    (run_id,) = find_run_ids(voyage, ["pretrain-s"])
    detail = read_detail(voyage, run_id, log_lines=0)
    line, heirs = detail.descent
    assert line == "this run → ptpp5, ptpp15, ptpp45"
    assert heirs.startswith("base of 14 runs: adapt-docs-r0-p15-s, ")
    assert heirs.endswith(" and 11 more")
    (queued,) = find_run_ids(voyage, ["adapt-tests-r0-p5-xs"])
    (line,) = read_detail(voyage, queued, log_lines=0).descent
    assert line.startswith("pretrain-xs-")
    assert line.endswith("@ptpp5 → this run")
