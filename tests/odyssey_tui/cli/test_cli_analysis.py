"""compare, fit, forecast and plan as text and JSON."""

from __future__ import annotations

import json

import pytest

from odyssey_tui.cli.main import run
from store.workspace import Workspace


def call(capsys: pytest.CaptureFixture[str], workspace: Workspace, *arguments: str) -> str:
    """Standard output of a command that succeeds."""
    status = run(["-w", str(workspace.root), *arguments])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def refuse(capsys: pytest.CaptureFixture[str], workspace: Workspace, *arguments: str) -> str:
    """Standard error of a command that fails in one clear way."""
    assert run(["-w", str(workspace.root), *arguments]) in (1, 2, 3, 4)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def adapted(workspace: Workspace, name: str = "adapt-docs-r0-p15-s") -> str:
    return next(run_id for run_id in workspace.run_ids() if run_id.startswith(f"{name}-") and "lora" not in run_id)


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "RUN", "OTHER"),
        ("forecast",),
        ("forecast", "--x", "replay_ratio", "--role", "base", "--anchors", "3"),
        ("forecast", "--residuals", "--form", "ptpp_gated_floor"),
        ("forecast", "--calibration", "--form", "ptpp_gated_floor"),
        ("plan", "--forgetting", "0.2", "--target", "2.6"),
        ("plan", "--forgetting", "1"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_text_fits_80_columns_without_escapes(fitted, capsys, arguments) -> None:
    names = {"RUN": adapted(fitted), "OTHER": adapted(fitted, "adapt-docs-r0.25-p45-s")}
    out = call(capsys, fitted, *(names.get(argument, argument) for argument in arguments))
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()) > 3


def test_compare_json_has_differences_and_intervals(fitted, capsys) -> None:
    runs = adapted(fitted), adapted(fitted, "adapt-docs-r0.25-p15-s")
    found = json.loads(call(capsys, fitted, "compare", *runs, "--json"))
    assert {row["key"] for row in found["differences"]} >= {"replay_ratio"}
    assert all(row["low"] < row["delta"] < row["high"] for row in found["evaluations"])
    assert set(found["plane"]) == set(runs)


def test_forecast_json_has_curves_points_and_scores(fitted, capsys) -> None:
    found = json.loads(call(capsys, fitted, "forecast", "--form", "ptpp_gated_floor", "--json"))
    assert len(found["tracks"]) == 3
    assert found["marks"]
    assert {"form", "mape", "slope", "n"} <= found["scores"][0].keys()


def test_forecast_files_have_the_view_asked_for(fitted, capsys, tmp_path) -> None:
    figure = tmp_path / "errors.svg"
    out = call(capsys, fitted, "forecast", "--residuals", "--csv", "--svg", str(figure))
    head, *rows = out.splitlines()
    assert head == "split,n_params,ptpp,atpp,adapt_tokens,replay_ratio,loss,predicted,error,run_id"
    assert {row.split(",")[0] for row in rows} == {"fit", "score"}
    assert "predicted / measured" in figure.read_text()
    assert call(capsys, fitted, "forecast", "--latex").startswith(r"\begin{tabular}")
    found = json.loads(call(capsys, fitted, "forecast", "--split", "2", "--json"))
    assert found["choices"]["splits"][1]["run_id"] == found["split"]
    assert len(found["residuals"]) == 33


def test_the_calibration_stands_over_the_scores(fitted, capsys, tmp_path) -> None:
    figure = tmp_path / "calibration.svg"
    told = ("forecast", "--calibration", "--form", "ptpp_gated_floor")
    out = call(capsys, fitted, *told, "--svg", str(figure))
    row, _with_anchors = (line for line in out.splitlines() if line.startswith("ptpp_gated_floor "))
    assert f"slope {float(row.split()[-2]):.2f}" in figure.read_text()
    rows = call(capsys, fitted, *told, "--csv").splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == {"score"}
    assert "exclude each other" in refuse(capsys, fitted, *told, "--residuals")


def test_anchors_that_no_fit_saw_are_refused_with_those_there_are(fitted, capsys) -> None:
    assert "There are fits with 0, 3" in refuse(capsys, fitted, "forecast", "--form", "dcpt", "--anchors", "5")
    assert "no number of anchors" in refuse(capsys, fitted, "forecast", "--anchors", "x")
    alone = refuse(capsys, fitted, "forecast", "--split", "2", "--anchors")
    assert "with anchors is stored" in alone


def test_plan_json_has_the_choice(fitted, capsys) -> None:
    found = json.loads(call(capsys, fitted, "plan", "--forgetting", "0.2", "--target", "2.6", "--json"))
    assert found["choice"]["forgetting"] <= 0.2
    assert found["model"]["label"] == "s"


def test_fit_queues_once(own_voyage, capsys, monkeypatch) -> None:
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: True)
    first = json.loads(call(capsys, own_voyage, "fit", "--forms", "dcpt,zero_shot", "--score-ptpp", "45", "--json"))
    assert first["queued"]
    assert first["job"]["forms"] == ["dcpt", "zero_shot"]
    assert "is there already (queued)" in call(
        capsys, own_voyage, "fit", "--forms", "dcpt,zero_shot", "--score-ptpp", "45"
    )


def test_mistakes_are_one_message_with_what_to_do(fitted, capsys) -> None:
    assert "two runs or more" in refuse(capsys, fitted, "compare", adapted(fitted))
    assert "Did you mean 'dcpt'" in refuse(capsys, fitted, "forecast", "--form", "dcptt")
    assert "too few values of N" in refuse(capsys, fitted, "plan", "--size", "8.1e9")
    assert "not a list of numbers" in refuse(capsys, fitted, "fit", "--fit-ptpp", "8,x")


def test_fit_waits_and_prints_the_scores(own_voyage, capsys, monkeypatch) -> None:
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: True)
    monkeypatch.setattr("odyssey_tui.cli.fit.wait_for", lambda workspace, run_id: None)
    out = call(capsys, own_voyage, "fit", "--wait")
    assert "Held-out scores of the target loss on docs" in out
