"""``odyssey fit --isoflop``: compute-optimal sizes of a table with known optima, and of published runs."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run

BUDGETS = np.geomspace(1e16, 3e18, 7)


def rows(exponent: float = 0.5, sweep: str = "a", per_token: float = 6.0) -> list[dict[str, Any]]:
    """Seven sizes around N* = 0.4 C^exponent at seven budgets, C = per_token · N · D."""
    table = []
    for budget in BUDGETS.tolist():
        best = 0.4 * budget**exponent
        for step in np.linspace(-1.5, 1.8, 7).tolist():
            n = best * np.exp(step)
            loss = 2.0 + 40.0 * budget**-0.1 + 0.06 * step**2
            table.append({"C": budget, "N": n, "tokens": budget / (per_token * n), "loss": loss, "sweep": sweep})
    return table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, table: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    status = run(["fit", "--isoflop", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == Exit.OK, err
    return out


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert run(["fit", *map(str, arguments)]) in (Exit.USAGE, Exit.DATA)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return " ".join(err.split())


def test_sizes_tokens_and_exponents_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(folder / "a.csv", rows(0.53))
    (sweep,) = json.loads(call(capsys, "--points", file, "--json"))["sweeps"]
    assert sweep["exponent"] == pytest.approx(0.53)
    assert sweep["low"] == pytest.approx(sweep["high"]) == pytest.approx(0.53)
    assert sweep["tokens_exponent"] == pytest.approx(0.47)
    assert len(sweep["budgets"]) == 7
    for budget in sweep["budgets"]:
        assert budget["n_params"] == pytest.approx(0.4 * budget["flops"] ** 0.53)
        assert budget["tokens"] == pytest.approx(budget["flops"] / (6 * budget["n_params"]))
        assert budget["curvature"] == pytest.approx(0.06)
    assert sweep["notes"] == []


def test_flops_are_computed_where_they_are_no_column(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = [{name: value for name, value in row.items() if name != "C"} for row in rows(0.5)]
    (sweep,) = json.loads(call(capsys, "--points", write(folder / "a.csv", table), "--json"))["sweeps"]
    assert sweep["exponent"] == pytest.approx(0.5, abs=1e-6)
    assert [budget["flops"] for budget in sweep["budgets"]] == pytest.approx(BUDGETS.tolist())


def test_tokens_follow_what_the_table_calls_flops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(folder / "a.csv", rows(0.5, per_token=7.5))
    (sweep,) = json.loads(call(capsys, "--points", file, "--json"))["sweeps"]
    assert sweep["budgets"][0]["tokens"] == pytest.approx(1e16 / (7.5 * sweep["budgets"][0]["n_params"]))
    assert "The table's C is 7.5 to 7.5 times N·D, not 6" in sweep["notes"][0]


def test_text_has_the_chart_the_table_and_both_laws_in_80_columns(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = rows(0.5)
    for row in table[:7]:
        row["loss"] = 5.0 - 0.1 * np.log(row["N"])
    out = call(capsys, "--points", write(folder / "a.csv", table), "--svg", folder / "figure.svg")
    assert max(map(len, out.splitlines())) <= 80
    assert "has its lowest loss at its largest size" in out
    said = " ".join(out.split())
    assert "N* = 0.4 · C^0.500, exponent 0.500 to 0.500" in said
    assert "D* = 0.4167 · C^0.500" in said
    assert "loss over model sizes at equal FLOPs" in out
    assert "<svg" in (folder / "figure.svg").read_text()


def test_sweeps_of_one_table_are_told_apart_by_a_column(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(folder / "a.csv", [*rows(0.5, "short"), *rows(0.6, "long")])
    found = json.loads(call(capsys, "--points", file, "--by", "sweep", "--json"))
    assert {one["sweep"]: round(one["exponent"], 6) for one in found["sweeps"]} == {"short": 0.5, "long": 0.6}
    text = call(capsys, "--points", file, "--by", "sweep")
    assert text.splitlines()[2].split()[:3] == ["short", "7", "0.500"]
    head, *lines = call(capsys, "--points", file, "--by", "sweep", "--csv").splitlines()
    assert head.startswith("sweep,flops,n_points,n_params,tokens")
    assert len(lines) == 14
    (chosen,) = json.loads(call(capsys, "--points", file, "--where", "sweep=long", "--json"))["sweeps"]
    assert chosen["exponent"] == pytest.approx(0.6)


def test_repeats_in_a_budget_are_pointed_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = [*rows(0.5), *({**row, "loss": row["loss"] + 0.01} for row in rows(0.5, "b"))]
    (sweep,) = json.loads(call(capsys, "--points", write(folder / "a.csv", mixed), "--json"))["sweeps"]
    assert sweep["notes"][0].startswith("At 7 budgets a size has several losses")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--isoflop",), "--isoflop needs a table: --points FILE"),
        (("--isoflop", "--points", "a.csv", "--form", "dcpt"), "--form is not for --isoflop"),
        (("--isoflop", "--points", "a.csv", "--domain", "docs"), "--domain is not for --isoflop"),
        (("--points", "a.csv", "--form", "dcpt", "--by", "sweep"), "--by is for --isoflop"),
        (("--isoflop", "--points", "a.csv", "--by", "sweeps"), "--by sweeps: there is no such column Did you mean"),
        (("--isoflop", "--points", "a.csv", "--where", "sweep=b"), "accepts none of 49 rows"),
        (("--isoflop", "--points", "a.csv", "--where", "C<2e16"), "1 of 1 budgets have a lowest loss"),
        (("--isoflop", "--points", "bare.csv"), "no FLOPs, and no tokens"),
        (("--isoflop", "--points", "none.csv"), "none.csv: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_one_message(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    write(folder / "a.csv", rows(0.5))
    write(folder / "bare.csv", [{"N": row["N"], "loss": row["loss"]} for row in rows(0.5)])
    assert words in refuse(capsys, *arguments)


def test_published_runs_give_the_published_exponents(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Porian et al. (arXiv 2406.19146): within 0.03 of each of the ten exponents, from one call."""
    data = Path(os.environ.get("ODYSSEY_REFERENCE_DATA") or ".") / "scaling"
    if not (data / "formll_isoflop_points.csv").exists():
        pytest.skip("ODYSSEY_REFERENCE_DATA does not name a folder with scaling/formll_isoflop_points.csv")
    names = ("dataset", "hparams", "warmup", "decay", "param_count", "loss_split")
    with open(data / "formll_published_exponents.csv", newline="") as file:
        published = {
            tuple(row[name] for name in names): float(row["n_exponent_weighted"]) for row in csv.DictReader(file)
        }
    out = call(capsys, "--points", data / "formll_isoflop_points.csv", "--by", ",".join(names), "--json")
    found = {tuple(sweep["values"][name] for name in names): sweep for sweep in json.loads(out)["sweeps"]}
    assert set(found) == set(published)
    for key, exponent in published.items():
        assert found[key]["exponent"] == pytest.approx(exponent, abs=0.03), key
        assert found[key]["low"] < found[key]["exponent"] < found[key]["high"]
