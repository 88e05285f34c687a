"""Runs that differ in their seed alone: which those are, their means, their curves; keys of configurations."""

from __future__ import annotations

import math
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
import pytest
from rich.cells import cell_len

from odyssey_tui.services.curves import Curve, curve_figure
from odyssey_tui.services.overlays import Subject, join_seeds, read_overlay
from odyssey_tui.services.run_configs import differing_keys, flatten
from odyssey_tui.services.run_list import RunLister
from odyssey_tui.services.run_tree import RunUnit, common_name, count_states, lay_lines
from odyssey_tui.services.run_tree import join_seeds as join_rows
from odyssey_tui.services.runs import RunRow
from odyssey_tui.services.seed_bands import average_curves
from odyssey_tui.widgets.run_columns import RUN_COLUMNS, SPREAD_CELLS, measure, unit_text
from store.errors import ConfigError
from store.ingest import ingest
from store.queries import runs as runs_queries
from store.workspace import Workspace
from tests.support.synthetic_matrix import Author, Way, effect, matrix_workspace


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three seeds of three domains; of one a run of another learning rate, and one of a setting that no label tells."""
    workspace = matrix_workspace(tmp_path_factory.mktemp("seeded") / "w")
    author = Author(workspace)
    for run_id in workspace.run_ids():
        if run_id.startswith("pretrain"):
            author.bases[int(run_id.split("-seed")[1][0])] = run_id
    author.clock.now += 1e6
    author.adapt("law", 0, Way(lr=2e-3))
    author.adapt("law", 1, Way(anneal_share=0.2))
    ingest(workspace)
    return workspace


def unit_of(workspace: Workspace, name: str, text: str = "kind=adapt") -> RunUnit:
    (group,) = RunLister(workspace).read(text, group="none").groups
    return next(unit for unit in group.units if unit.row.name.startswith(name))


def row(run_id: str, **fields: object) -> RunRow:
    return RunRow(run_id, str(fields.pop("name", run_id)), "e", "adapt", str(fields.pop("state", "done")), **fields)


def test_seeds_of_one_configuration_are_joined_and_others_are_not(seeded: Workspace) -> None:
    (group,) = RunLister(seeded).read("kind=adapt and domain=law", group="none").groups
    assert [len(unit.rows) for unit in group.units] == [3, 1, 1]
    joined = group.units[0]
    assert [one.seed for one in joined.rows] == [0, 1, 2]
    assert joined.row.name == "adapt-law-r0-lr0.001-s"
    deltas = [effect("law", "law", seed) for seed in range(3)]
    assert joined.row.delta_target == pytest.approx(statistics.mean(deltas), abs=1e-6)
    assert joined.spread["delta_target"] == pytest.approx(statistics.stdev(deltas), abs=1e-5)


def test_a_value_that_is_missing_or_not_finite_is_not_averaged() -> None:
    unit = RunUnit("k", (row("a", seed=0, loss=1.0), row("b", seed=1, loss=math.inf), row("c", seed=2)))
    assert (unit.row.loss, unit.spread) == (1.0, {})
    unit = RunUnit("k", (row("a", seed=0, share=1.0, loss=1.0), row("b", seed=1, state="running", share=0.5, eta_s=3)))
    assert (unit.row.state, unit.row.share, unit.row.eta_s) == ("mixed", 0.75, 3)
    assert count_states(unit.rows) == "▶1 ✓1"
    assert count_states(unit.rows, done=False) == "▶1"


def test_runs_of_one_seed_or_none_stay_alone() -> None:
    rows = [row("a", seed=0), row("b", seed=0), row("c"), row("d")]
    assert [unit.key for unit in join_rows([one._replace(seed_key="same") for one in rows])] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (["a-s", "a-s-seed1"], "a-s"),
        (["a-seed0", "a-seed1"], "a"),
        (["x_s1", "x_s2"], "x"),
        (["seed1", "seed2"], "seed1"),
        (["one", "three"], "one"),
    ],
)
def test_seeds_have_a_name_in_common(names, common) -> None:
    assert common_name(names) == common


def test_lines_of_a_tree() -> None:
    seeds = RunUnit("u", (row("a", seed=0), row("b", seed=1)))
    alone = RunUnit("c", (row("c"),))

    def keys(headed: bool, folded_group: bool, folded_unit: bool) -> list[str]:
        lines = lay_lines(
            [("g", (seeds, alone))],
            headed=headed,
            is_group_folded=lambda index: folded_group,
            is_unit_folded=lambda unit: folded_unit,
        )
        return [line.key for line in lines]

    assert keys(True, True, True) == ["g"]
    assert keys(True, False, True) == ["g", "u", "c"]
    assert keys(False, True, False) == ["u", "a", "b", "c"]


def test_any_key_of_a_configuration_groups_and_filters(seeded: Workspace) -> None:
    lister = RunLister(seeded)
    groups = lister.read("kind=adapt and domain=law", group="training.anneal_share").groups
    assert {group.name: len(group.rows) for group in groups} == {
        "training.anneal_share 0.1": 4,
        "training.anneal_share 0.2": 1,
    }
    assert lister.read("training.lr>0.001 and domain=law").shown == 1
    assert lister.read("base.state=ptpp16").shown == 11
    assert "training.anneal_share" in dict(lister.group_keys())
    assert lister.fields()["training.lr"] is float
    with pytest.raises(ConfigError, match=r"training\.lrr"):
        lister.read(group="training.lrr")
    with pytest.raises(ConfigError, match="there is no key"):
        lister.read("trainng.lr>1")


def test_configurations_are_flat_pairs() -> None:
    config = {
        "a": 1,
        "b": {"c": [1, 2], "d": None, "on": True},
        "t": {"name": "law", "glob": "*"},
        "s": [{"name": "x"}],
    }
    assert dict(flatten(config)) == {"a": 1.0, "b.c": "1, 2", "b.on": "yes", "t": "law", "t.glob": "*", "s": "x"}
    configs = [{"lr": 1.0, "id": f"{n}", "same": "x", **({"rank": 8.0 + n % 2} if n else {})} for n in range(4)]
    assert differing_keys(configs) == [("rank", 2)]


def curve(run_id: str, x: list[float], y: list[float]) -> Curve:
    return Curve(run_id, run_id, "loss", "trunk", np.array(x, dtype=float), np.array(y, dtype=float))


def test_the_mean_over_seeds_has_a_band_of_one_deviation() -> None:
    found = average_curves([curve("a", [0, 1, 2, 3], [4, 3, 2, 1]), curve("b", [0, 2, 4], [6, 4, 2])], "both")
    np.testing.assert_allclose(found.x, [0, 1, 2, 3])
    np.testing.assert_allclose(found.y, [5, 4, 3, 2])
    np.testing.assert_allclose(found.high - found.low, 2 * math.sqrt(2))
    assert (found.label, found.n_points) == ("both (2 seeds)", 7)
    figure = curve_figure([found], "loss", "tokens")
    assert len(figure.bands) == 1
    assert "mean ± sd of 7 points" in figure.note


def test_a_seed_that_diverged_is_not_averaged_away() -> None:
    found = average_curves([curve("a", [0, 1, 2], [3, 2, 1]), curve("b", [0, 1, 2], [3, math.nan, 1])], "both")
    assert np.isnan(found.y[1])
    assert "not drawable" in curve_figure([found], "loss", "tokens").render(60, 12, color=False)
    lonely = average_curves([curve("a", [0, 1], [3, 2]), curve("b", [], [])], "both")
    assert (lonely.label, lonely.low) == ("both", None)


def test_curves_of_seeds_are_joined_in_an_overlay(seeded: Workspace) -> None:
    (group,) = RunLister(seeded).read("kind=adapt and domain=law", group="none").groups
    subjects = [Subject(str(place), (one.run_id,)) for place, one in enumerate(group.rows, 1)]
    joined = join_seeds(seeded, subjects)
    assert [subject.label for subject in joined] == ["1+2+3", "4", "5"]
    curves, note = read_overlay(seeded, joined, "loss", "tokens")
    assert [found.label for found in curves] == ["1+2+3 (3 seeds)", "4", "5"]
    assert (curves[0].low is not None, note) == (True, "")
    curves, _ = read_overlay(seeded, subjects, "loss", "tokens")
    assert [found.label for found in curves] == ["1", "2", "3", "4", "5"]


def test_columns_are_as_wide_as_everything_that_is_drawn_in_them() -> None:
    random = Random(5)
    units = [
        RunUnit(
            f"u{number}",
            tuple(
                row(
                    f"u{number}-{seed}", name=f"{'x' * random.randrange(9)}-seed{seed}", seed=seed,
                    state=random.choice(("done", "running", "failed")),
                    share=random.random(), eta_s=random.choice((None, 7e4)),
                    loss=random.choice((None, random.gauss(9, 3))), delta_target=random.gauss(0, 5),
                    delta_base=random.choice((math.nan, math.inf, 1.0)), replay=random.choice((0, 0.125)),
                    tags=random.choice(((), ("paper",), ("paper", "keep"))), n_notes=random.randrange(12),
                )
                for seed in range(random.randrange(1, 4))
            ),
        )
        for number in range(60)
    ]  # fmt: skip
    needed = measure(units, RUN_COLUMNS)
    longest = dict.fromkeys(needed.columns, 0)
    for unit in units:
        for column in RUN_COLUMNS:
            texts = [str(unit_text(column, unit)), *(str(column.draw(one)) for one in unit.rows)]
            longest[column.key] = max(longest[column.key], *map(cell_len, texts))
    assert all(needed.columns[key] >= cells for key, cells in longest.items())
    # A mean has room for a deviation; else nothing is wider than what is in it.
    averaged = {column.key for column in RUN_COLUMNS if column.averaged}
    assert {key: needed.columns[key] for key in longest if key not in averaged} == {
        key: cells for key, cells in longest.items() if key not in averaged
    }
    assert all(needed.columns[key] <= longest[key] + SPREAD_CELLS for key in averaged)


def test_a_list_does_not_wait_for_configurations_that_are_being_read(voyage, monkeypatch) -> None:
    lister, begun, released = RunLister(voyage), threading.Event(), threading.Event()
    read_specs = runs_queries.read_specs

    def read_slowly(*arguments):
        begun.set()
        released.wait(30)
        return read_specs(*arguments)

    lister.read()
    monkeypatch.setattr(runs_queries, "read_specs", read_slowly)
    with ThreadPoolExecutor(2) as pool:
        fields = pool.submit(lister.fields)
        begun.wait(30)
        try:
            filtered = pool.submit(lister.read, "domain=docs").result(10)
        finally:
            released.set()
        assert 0 < filtered.shown < filtered.total
        assert "training.lr" in fields.result(30)
