"""``odyssey fit --points`` as users call it: no workspace, a table in, numbers out, one message for an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.laws.forms import REGISTRY
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from tests.support import law_tables

QUICK = ("--starts", "60", "--bootstrap", "20")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return law_tables.write(tmp_path / "points.csv", law_tables.rows(noise=1e-4))


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    status = run(["fit", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == Exit.OK, err
    return out


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    status = run(["fit", *map(str, arguments)])
    err = capsys.readouterr().err
    assert status in (Exit.USAGE, Exit.DATA), err
    assert "Traceback" not in err
    return status, " ".join(err.split())


def test_json_has_all_there_is_to_know_of_a_fit(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = call(
        capsys, "--points", table, "--form", "ptpp_additive", "--form", "dcpt", "--holdout", "ptpp=64",
        "--anchors", "3,6", "--starts", "100", "--bootstrap", "40", "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert found["points"]["n_fit"] == 96
    assert found["points"]["n_held_out"] == 48
    fits = {(fit["form"], fit["anchors"]): fit for fit in found["fits"]}
    assert set(fits) == {(form, anchors) for form in ("ptpp_additive", "dcpt") for anchors in (0, 3, 6)}
    blind = fits["ptpp_additive", 0]
    parameters: dict[str, dict[str, Any]] = {one["name"]: one for one in blind["parameters"]}
    assert parameters["beta"]["low"] < parameters["beta"]["value"] < parameters["beta"]["high"]
    assert parameters["beta"]["value"] == pytest.approx(0.2, rel=0.05)
    assert blind["starts_agreeing"] > 0
    assert blind["objective"] < 1e-3
    assert blind["identifiability"]
    assert blind["scores"]["mae_rel_mean"] < 2e-3 < fits["dcpt", 0]["scores"]["mae_rel_mean"]
    assert fits["dcpt", 6]["scores"]["saw"] == "6 anchors"
    # With and without anchors are scored on the same points; no trajectory is both anchor and scored.
    rows = {key: [p["place"] for p in fit["predictions"]] for key, fit in fits.items()}
    assert rows["dcpt", 0] == rows["dcpt", 3] == rows["dcpt", 6] == rows["ptpp_additive", 0]
    assert fits["dcpt", 6]["n_points"] == fits["dcpt", 3]["n_points"] + 3 == 102
    assert len(rows["dcpt", 0]) == blind["scores"]["n"] < 48
    for prediction in blind["predictions"]:
        assert prediction["low"] <= prediction["predicted"] * 1.001
        assert prediction["predicted"] <= prediction["high"] * 1.001
        assert prediction["profile_low"] <= prediction["predicted"] <= prediction["profile_high"]
        assert prediction["error"] == pytest.approx(prediction["predicted"] / prediction["loss"] - 1)


def test_one_law_and_several_as_text_within_80_columns(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = call(capsys, "--points", table, "--form", "dcpt", "--where", "ptpp<64", "--holdout", "atpp=8", *QUICK)
    assert "L = E + A/N^α + B·r^η/D^β + C/(r+ε)^γ" in one
    assert "starts followed to the end" in " ".join(one.split())
    several = call(capsys, "--points", table, "--forms", "dcpt,ptpp_additive", "--holdout", "ptpp=64", *QUICK)
    lines = several.splitlines()
    order = [line.split()[0] for line in lines if line.startswith(("dcpt", "ptpp_additive"))]
    assert order[0] == "ptpp_additive"
    assert "dcpt + L0 shift" in several
    for line in (*one.splitlines(), *lines):
        assert len(line) <= 80
        assert "\x1b" not in line


def test_csv_has_every_score(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = call(capsys, "--points", table, "--form", "dcpt", "--holdout", "ptpp=64", *QUICK, "--csv")
    head, *rows = out.splitlines()
    assert head.startswith("form,anchors,n,mape,mae_rel_mean,mae_rel_sum,huber_log,rmse,slope,intercept,r2")
    assert [row.split(",")[0] for row in rows] == ["dcpt", "dcpt + L0 shift"]
    assert rows[0].split(",")[2] == rows[1].split(",")[2] == "48"


def test_the_laws_are_listed_with_their_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laws = {law["form"]: law for law in json.loads(call(capsys, "--laws", "--json"))}
    assert laws.keys() == REGISTRY.keys()
    assert laws["zero_shot"]["reads"] == ["N", "P", "D", "r", "L0"]
    for name, form in REGISTRY.items():
        bounds = {one["name"]: (one["low"], one["high"]) for one in laws[name]["parameters"]}
        assert bounds == {one.name: one.bounds for one in form.parameters}
    table = call(capsys, "--laws")
    assert {line.split()[0] for line in table.splitlines() if line[:1].islower()} >= REGISTRY.keys()
    mine = tmp_path / "mine.yaml"
    mine.write_text("formula: E + B*D**-beta\nparameters: {beta: {bounds: [0.1, 0.9], meaning: how fast}}\n")
    words = call(capsys, "--laws", "--form", mine, "--form", "dcpt").splitlines()
    (row,) = [line for line in words if line.startswith("beta") and "how fast" in line]
    assert "0.1 … 0.9" in row
    assert "(D-CPT, arXiv 2406.01375, L3)" in words
    assert all(len(line) <= 80 for line in (*table.splitlines(), *words))
    assert "Did you mean 'dcpt'" in refuse(capsys, "--laws", "--form", "dcptt")[1]
    assert "--starts is not for --laws" in refuse(capsys, "--laws", "--starts", "3")[1]


def test_epochs_of_a_table_go_with_its_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = [{**row, "base_epochs": row["ptpp"] / 8, "target_epochs": 0.5} for row in law_tables.rows()]
    told = ("--form", "dcpt", "--holdout", "ptpp=64", *QUICK, "--json")
    (fit,) = json.loads(call(capsys, "--points", law_tables.write(tmp_path / "read.csv", read), *told))["fits"]
    assert {row["base_epochs"] for row in fit["predictions"]} == {8.0}
    assert "replay_epochs" not in fit["predictions"][0]
    (sentence,) = [one for one in fit["identifiability"] if "epochs" in one]
    assert sentence.startswith("48 of 144 points come after more than 4 epochs (up to 8 of the base text before adapt")
    read[0]["base_epochs"] = -1
    assert run(["fit", "--points", str(law_tables.write(tmp_path / "bad.csv", read)), *told]) == Exit.OK
    assert "its epochs are negative (line 2)" in " ".join(capsys.readouterr().err.split())


def test_the_calibration_of_held_out_rows_is_a_figure(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("--points", table, "--form", "ptpp_additive", "--form", "dcpt", *QUICK)
    both = call(capsys, *told, "--holdout", "ptpp=64", "--svg", tmp_path / "both.svg", "--json")
    drawn = (tmp_path / "both.svg").read_text()
    for fit in json.loads(both)["fits"]:
        assert f"{fit['form']}, slope {fit['scores']['slope']:.2f}, intercept" in drawn
    alone = ("--points", table, "--form", "dcpt", *QUICK, "--svg")
    call(capsys, *alone, tmp_path / "one.svg", "--holdout", "ptpp>8")
    one = (tmp_path / "one.svg").read_text()
    assert "calibration of dcpt" in one
    assert ">P 16<" in one
    assert ">P 64<" in one
    assert "say which are held out" in refuse(capsys, *alone, tmp_path / "none.svg")[1]
    blind = (*told[:4], *QUICK, "--holdout", "ptpp>8", "--svg", tmp_path / "none.svg")
    assert "was fitted on too few values of P" in refuse(capsys, *blind)[1]
    assert not (tmp_path / "none.svg").exists()


def test_a_form_of_ones_own_stands_beside_the_others(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "formula: E + A*N**-alpha + F*(P*N)**-phi + B*r**eta*D**-beta + C/(r + eps)**gamma\n"
        "parameters: {eps: {bounds: [1e-3, 1], start: [0.01, 0.7], meaning: offset of the share}}\n"
    )
    arguments = ("--points", table, "--form", mine, "--form", "ptpp_additive", "--holdout", "ptpp=64", *QUICK, "--json")
    fits = {fit["form"]: fit for fit in json.loads(call(capsys, *arguments))["fits"]}
    assert fits["mine"]["source"] == "your form, mine.yaml"
    assert fits["mine"]["objective"] == pytest.approx(fits["ptpp_additive"]["objective"], rel=1e-2)
    assert fits["mine"]["scores"]["mape"] < 0.2
    meanings = {parameter["name"]: parameter["meaning"] for parameter in fits["mine"]["parameters"]}
    assert meanings["eps"] == "offset of the share"
    mine.write_text("formula: E + A*N**-\n")
    _, err = refuse(capsys, "--points", table, "--form", mine)
    assert "mine.yaml: formula, column 10: cannot be read" in err


def test_a_form_that_cannot_be_fitted_beside_one_that_can(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = call(capsys, "--points", table, "--form", "dcpt", "--form", "forgetting", "--holdout", "ptpp=64", *QUICK)
    assert "forgetting was not fitted: forgetting describes the base loss only" in " ".join(out.split())


def test_one_ptpp_only_is_said_and_not_extrapolated(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = call(
        capsys, "--points", table, "--form", "ptpp_additive", "--where", "ptpp!=16", "--holdout", "ptpp=64", *QUICK
    )  # fmt: skip
    said = " ".join(out.split())
    assert "1 distinct PTPP: the terms in P are dropped, and no forecast is made along P." in said
    assert "Not scored" in said


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--form", "dcptt"), Exit.DATA, "no law form 'dcptt'. Did you mean 'dcpt'?"),
        ((), Exit.USAGE, "--points needs a law: --form dcpt"),
        (("--form", "dcpt", "--domain", "docs"), Exit.USAGE, "--domain is for what a workspace holds"),
        (("--form", "dcpt", "--anchors", "4"), Exit.USAGE, "say which are held out"),
        (
            ("--form", "dcpt", "--where", "atpp=1 and ptpp=8 and replay_ratio=0.5"),
            Exit.DATA,
            "dcpt needs at least 6 points, and 3 can be used",
        ),
        (("--form", "dcpt", "--map", "loss=los"), Exit.USAGE, "there is no column 'los'"),
        (("--form", "dcpt", "--anchors", "48", "--holdout", "ptpp=64"), Exit.DATA, "would use every run"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_mistakes_are_one_message(
    table: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, words: str
) -> None:
    found, err = refuse(capsys, "--points", table, *arguments)
    assert words in err
    assert found == status


def test_options_of_a_table_need_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    status, err = refuse(capsys, "--form", "dcpt", "--where", "ptpp=8", "--seed", "3")
    assert status == Exit.USAGE
    assert "--seed, --where are for a table: add --points FILE" in err
