"""The plan for a model of 8.1 B parameters on a SIMULATED table, whose truth is known: docs/simulate_8b.py."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "sample_configs" / "french-8.1b-SIMULATED.csv"
N, P = 8.1e9, 279.0
LAWS = ("--form", "ptpp_gated_floor", "--base-form", "forgetting_pinned", "--starts", "40", "--bootstrap", "40")


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate_8b", ROOT / "docs" / "simulate_8b.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def command() -> list[str]:
    """The command of docs/planning.md, with fewer starts and draws."""
    page = (ROOT / "docs" / "planning.md").read_text().replace("\\\n", " ")
    written = re.search(r"^odyssey (plan --points sample_configs/\S*SIMULATED\S* .*)$", page, re.MULTILINE)[1]
    words = written.partition("#")[0].split()
    words[words.index("--points") + 1] = str(TABLE)
    return [*words, "--starts", "40", "--bootstrap", "40"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    status = run(list(arguments))
    out, err = capsys.readouterr()
    assert status == Exit.OK, err
    return out


def test_the_table_is_what_its_script_writes(simulate: ModuleType) -> None:
    assert TABLE.read_text() == simulate.simulate()
    assert {row["domain"] for row in csv.DictReader(io.StringIO(simulate.simulate()))} == {"French-SIMULATED"}


def test_thresholds_of_forgetting_and_french_loss_are_met(simulate, command, capsys) -> None:
    found = json.loads(call(capsys, *command, "--json"))
    cell = found["choice"]
    at = (N, P, cell["atpp"], cell["replay_ratio"])
    french, rise = simulate.adapted("target", *at), simulate.adapted("base", *at) - simulate.zero_shot("base", N, P)
    assert cell["target_loss"] == pytest.approx(french, rel=0.02)
    assert cell["forgetting"] == pytest.approx(rise, abs=0.01)
    assert french <= 1.30 * 1.01
    assert rise <= 0.05 + 0.01
    assert 0 < cell["probability"] < 1
    assert found["model"]["forecast"] is True
    assert found["model"]["target_zero_shot"] == pytest.approx(simulate.zero_shot("target", N, P), rel=0.02)
    assert any("N is 6.23× beyond" in warning for warning in found["warnings"])
    assert found["files"] == [TABLE.name]
    assert found["domain"] == "French-SIMULATED"


def test_everything_printed_says_simulated(command, capsys, tmp_path: Path) -> None:
    figure = tmp_path / "map.svg"
    assert "SIMULATED" in call(capsys, *command, "--svg", str(figure))
    assert "French-SIMULATED" in figure.read_text()
    grid = call(capsys, *command, "--grid")
    assert "SIMULATED" in grid
    rows = list(csv.DictReader(io.StringIO(call(capsys, *command, "--grid", "--csv"))))
    assert {row["domain"] for row in rows} == {"French-SIMULATED"}
    following = call(capsys, *command, "--next", "2", "--csv")
    assert {row["domain"] for row in csv.DictReader(io.StringIO(following))} == {"French-SIMULATED"}
