"""Where groups of domains come from."""

from __future__ import annotations

from pathlib import Path

from engine.data.sources.m2d2_names import WIKI_L2
from odyssey_tui.services.domain_groups import M2D2_WIKI, find_groups, group_of_source, parse_groups
from store.files import write_atomic, write_json
from store.workspace import Workspace

DOMAINS = ("art", "logic", "cs", "math")
SOURCES = {
    "art": "m2d2:Culture_and_the_arts__Visual_arts",
    "logic": "m2d2:Mathematics_and_logic",
    "cs": "m2d2:cs.CL",
    "math": "m2d2:math_l1",
}


def record(workspace: Workspace, name: str, launched: float, text: str) -> None:
    document = workspace.experiments / f"{name}-00.yaml"
    write_atomic(document, text)
    write_json(document.with_suffix(".json"), {"name": name, "key": "00", "launched": launched, "runs": []})


def test_m2d2s_names_say_the_group() -> None:
    assert set(WIKI_L2) == M2D2_WIKI
    assert [group_of_source(SOURCES[domain]) for domain in DOMAINS] == ["Wiki", "Wiki", "S2ORC", "S2ORC"]
    assert group_of_source("m2d2:Art") == "S2ORC"
    assert group_of_source("hf:wiki") == ""


def test_the_newest_experiment_that_groups_a_domain_wins(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    assert find_groups(workspace, DOMAINS, SOURCES).of["cs"] == "S2ORC"
    record(workspace, "old", 1.0, "groups: {first: [art, cs], second: [math]}")
    record(workspace, "new", 2.0, "groups: {words: art, numbers: [math, logic]}")
    record(workspace, "other", 3.0, "groups: {elsewhere: [law]}")
    record(workspace, "none", 4.0, "name: none")
    found = find_groups(workspace, DOMAINS, SOURCES)
    assert found.of == {"art": "words", "math": "numbers", "logic": "numbers"}
    assert found.origin == "experiment new"
    assert found.among(["math", "cs"]) == ("numbers",)
    assert find_groups(workspace, DOMAINS, SOURCES, "old").of == {"art": "first", "cs": "first", "math": "second"}


def test_documents_that_cannot_be_read_group_nothing(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    for name, text in (("a", "groups: ["), ("b", "groups: 7"), ("c", "groups: {x: 3}"), ("d", "- groups")):
        record(workspace, name, 1.0, text)
    record(workspace, "gone", 2.0, "groups: {x: [art]}")
    (workspace.experiments / "gone-00.yaml").unlink()
    assert find_groups(workspace, DOMAINS, {}).of == {}


def test_groups_by_hand_are_the_only_ones() -> None:
    assert parse_groups(["A=art, logic", "B=cs"], DOMAINS).of == {"art": "A", "logic": "A", "cs": "B"}
    assert parse_groups([], DOMAINS).origin == ""
