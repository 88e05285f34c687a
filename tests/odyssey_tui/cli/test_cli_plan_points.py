"""``odyssey plan --points``: limits met by laws of a table, where the truth behind the table is known."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from tests.support import law_tables

NAMED = ("--form", "ptpp_additive", "--base-form", "forgetting_pinned", "--starts", "60", "--bootstrap", "20")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return law_tables.write(tmp_path / "points.csv", law_tables.rows(("target", "base"), noise=1e-4))


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path, expected: Exit = Exit.OK) -> str:
    status = run(["plan", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == expected, err
    return out


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    status = run(["plan", *map(str, arguments)])
    err = capsys.readouterr().err
    assert status in (Exit.USAGE, Exit.DATA), err
    assert "Traceback" not in err
    return " ".join(err.split())


def test_the_answer_agrees_with_the_truth(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(
        call(capsys, "--points", table, *NAMED, "--forgetting", "0.2", "--gain", "0.9", "--ptpp", "16", "--json")
    )
    cell: dict[str, Any] = found["choice"]
    n, p, rho, d = 1.5e5, 16, cell["replay_ratio"], cell["atpp"] * 1.5e5
    start = law_tables.zero_shot(n, p, "base")
    assert cell["forgetting"] == pytest.approx(law_tables.base(n, p, d, rho) - start, abs=2e-3)
    assert cell["target_loss"] == pytest.approx(law_tables.target(n, p, d, rho), rel=1e-3)
    assert law_tables.base(n, p, d, rho) - start <= 0.203
    assert law_tables.target(n, p, d, rho) <= law_tables.zero_shot(n, p, "target") - 0.895
    assert not found["model"]["forecast"]
    assert found["laws"]["base"]["chosen_by"] == "named"
    assert "draws" not in found["laws"]["base"]["fits"][0]


def test_laws_are_chosen_by_leaving_stages_out(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = call(
        capsys, "--points", table, "--form", "dcpt", "--form", "ptpp_additive", *NAMED[2:], "--forgetting", "0.2"
    )  # fmt: skip
    said = " ".join(out.split())
    assert "ptpp_additive: lowest error, leaving out each ptpp in turn." in said
    assert "Laws: ptpp_additive (target), forgetting_pinned (base), of points.csv." in said
    assert max(map(len, out.splitlines())) <= 80


def test_an_unmeasured_model_is_forecast_and_the_reach_is_said(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = " ".join(call(capsys, "--points", table, *NAMED, "--size", "1e6", "--ptpp", "100", "--gain", "0.5").split())
    assert "Model 1M, P = 100; before adaptation (forecast)" in out
    assert "N is 6.67× beyond the points of the target and base law" in out


def test_two_files_and_limits_that_nothing_meets(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, base = (
        law_tables.write(tmp_path / f"{role}.csv", law_tables.rows((role,), noise=1e-4)) for role in ("target", "base")
    )
    arguments = ("--points", target, "--base-points", base, *NAMED, "--target", "1.0", "--forgetting", "0.2")
    out = " ".join(call(capsys, *arguments, expected=Exit.FAILED).split())
    assert "The limit on target loss cannot be met on its own" in out
    assert "exceeds it by" in out


def test_the_front_at_one_budget_and_the_critical_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth in which replay costs target loss, so that there is something to weigh."""
    monkeypatch.chdir(tmp_path)
    rows = law_tables.rows(("target", "base"))
    for row in rows:
        if row["role"] == "target":
            row["loss"] = 2.0 + 3.0 * (1.2 - row["replay_ratio"]) ** -0.5 / (row["atpp"] * row["n_params"]) ** 0.1
    table = law_tables.write(tmp_path / "weigh.csv", rows)
    mine = tmp_path / "mine.yaml"
    mine.write_text("formula: E + B*(r + 0.2)**-eta*D**-beta\n")
    arguments = ("--points", table, "--form", mine, *NAMED[2:], "--forgetting", "0.1", "--pareto")
    found = json.loads(call(capsys, *arguments, "--json"))
    front = found["front"]
    assert len({cell["atpp"] for cell in front}) == 1
    assert front[0]["atpp"] == found["choice"]["atpp"]
    for before, after in itertools.pairwise(front):
        assert before["forgetting"] < after["forgetting"]
        assert before["target_loss"] > after["target_loss"]
    for one in found["critical"]:
        if 0.5 < one["target_share"] < 1:
            rho, d = 1 - one["target_share"], one["adapt_tokens"]
            rise = law_tables.base(1.5e5, 64, d, rho) - law_tables.zero_shot(1.5e5, 64, "base")
            assert rise == pytest.approx(0.1, abs=4e-3)
    shares = [one["target_share"] for one in found["critical"]]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) >= 8
    assert all(shares[index] > shares[index + 1] for index in range(4))
    assert found["mixture_law"]["a"] * found["mixture_law"]["s"] < 0
    out = call(capsys, *arguments)
    assert "At this budget, beaten on both losses by no other" in out


def test_mistakes_are_one_message(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{k: v for k, v in row.items() if k != "role"} for row in law_tables.rows()]
    bare = law_tables.write(tmp_path / "bare.csv", rows)
    assert "add a column role (target, base), or --base-points FILE" in refuse(capsys, "--points", bare, *NAMED)
    assert "--base-form, --where are for a table: add --points FILE" in refuse(
        capsys, "--where", "ptpp=8", "--base-form", "dcpt"
    )
    said = refuse(capsys, "--points", table, *NAMED[:2], "--base-form", "dcpt", *NAMED[4:], "--forgetting", "0.1")
    assert "dcpt is not exact at D = 0, so it cannot limit forgetting" in said
    without = [{k: v for k, v in row.items() if k != "zero_shot_loss"} for row in law_tables.rows(("target", "base"))]
    path = law_tables.write(tmp_path / "without.csv", without)
    said = refuse(capsys, "--points", path, "--form", "dcpt", "--base-form", "dcpt", *NAMED[4:], "--gain", "0.5")
    assert "--target-zero-shot LOSS" in said


def test_the_map_is_printed_and_exported(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--points", table, *NAMED, "--forgetting", "0.2", "--gain", "0.9", "--ptpp", "16", "--grid")
    out = call(capsys, *arguments)
    assert "★" in out
    assert max(map(len, out.splitlines())) <= 80
    rows = list(csv.DictReader(io.StringIO(call(capsys, *arguments, "--csv"))))
    found = json.loads(call(capsys, *arguments, "--json"))
    assert len(rows) == len(found["cells"]) > 100
    (chosen,) = [row for row in rows if row["choice"] == "True"]
    assert float(chosen["replay_ratio"]) == pytest.approx(found["choice"]["replay_ratio"])
    assert found["files"] == ["points.csv"]
