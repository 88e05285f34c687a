"""What the README shows works: its configuration expands, its commands and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.plan.expand import expand
from engine.spec.load import load_experiment
from odyssey_tui.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_configuration_expands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = re.search(r"```yaml\n(.*?)```", README, re.DOTALL).group(1)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in re.findall(r"~/(\S+?)[,}]", written):
        target = tmp_path / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix:
            target.touch()
        else:
            target.mkdir()
    config = tmp_path / "study.yaml"
    config.write_text(written)
    kinds = [run.job.kind for run in expand(load_experiment(config)).runs]
    assert kinds.count("adapt") == 10
    assert kinds.count("evaluate") == 4


def test_commands_exist() -> None:
    section = README.split("## Commands")[1].split("\n## ")[0]
    named = set(re.findall(r"`(?:odyssey )?([a-z]+)[^`]*`", section))
    assert set(COMMANDS) <= named
    assert named - set(COMMANDS) <= {"odyssey"}


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_first_two_commands_are_targets_of_the_makefile() -> None:
    first = re.search(r"```\n(.*?)```", README, re.DOTALL).group(1)
    targets = re.findall(r"^make (\w+)", first, re.MULTILINE)
    assert targets == ["demo", "test"]
    assert set(targets) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
