"""The reproduction card of what was not launched by an experiment, and of what cannot be made again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from engine.launch.submit import enqueue
from engine.plan.drift import make_drift_run
from engine.spec.run import RunSpec
from odyssey_tui.cli.main import run
from odyssey_tui.services.card import write_card
from odyssey_tui.services.fitting import fit_again
from odyssey_tui.services.recipe import find_recipe, read_spec
from store.workspace import Workspace
from tests.support.synthetic_fits import TRUE_FORM


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[Workspace]:
    """Workspaces whose scheduler was asked to run; none is started."""
    asked: list[Workspace] = []
    monkeypatch.setattr("engine.launch.scheduler.ensure_running", asked.append)
    return asked


def adapted(workspace: Workspace) -> RunSpec:
    run_id = next(name for name in workspace.run_ids() if name.startswith("adapt-docs-r0-p5-s-"))
    return RunSpec.model_validate(workspace.run(run_id).spec())


def test_a_run_without_a_configuration_says_so_and_has_the_rest(voyage, capsys) -> None:
    spec = adapted(voyage)
    assert run(["-w", str(voyage.root), "show", spec.run_id, "--card"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"# {spec.name}\n\n`{spec.run_id}` · done · adapt of `demo` · seed 0\n")
    assert "No configuration of 'demo' that gives this run is left here." in out
    assert "| docs | installation:docs | " in out
    assert "| docs | test | set-docs | " in out
    assert "torch 2.13.0" in out
    assert "odyssey launch" not in out
    assert run(["-w", str(voyage.root), "show", spec.run_id, "--card", "--json"]) == 2


def test_a_fit_is_made_again_by_its_command(own_voyage, capsys, tmp_path: Path) -> None:
    fitting = fit_again(own_voyage, domain="docs", forms=("dcpt", "zero_shot"), anchors=2, starts=40, bootstrap=7)
    recipe = find_recipe(own_voyage, read_spec(own_voyage, fitting.run_id))
    (command,) = recipe.commands
    words = shlex.split(command)
    assert words[:4] == ["odyssey", "fit", "--domain", "docs"]
    capsys.readouterr()
    assert run(["-w", str(own_voyage.root), *words[1:]]) == 0
    assert capsys.readouterr().out.startswith(f"{fitting.run_id} is there already")
    assert f"```\n{command}\n" in write_card(own_voyage, fitting.run_id)


def test_a_fit_of_fewer_points_than_there_are_now_has_no_command(own_voyage) -> None:
    fitting = fit_again(own_voyage, domain="docs", forms=("dcpt",))
    spec = read_spec(own_voyage, fitting.run_id)
    older = spec.model_copy(update={"run_id": "fit-docs-00000000", "needs": spec.needs[:-1]})
    assert "More has been measured since" in find_recipe(own_voyage, older).note


def test_stored_fits_are_on_their_card(voyage) -> None:
    run_id = next(name for name in voyage.run_ids() if voyage.run(name).spec()["job"]["kind"] == "fit")
    card = write_card(voyage, run_id)
    assert "## Fits" in card
    assert f"| {TRUE_FORM} | target | " in card


def test_a_drift_is_made_again_by_its_command(own_voyage) -> None:
    spec = make_drift_run(adapted(own_voyage), on="docs", max_tokens=500)
    enqueue(own_voyage, [spec], {spec.run_id: 0.0})
    recipe = find_recipe(own_voyage, spec)
    assert recipe.commands == (f"odyssey drift {spec.job.after.model_id} --on docs --max-tokens 500",)
