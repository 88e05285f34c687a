"""The documentation: every page is listed, links lead somewhere, files that are named exist, examples of code run."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from odyssey_tui.app import OdysseyApp
from odyssey_tui.keymap import bindings
from odyssey_tui.screens.base import READING, WHAT_TO_PRESS, OdysseyScreen
from odyssey_tui.screens.registry import SCREENS
from tests.support.piloting import settle

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "STUDIES.md", "BENCHMARKS.md", "DECISIONS.md")]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_index_lists_every_page() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text()))
    assert listed == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:engine|store|odyssey_tui|tests|docs|bench|sample_configs)/[\w./-]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def example(title: str) -> str:
    section = (DOCS / "extending.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def test_the_law_that_is_shown_is_what_it_says() -> None:
    from engine.laws import forms
    from engine.laws.features import Scales, features
    from engine.laws.points import Points

    names = dict(vars(forms))
    exec(example("A law"), names)
    form = names["FLOOR_POWER"]
    tokens = np.array([1e5, 1e6, 1e7])
    points = Points.from_columns({"adapt_tokens": tokens, "loss": 1.0})
    found = form.value(form.to_u({"E": 2.0, "B": 30.0, "beta": 0.3})[None, :], features(points, Scales()))
    np.testing.assert_allclose(found[0], 2.0 + 30.0 / tokens**0.3)


async def test_the_screen_that_is_shown_works(tmp_path: Path) -> None:
    from textual.widgets import Static

    from tests.support.synthetic import synthetic_workspace

    names = {
        **{"OdysseyScreen": OdysseyScreen, "bindings": bindings, "Static": Static, "READING": READING},
        **{"Counter": Counter, "WHAT_TO_PRESS": WHAT_TO_PRESS},
    }
    exec(example("A screen"), names)
    app = OdysseyApp(synthetic_workspace(tmp_path / "workspace"))
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(names["CorporaScreen"]())
        await settle(pilot)
        assert re.search(r"\d+ adapt\b", str(app.screen.query_one("#kinds", Static).content))


def test_the_tour_leads_through_every_screen() -> None:
    titles = re.findall(r"^## (\d) (\w+)$", (DOCS / "tour.md").read_text(), re.MULTILINE)
    assert titles == [(entry.key, entry.title) for entry in SCREENS]


def test_pictures_of_the_tour_are_those_that_are_made() -> None:
    spec = importlib.util.spec_from_file_location("screenshots", DOCS / "screenshots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shown = set(re.findall(r"\(images/(\w+)\.svg\)", (DOCS / "tour.md").read_text()))
    assert shown <= module.SHOTS.keys()
    assert {page.stem for page in (DOCS / "images").glob("*.svg")} <= module.SHOTS.keys()
