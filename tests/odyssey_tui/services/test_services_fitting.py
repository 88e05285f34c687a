"""Asking for fits: one run over everything measured, queued once."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.laws.errors import LawError
from engine.spec.run import RunSpec
from odyssey_tui.services.fitting import fit_again, fit_as_written
from odyssey_tui.services.forecast import forecast
from store.errors import ConfigError
from store.workspace import Workspace
from tests.odyssey_tui.real_fits import fit_for_real


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[Workspace]:
    """Workspaces whose scheduler was asked to run; none is started."""
    asked: list[Workspace] = []
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", asked.append)
    return asked


def test_a_fit_takes_the_options_of_the_newest_one(own_voyage: Workspace, started: list[Workspace]) -> None:
    fitting = fit_again(own_voyage, forms=("dcpt", "zero_shot"))
    spec = RunSpec.model_validate(own_voyage.run(fitting.run_id).spec())
    assert fitting.queued
    assert started == [own_voyage]
    assert (own_voyage.queue / "tickets" / f"{fitting.run_id}.json").exists()
    assert spec.job.forms == ("dcpt", "zero_shot")
    assert spec.job.fit_ptpp == (5.0, 15.0)
    assert spec.job.score_ptpp == (45.0,)
    assert fitting.n_points == 3 * fitting.n_runs
    adapted = [need for need in spec.needs if need.startswith("adapt-")]
    assert all("lora" not in need for need in adapted)
    assert len(adapted) == fitting.n_runs
    assert len([need for need in spec.needs if need.startswith("pretrain-")]) == 2


def test_the_same_fit_is_queued_once(own_voyage: Workspace) -> None:
    first = fit_again(own_voyage, forms=("dcpt",))
    second = fit_again(own_voyage, forms=("dcpt",))
    assert second.run_id == first.run_id
    assert not second.queued
    assert second.state == "queued"
    assert fit_again(own_voyage, forms=("dcpt",), anchors=2).run_id != first.run_id


def test_the_highest_ptpp_is_held_out_of_a_new_domain(own_voyage: Workspace) -> None:
    fitting = fit_again(own_voyage, domain="docs", score_ptpp=(15.0,), fit_ptpp=(5.0,))
    assert (fitting.job.fit_ptpp, fitting.job.score_ptpp) == ((5.0,), (15.0,))


def test_unknown_domains_and_forms_are_refused_before_anything_is_queued(own_voyage: Workspace) -> None:
    with pytest.raises(LawError) as error:
        fit_again(own_voyage, domain="poems")
    assert "docs" in error.value.hint
    with pytest.raises(LawError, match="no law form"):
        fit_again(own_voyage, forms=("dcptt",))


@pytest.mark.parametrize("domain", ["French (novels)", 'l\'été, "1"', "عربي", "../code/x", "x=1 and y", "d" * 300])
def test_a_domain_may_be_called_anything(own_voyage: Workspace, domain: str) -> None:
    from store.database import lease

    with lease(own_voyage, write=True) as con:
        for table in ("runs", "models"):
            con.execute(f"UPDATE {table} SET domain = ? WHERE domain = 'docs'", [domain])
    fitting = fit_again(own_voyage, domain=domain, forms=("dcpt",))
    assert own_voyage.run(fitting.run_id).path.parent == own_voyage.runs
    spec = RunSpec.model_validate(own_voyage.run(fitting.run_id).spec())
    assert (spec.job.domain, spec.labels["domain"]) == (domain, domain)
    assert fit_again(own_voyage, domain=domain, forms=("dcpt",)).run_id == fitting.run_id


def test_forms_of_ones_own_travel_with_the_fit(own_voyage: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("formula: E + A*N**-alpha + B*r**eta*D**-beta\n")
    first = fit_again(own_voyage, forms=("dcpt", str(file)))
    assert first.job.forms == ("dcpt", "mine")
    assert [form.name for form in first.job.definitions] == ["mine"]
    file.write_text("formula: E + A*N**-alpha + B*D**-beta\n")
    assert fit_again(own_voyage, forms=("dcpt", str(file))).run_id != first.run_id
    file.write_text("formula: E + A*N^alpha\n")
    with pytest.raises(LawError, match=r"mine.yaml: formula, column 8"):
        fit_again(own_voyage, forms=(str(file),))


def test_a_stored_form_of_ones_own_is_drawn_scored_and_kept_for_the_next_fit(own_voyage: Workspace) -> None:
    definition = {"name": "mine", "formula": "E + A*N**-alpha + F*(P*N)**-phi + B*(r + 0.01)**eta*D**-beta"}
    fit_for_real(own_voyage, forms=("dcpt",), definitions=(definition,))
    found = forecast(own_voyage, form="mine")
    assert found.formula == definition["formula"]
    assert found.source == "your form"
    assert {row.form for row in found.scores} >= {"mine", "dcpt"}
    assert len(found.tracks) == 3
    assert all(low <= high for track in found.tracks for low, high in zip(track.low, track.high, strict=True))
    again = fit_again(own_voyage, anchors=2)
    assert [form.name for form in again.job.definitions] == ["mine"]
    assert fit_again(own_voyage, forms=("dcpt",)).job.definitions == ()


def test_a_fit_says_that_runs_it_used_are_gone(own_voyage: Workspace) -> None:
    from store.database import lease

    with lease(own_voyage, write=True) as con:
        con.execute("DELETE FROM models WHERE starts_with(run_id, 'adapt-docs-r0.5-p5-s')")
    found = forecast(own_voyage)
    assert found.stale == "1 of its runs is deleted since, though its points still count: `odyssey fit` fits again."
    assert found.tracks


def test_newer_runs_make_a_forecast_stale(own_voyage: Workspace) -> None:
    from store.database import lease

    with lease(own_voyage, write=True) as con:
        con.execute("DELETE FROM fit_points WHERE starts_with(run_id, 'adapt-docs-r0.5-p5-s')")
    assert "1 newer run is not in this fit" in forecast(own_voyage).stale


def test_losses_measured_anew_make_a_forecast_stale(own_voyage: Workspace) -> None:
    from store.database import lease

    assert forecast(own_voyage).stale == ""
    with lease(own_voyage, write=True) as con:
        con.execute(
            "UPDATE evaluations SET sum_loss = sum_loss * 1.01 WHERE role = 'target' AND model_id IN "
            "(SELECT model_id FROM models WHERE starts_with(run_id, 'adapt-docs-r0.5-p5-s'))"
        )
    assert forecast(own_voyage).stale.startswith("3 of its losses were measured anew and differ: `odyssey fit`")


def test_a_variant_measured_since_does_not_make_a_forecast_stale(own_voyage: Workspace) -> None:
    from store.database import lease

    with lease(own_voyage, write=True) as con:
        con.execute("DELETE FROM fit_points WHERE starts_with(run_id, 'adapt-docs-r0.5-p5-s')")
        con.execute(
            """UPDATE runs SET labels = json_merge_patch(labels, '{"variant": "kl"}')
            WHERE starts_with(run_id, 'adapt-docs-r0.5-p5-s')"""
        )
    assert forecast(own_voyage).stale == ""


def test_a_fit_whose_runs_are_all_deleted_says_so(own_voyage: Workspace) -> None:
    from store.database import lease

    with lease(own_voyage, write=True) as con:
        con.execute("DELETE FROM models WHERE starts_with(run_id, 'adapt-docs')")
    found = forecast(own_voyage)
    assert found.stale.startswith("All of its runs are deleted, though their points still count")
    assert found.tracks


def test_options_of_a_fit_may_be_written_on_a_line(own_voyage: Workspace) -> None:
    fitting = fit_as_written(own_voyage, "anchors=2,4 score-ptpp=45 forms=dcpt", "docs")
    assert fitting.job.anchors == (2, 4)
    assert fitting.job.forms == ("dcpt",)
    assert fit_as_written(own_voyage, "anchors=2").run_id == fit_again(own_voyage, anchors=2).run_id
    with pytest.raises(ConfigError, match="'anchor=2' is no option of a fit") as error:
        fit_as_written(own_voyage, "anchor=2")
    assert "Did you mean 'anchors'" in error.value.hint
    with pytest.raises(ConfigError, match="'anchors=x' cannot be read"):
        fit_as_written(own_voyage, "anchors=x")
