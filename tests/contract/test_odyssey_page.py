"""What docs/adaptation-odyssey.md shows works: its options expand, its commands, samples and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from engine.data.sources.m2d2_names import KNOWN, NO_DOMAINS
from engine.plan.expand import expand
from engine.spec.load import parse_experiment
from odyssey_tui.cli.main import odyssey
from odyssey_tui.services.starts import list_ready

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adaptation-odyssey.md"
TEXT = PAGE.read_text()
BASE = {
    "name": "page",
    "corpora": {"near": {"source": "m2d2:cs.CL"}, "web": {"source": "hf:web"}},
    "base": {"model": "gpt2", "corpora": "web"},
    "adapt_training": {"lr": 5e-5},
}


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
def test_every_repair_expands(block: str) -> None:
    plan = expand(parse_experiment(f"{yaml.safe_dump(BASE)}{block}", file="page", folder=ROOT))
    written = yaml.safe_load(block)["adapt"]
    assert sum(run.job.kind == "adapt" for run in plan.runs) >= len(written) > 0


def test_commands_and_options_exist() -> None:
    commands = set(re.findall(r"odyssey ([a-z]+)((?: [^`|\n]*)?)", TEXT))
    assert {name for name, _ in commands} >= {"matrix", "compare", "similarity", "tokens", "drift", "audit", "fetch"}
    for name, rest in commands:
        shown = CliRunner().invoke(odyssey, [name, "--help"])
        assert shown.exit_code == 0, name
        for option in re.findall(r"(--[a-z-]+)", rest):
            assert option in shown.output, (name, option)


def test_samples_are_all_named_and_links_lead_somewhere() -> None:
    table = TEXT.split("## The ready experiments")[1]
    names = re.findall(r"`(m2d2-[^`]+|-[^`]+)`", table)
    named = {name if name.startswith("m2d2") else f"m2d2-20{name}" for name in names}
    assert named == {source.name for source in list_ready() if source.name.startswith("m2d2-")}
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_numbers_of_names_are_the_codes_own() -> None:
    assert f"All {len(KNOWN)} published names" in TEXT
    assert all(f"`{name}`" in TEXT for name in NO_DOMAINS)
    anchors = re.findall(r"([a-z-]+_l1|Art|Philosophy) \d\d\.\d", TEXT.split("S2ORC, first level")[1])
    assert set(anchors) < set(KNOWN)
    assert len(anchors) == 11
