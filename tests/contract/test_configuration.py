"""The reference of an experiment's keys says what the models say, and its example works."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from engine.plan.expand import expand
from engine.spec.load import load_experiment
from engine.spec.run import RunSpec
from odyssey_tui.cli.main import run

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def writer():
    spec = importlib.util.spec_from_file_location("configuration", DOCS / "configuration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_models_say(writer) -> None:
    assert (DOCS / "configuration.md").read_text() == writer.page(), "run `python docs/configuration.py`"


def test_every_key_has_a_section_and_a_meaning(writer) -> None:
    page = writer.page()
    for _, model in writer.SECTIONS:
        for name in model.model_fields:
            assert name == "name" or re.search(rf"^\| `{name}` \| .+ \| .+ \| \S.+ \|$", page, re.MULTILINE), name


def test_the_example_is_launched(tmp_path: Path, capsys) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.DOTALL)
    (tmp_path / "wiki").mkdir()
    (tmp_path / "wiki" / "a.txt").write_text("text\n" * 100)
    (tmp_path / "law.jsonl").write_text('{"text": "law"}\n')
    path = tmp_path / "first.yaml"
    path.write_text(example)
    runs = expand(load_experiment(path)).runs
    assert all(isinstance(found, RunSpec) for found in runs)
    assert {found.labels.get("lr") for found in runs if "lora16" in found.name} == {1e-3, 5e-3}
    assert run(["launch", str(path), "--dry-run", "-w", str(tmp_path / "new")]) == 0
    told = capsys.readouterr()
    assert "trajectories save" in told.err
    assert not (tmp_path / "new").exists()
