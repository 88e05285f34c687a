"""``odyssey import``: what another tool recorded is a run like any other; again adds nothing, more adds more."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.jobs.fit import execute
from engine.report import JobContext, Report
from engine.spec.run import RunSpec
from odyssey_tui.cli.main import run
from odyssey_tui.services.curves import curve_figure, read_curves
from odyssey_tui.services.fitting import fit_again, make_spec
from odyssey_tui.services.forecast import forecast
from odyssey_tui.services.runs import list_runs
from store.files import write_atomic
from store.ingest import ingest
from store.journal import read_events
from store.workspace import Workspace
from tests.support.recordings import DATA, unpack_trackio, wandb_file


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws")


def bring(workspace: Workspace, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    status = run(["-w", str(workspace.root), "import", *map(str, arguments), "--json"])
    return {**json.loads(capsys.readouterr().out), "status": status}


def ask(workspace: Workspace, capsys: pytest.CaptureFixture[str], statement: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(["-w", str(workspace.root), "sql", statement, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def files_of(workspace: Workspace) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in workspace.runs.rglob("*") if path.is_file()}


def test_imported_runs_are_listed_and_drawn_and_survive_a_new_database(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bring(workspace, capsys, DATA / "wandb-0.31.0")
    assert found["status"] == 0
    assert [(r["state"], r["experiment"], r["ended"]) for r in found["runs"]] == [
        ("new", "legal", "failed"),
        ("new", "legal", "done"),
    ]
    assert [item["reason"] for item in found["not_read"]] == ["values that are no numbers: hist, text"]
    listed = {row.name: row for row in list_runs(workspace)}
    run_ = listed["lora r8"]
    assert (run_.kind, run_.domain, run_.rank, run_.lr, run_.state) == ("imported", "law", 8.0, 5e-4, "done")
    assert run_.loss == 4.0 - 0.1 * 19
    assert (listed["failed"].state, listed["failed"].reason) == ("failed", "exit code 3")
    (curve,) = read_curves(workspace, [run_.run_id], "loss", "tokens")
    assert tuple(curve.x) == tuple((i + 1) * 1024.0 for i in range(20))
    assert tuple(curve.y) == pytest.approx([4.0 - 0.1 * i for i in range(20)])
    times = ask(workspace, capsys, "SELECT started, ended, valid_loss FROM runs WHERE name = 'lora r8'")[0]
    assert 1795219224 < times["started"] < times["ended"] < 1795219226
    assert times["valid_loss"] == 2.5
    before = ask(workspace, capsys, "SELECT * FROM metrics ORDER BY ALL")
    for path in workspace.root.glob("odyssey.duckdb*"):
        path.unlink()
    assert ask(workspace, capsys, "SELECT * FROM metrics ORDER BY ALL") == before
    assert run(["-w", str(workspace.root), "show", run_.run_id]) == 0
    assert "job.config.model.name: gpt2" in capsys.readouterr().out
    assert run(["-w", str(workspace.root), "compare", *(row.run_id for row in listed.values())]) == 0


def test_importing_again_adds_nothing_wherever_the_copy_lies(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpack_trackio("trackio-0.43.0", tmp_path / "first")
    shutil.copytree(DATA / "tensorboardX-2.6.5", tmp_path / "first" / "tb")
    first = bring(workspace, capsys, tmp_path / "first")
    before = files_of(workspace)
    counts = ask(workspace, capsys, "SELECT (SELECT count(*) FROM metrics) AS m, (SELECT count(*) FROM runs) AS r")
    (tmp_path / "first").rename(tmp_path / "moved")
    again = bring(workspace, capsys, tmp_path / "moved" / "tb" / "run1", tmp_path / "moved" / "legal.db")
    assert {r["run"] for r in again["runs"]} == {r["run"] for r in first["runs"]}
    assert {r["state"] for r in again["runs"]} == {"known"}
    assert files_of(workspace) == before
    now = ask(workspace, capsys, "SELECT (SELECT count(*) FROM metrics) AS m, (SELECT count(*) FROM runs) AS r")
    assert now == counts


def test_a_run_that_has_grown_is_brought_up_to_date_with_its_end(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = wandb_file("wandb-0.31.0", "failed").read_bytes()
    log = tmp_path / "run-x.wandb"
    log.write_bytes(whole[:-200])
    first = bring(workspace, capsys, log)
    assert first["runs"][0]["ended"] == "lost"
    (row,) = list_runs(workspace)
    assert (row.state, row.share) == ("lost", None)
    assert "no end" in row.reason
    n_first = ask(workspace, capsys, "SELECT count(*) AS n FROM metrics")[0]["n"]
    log.write_bytes(whole)
    second = bring(workspace, capsys, log)
    assert second["runs"][0]["state"] in ("longer", "changed")
    assert second["runs"][0]["run"] == first["runs"][0]["run"]
    assert [(r.state, r.reason) for r in list_runs(workspace)] == [("failed", "exit code 3")]
    values = ask(workspace, capsys, "SELECT step, value FROM metrics ORDER BY step")
    assert [(v["step"], v["value"]) for v in values] == [(0, 1.0), (1, 0.5)]
    assert n_first <= 2


def test_a_log_in_parts_keeps_what_came_before(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = unpack_trackio("trackio-0.43.0", tmp_path)
    assert bring(workspace, capsys, file)["runs"][1]["values"] == 2
    with sqlite3.connect(file) as con:
        con.execute("DELETE FROM metrics WHERE run_name = 'second' AND step = 10")
        con.execute(
            "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) SELECT run_id, "
            "'2026-12-01T00:00:00+00:00', run_name, 30, '{\"loss\": 1.0}' FROM metrics WHERE step = 20"
        )
    con.close()
    states = {r["run"]: r["state"] for r in bring(workspace, capsys, file)["runs"]}
    assert sorted(states.values()) == ["known", "longer"]
    second = next(name for name in states if name.startswith("second"))
    values = ask(workspace, capsys, f"SELECT step, value FROM metrics WHERE run_id = '{second}' ORDER BY step")
    assert [(v["step"], v["value"]) for v in values] == [(10, 1.5), (20, 1.25), (30, 1.0)]


def test_names_are_chosen_and_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = Workspace(tmp_path / "none")
    found = bring(fresh, capsys, "wandb", DATA / "wandb-0.31.0", "--dry-run")
    assert (found["status"], found["dry_run"], len(found["runs"])) == (0, True, 2)
    assert not fresh.root.exists()
    bring(fresh, capsys, DATA / "wandb-0.31.0", "--map", "loss=eval/loss", "--experiment", "mine")
    names = ask(Workspace.open(fresh.root), capsys, "SELECT name FROM metrics WHERE value = 2.5 AND step = 25")
    assert [row["name"] for row in names] == ["loss"]
    assert {row.experiment for row in list_runs(Workspace.open(fresh.root))} == {"mine"}


def test_nothing_that_could_be_imported_is_status_4_and_said(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert run(["-w", str(workspace.root), "import", str(tmp_path / "notes.txt"), str(tmp_path / "absent")]) == 4
    told = capsys.readouterr().err
    assert "notes.txt: neither Trackio's" in told
    assert "absent: there is no such file" in told
    assert run(["-w", str(workspace.root), "import", "trakio", str(tmp_path / "notes.txt")]) == 2
    assert "Did you mean 'trackio'?" in capsys.readouterr().err
    assert workspace.run_ids() == []


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_an_imported_run_cannot_be_executed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    name = next(r["run"] for r in bring(workspace, capsys, DATA / "wandb-0.31.0")["runs"] if r["ended"] == "failed")
    assert run(["-w", str(workspace.root), action, name]) != 0
    assert f"{name} was imported: nothing to {action}" in capsys.readouterr().err
    assert list((workspace.queue / "requests").iterdir()) == []
    assert list(workspace.tickets.iterdir()) == []


@pytest.fixture
def table(fitted: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The points of a workspace of one's own, as a file for others."""
    query = "SELECT * FROM adaptation_points WHERE domain = 'docs'"
    assert run(["-w", str(fitted.root), "store", "export", query, "--to", str(tmp_path / "docs.csv")]) == 0
    return tmp_path / "docs.csv"


def test_laws_of_an_exported_and_imported_table_are_those_of_the_runs(
    fitted: Workspace, workspace: Workspace, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bring(workspace, capsys, table, "--experiment", "published")
    assert found["runs"][0]["points"] == len(table.read_text().splitlines()) - 1
    options = {"forms": ("chinchilla", "dcpt", "zero_shot"), "starts": 40, "bootstrap": 20, "anchors": 0}
    spec, _ = make_spec(workspace, "docs", "published", options)
    fit_here(workspace, spec)
    query = (
        "SELECT form, role, n_points, round(objective, 9) AS o FROM fits "
        "WHERE (scores->>'anchors')::INTEGER = 0 AND form IN ('chinchilla', 'dcpt', 'zero_shot') ORDER BY ALL"
    )
    own = ask(fitted, capsys, query.replace("WHERE", "WHERE run_id LIKE 'fit-docs-real%' AND"))
    imported = ask(workspace, capsys, query)
    adapted = [row for row in imported if row["form"] != "chinchilla"]
    assert adapted
    assert adapted == [row for row in own if row["form"] != "chinchilla"]
    assert {row["form"] for row in imported} == {"chinchilla", "dcpt", "zero_shot"}
    drawn = forecast(workspace, domain="docs", form="dcpt")
    assert drawn.tracks
    assert drawn.marks
    assert drawn.stale == ""


def fit_here(workspace: Workspace, spec: RunSpec) -> None:
    from store.run_dir import create_run

    made = create_run(workspace, spec.model_dump(mode="json"))
    with Report(made.new_attempt()) as report:
        execute(spec.job, JobContext(workspace, spec, made, report, "cpu", 1))
        report.emit("done", seconds=1.0)
    ingest(workspace)


def test_a_table_again_replaces_and_another_adds_only_new_rows(
    workspace: Workspace, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *rows[:-2]]) + "\n")
    bring(workspace, capsys, table, "--experiment", "published")
    other = tmp_path / "more.csv"
    other.write_text("\n".join([head, *rows[-4:]]) + "\n")
    added = bring(workspace, capsys, other, "--experiment", "published")
    assert added["runs"][0]["points"] == 2
    assert [item["reason"].partition(",")[0] for item in added["not_read"]] == ["known already"] * 2
    assert ask(workspace, capsys, "SELECT count(*) AS n FROM adaptation_points")[0]["n"] == len(rows)
    table.write_text("\n".join([head, *rows[:3]]) + "\n")
    assert bring(workspace, capsys, table, "--experiment", "published")["runs"][0]["state"] == "changed"
    assert ask(workspace, capsys, "SELECT count(*) AS n FROM adaptation_points")[0]["n"] == 5


def test_laws_of_pretraining_are_fitted_where_nothing_was_adapted(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["N,tokens,loss"]
    for n in (1e6, 4e6, 16e6, 64e6):
        for ptpp in (5, 10, 20, 40):
            lines.append(f"{n:.0f},{n * ptpp:.0f},{1.7 + 400 / n**0.34 + 410 / (n * ptpp) ** 0.28!r}")
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n")
    assert bring(workspace, capsys, tmp_path / "runs.csv")["runs"][0]["points"] == 16
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: None)
    assert fit_again(workspace).job.forms == ("chinchilla", "gadre")
    spec, basis = make_spec(workspace, None, None, {"forms": ("chinchilla",), "starts": 60, "bootstrap": 10})
    assert len(basis.points) == 16
    fit_here(workspace, spec)
    fitted = ask(workspace, capsys, "SELECT params->>'E' AS e, (scores->>'mape')::DOUBLE AS mape FROM fits")[0]
    assert float(fitted["e"]) == pytest.approx(1.7, abs=0.05)
    assert fitted["mape"] < 0.5
    drawn = forecast(workspace)
    assert "pretraining" in drawn.reason
    assert [(row.form, row.n) for row in drawn.scores] == [("chinchilla", 4)]
    assert run(["-w", str(workspace.root), "forecast"]) == 0
    assert "chinchilla" in capsys.readouterr().out


def test_curves_without_tokens_are_over_steps(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    bring(workspace, capsys, DATA / "tensorboardX-2.6.5", DATA / "wandb-0.31.0")
    runs = {row.name: row.run_id for row in list_runs(workspace)}
    (alone,) = read_curves(workspace, [runs["run1"]], "loss", "tokens")
    assert (alone.axis, tuple(alone.x[:3])) == ("step", (0.0, 10.0, 20.0))
    assert curve_figure([alone], "loss", "tokens").x_label == "step"
    both = read_curves(workspace, [runs["lora r8"], runs["run1"]], "loss", "tokens")
    assert {curve.axis for curve in both} == {"step"}


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_renewal_that_was_cut_short_is_made_good_by_the_next(
    workspace: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    written: int,
) -> None:
    whole = wandb_file("wandb-0.31.0", "lora r8").read_bytes()
    log = tmp_path / "run-x.wandb"
    log.write_bytes(whole[:4000])
    bring(workspace, capsys, log)
    log.write_bytes(whole)
    done: list[Path] = []

    def write(path: Path, content: str) -> None:
        if len(done) == written:
            raise KeyboardInterrupt
        done.append(path)
        write_atomic(path, content)

    with monkeypatch.context() as patched:
        patched.setattr("store.exchange.renewal.write_atomic", write)
        assert run(["-w", str(workspace.root), "import", str(log)]) == 130
    # Whatever was replaced, the database is that of the files.
    events = read_events(workspace.run(workspace.run_ids()[0]).attempt(1).events)[0]
    stored = ask(workspace, capsys, "SELECT count(*) AS n FROM metrics")[0]["n"]
    assert stored == sum(len(event["values"]) for event in events if event["event"] == "metric")
    bring(workspace, capsys, log)
    assert [row.state for row in list_runs(workspace)] == ["done"]
    assert ask(workspace, capsys, "SELECT count(*) AS n FROM metrics")[0]["n"] == 64


@pytest.mark.parametrize(
    ("arguments", "content", "reason"),
    [
        (["law.csv"], "N,P,D,rho,L,role\n", "holds no row"),
        (["law.csv", "--where", "role=base"], "N,P,D,rho,L,role\n9,8,7,0,2,target\n", "with the values of --where"),
        (["tensorboard", "law.csv"], "N,P,D,rho,L,role\n", "holds no file of TensorBoard"),
        (["law.csv"], "", "law.csv: holds no columns"),
    ],
)
def test_what_holds_nothing_is_said(
    workspace: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    content: str,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("law.csv").write_text(content, encoding="utf-8")
    assert run(["-w", str(workspace.root), "import", *arguments]) != 0
    assert reason in capsys.readouterr().err


def test_names_and_values_that_no_terminal_or_file_should_get(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = unpack_trackio("trackio-0.5.3", tmp_path)
    with sqlite3.connect(file) as con:
        con.execute("UPDATE metrics SET run_name = 'a' || char(27) || '[2J' WHERE run_name = 'second'")
        con.execute("UPDATE configs SET config = ? WHERE run_name = 'base-run'", ['{"x": "\\ud800", "y": NaN}'])
    con.close()
    assert len(bring(workspace, capsys, file)["runs"]) == 2
    assert {r["state"] for r in bring(workspace, capsys, file)["runs"]} == {"known"}
    assert all(name.isprintable() for name in (row.name for row in list_runs(workspace)))
