"""Two stored fits side by side: nothing, or exactly what was changed; what a list of fits says of each."""

from __future__ import annotations

import json

import pytest

from engine.laws.errors import LawError
from odyssey_tui.cli.main import run
from odyssey_tui.services.fit_diff import diff_fits, tell_pair
from odyssey_tui.services.fit_list import list_stored
from store.database import lease
from store.workspace import Workspace
from tests.odyssey_tui.real_fits import fit_for_real

GATED = ("ptpp_gated_floor",)


@pytest.fixture
def twice(own_voyage: Workspace) -> Workspace:
    """The fits of the synthetic workspace, and the same again as those of a later run ``fit-again``."""
    with lease(own_voyage, write=True) as con:
        again = "fit_id || 'x' AS fit_id, 'fit-again' AS run_id, t + 60 AS t"
        con.execute(f"CREATE TEMP TABLE again AS SELECT * REPLACE ({again}) FROM fits")
        con.execute("INSERT INTO fits SELECT * FROM again")
        for table in ("fit_points", "fit_draws"):
            con.execute(f"CREATE TEMP TABLE more AS SELECT * REPLACE (fit_id || 'x' AS fit_id) FROM {table}")
            con.execute(f"INSERT INTO {table} SELECT * FROM more")
            con.execute("DROP TABLE more")
    return own_voyage


def change(workspace: Workspace, *statements: str) -> None:
    """Change what the later run stored of ptpp_gated_floor on the target loss."""
    with lease(workspace, write=True) as con:
        query = "SELECT fit_id FROM fits WHERE run_id = 'fit-again' AND form = 'ptpp_gated_floor' AND role = 'target'"
        ((fit_id,),) = con.execute(query).fetchall()
        for statement in statements:
            con.execute(statement.replace("MINE", f"fit_id = '{fit_id}'"))


def test_the_same_fit_again_differs_in_nothing(twice: Workspace) -> None:
    found = diff_fits(twice, "2", "fit-again", domain="docs")
    assert (found.only_a, found.only_b) == ((), ())
    assert len(found.pairs) == 4
    for pair in found.pairs:
        assert not pair.points
        assert pair.same_held_out
        assert all(one.a == one.b and not one.apart for one in pair.parameters)


def test_points_that_were_added_removed_changed_and_moved_are_told_apart(twice: Workspace) -> None:
    change(
        twice,
        "DELETE FROM fit_points WHERE MINE AND starts_with(run_id, 'adapt-docs-r0.5-p5-s') AND adapt_tokens = 400000",
        "UPDATE fit_points SET split = 'excluded', reason = 'evaluated on another set' WHERE MINE AND "
        "starts_with(run_id, 'adapt-docs-r0.5-p5-s') AND adapt_tokens = 800000",
        "UPDATE fit_points SET loss = loss + 0.1 WHERE MINE AND starts_with(run_id, 'adapt-docs-r0-p5-s') "
        "AND adapt_tokens = 400000",
        "UPDATE fit_points SET split = 'score' WHERE MINE AND starts_with(run_id, 'adapt-docs-r0-p5-s') "
        "AND adapt_tokens = 800000",
        "UPDATE fits SET n_points = n_points - 3, code_version = '0.2.0, laws 0123' WHERE MINE",
    )
    (pair,) = diff_fits(twice, "2", "1", domain="docs", forms=GATED, roles=("target",)).pairs
    changes = {(one.what, one.reason): one for one in pair.points}
    assert set(changes) == {
        ("removed", ""),
        ("removed", "evaluated on another set"),
        ("changed", "loss"),
        ("moved", "fit → score"),
    }
    assert changes["changed", "loss"].loss_b == pytest.approx(changes["changed", "loss"].loss_a + 0.1)
    assert pair.excluded == (("evaluated on another set", 0, 1),)
    assert not pair.same_held_out
    said = " ".join(tell_pair(pair))
    assert "Points: 24 → 21 fitted; 2 removed, 1 changed, 1 moved." in said
    assert "Left out: 0 → 1 points: evaluated on another set." in said
    assert "→ 0.2.0, laws 0123." in said
    assert "scored on different points" in said
    (back,) = diff_fits(twice, "1", "2", domain="docs", forms=GATED, roles=("target",)).pairs
    assert sorted(one.what for one in back.points) == ["added", "added", "changed", "moved"]


def test_parameters_whose_intervals_do_not_meet_are_named(twice: Workspace) -> None:
    change(
        twice,
        """UPDATE fits SET params = json_merge_patch(params, '{"beta": 0.6}') WHERE MINE""",
        "UPDATE fit_draws SET params = list_concat(params[:6], [params[7] * 2], params[8:]) WHERE MINE",
    )
    (pair,) = diff_fits(twice, "2", "1", domain="docs", forms=GATED, roles=("target",)).pairs
    assert [one.name for one in pair.parameters if one.apart] == ["beta"]
    beta = next(one for one in pair.parameters if one.name == "beta")
    assert (beta.a.value, beta.b.value) == (0.3, 0.6)
    assert "Intervals that do not meet: beta." in tell_pair(pair)


def test_single_fits_of_two_laws_are_compared_by_their_identifiers(twice: Workspace) -> None:
    with lease(twice) as con:
        ids = dict(
            con.execute("SELECT form, fit_id FROM fits WHERE role = 'target' AND run_id <> 'fit-again'").fetchall()
        )
    (pair,) = diff_fits(twice, ids["dcpt"], f"{ids['ptpp_gated_floor']}x").pairs
    assert pair.form == "dcpt | ptpp_gated_floor"
    assert {one.name for one in pair.parameters if one.a is None} == {"F", "phi", "kappa"}
    assert pair.same_held_out


def test_names_that_mean_nothing_are_refused_with_what_there_is(twice: Workspace, empty: Workspace) -> None:
    with pytest.raises(LawError, match="'fit-other' is no fit of docs") as error:
        diff_fits(twice, "1", "fit-other")
    assert "1 fit-again: P 5, 15 → 45" in error.value.hint
    with pytest.raises(LawError, match="no law in common") as error:
        diff_fits(twice, "1", "2", forms=("chinchilla",))
    assert "none" in error.value.hint
    with pytest.raises(LawError, match="No law has been fitted"):
        diff_fits(empty, "1", "2")


def test_anchors_are_a_difference_between_runs(own_voyage: Workspace) -> None:
    first = fit_for_real(own_voyage, forms=("dcpt",))
    second = fit_for_real(own_voyage, forms=("dcpt",), anchors=2)
    found = diff_fits(own_voyage, first, second, roles=("target",), anchors=(0,))
    (pair,) = found.pairs
    assert pair.excluded == (("kept for a fit with more anchors", 0, 3),)
    assert not pair.same_held_out
    assert found.only_b == ()


class TestList:
    def test_every_fit_run_is_a_row_with_its_best_laws(self, fitted: Workspace) -> None:
        first, second = list_stored(fitted)
        assert (first.place, first.run_id, first.split) == (1, "fit-docs-real3", "P 5, 15 → 45, 3 anchors")
        assert second.target.form == "ptpp_gated_floor"
        assert first.stale == second.stale == ""
        with pytest.raises(LawError, match="No law has been fitted to 'poems'"):
            list_stored(fitted, "poems")

    def test_a_fit_whose_runs_are_gone_says_so(self, own_voyage: Workspace) -> None:
        with lease(own_voyage, write=True) as con:
            con.execute("DELETE FROM models WHERE starts_with(run_id, 'adapt-docs-r0.5-p5-s')")
        (entry,) = list_stored(own_voyage)
        assert entry.stale.startswith("1 of its runs is deleted since")


class TestCommand:
    def call(self, capsys: pytest.CaptureFixture[str], workspace: Workspace, *arguments: str) -> str:
        status = run(["-w", str(workspace.root), "fit", *arguments])
        out, err = capsys.readouterr()
        assert status == 0, err
        return out

    def test_text_fits_80_columns(self, twice: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
        change(
            twice,
            "UPDATE fit_points SET loss = loss + 0.1 WHERE MINE AND adapt_tokens = 800000",
            """UPDATE fits SET params = json_merge_patch(params, '{"beta": 0.6}') WHERE MINE""",
        )
        listing = self.call(capsys, twice, "--list")
        both = self.call(capsys, twice, "--diff", "2", "1")
        one = self.call(capsys, twice, "--diff", "2", "1", "--form", "ptpp_gated_floor", "--role", "target")
        for text in (listing, both, one):
            assert max(map(len, text.splitlines())) <= 80
        assert "fit-again" in listing
        assert "The two fits are the same" in both
        assert "8 changed" in " ".join(one.split())
        assert "Points that differ" in one

    def test_other_forms(self, twice: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
        rows = json.loads(self.call(capsys, twice, "--list", "--json"))
        assert [row["place"] for row in rows] == [1, 2]
        assert {"stale", "n_fits", "target_mape"} <= rows[0].keys()
        found = json.loads(self.call(capsys, twice, "--diff", "2", "1", "--json"))
        assert len(found["pairs"]) == len(found["sentences"]) == 4
        head, *lines = self.call(capsys, twice, "--diff", "2", "1", "--csv").splitlines()
        assert head.startswith("role,form,anchors,n_a,n_b,added,removed,changed")
        assert len(lines) == 4

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--diff", "1", "2", "--starts", "3"), "--starts is not for --diff"),
            (("--list", "--form", "dcpt"), "--form is not for --list"),
            (("--diff", "1", "7"), "'7' is no fit of docs"),
        ],
    )
    def test_mistakes(
        self, twice: Workspace, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
    ) -> None:
        assert run(["-w", str(twice.root), "fit", *arguments]) != 0
        assert words in " ".join(capsys.readouterr().err.split())
