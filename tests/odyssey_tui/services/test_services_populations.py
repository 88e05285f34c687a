"""What may stand in one fit: ways to adapt, kinds of bases and tokenizers are told apart, sizes and mixes are not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.laws.errors import LawError
from engine.report import Report
from odyssey_tui.cli.main import run
from odyssey_tui.services.fitting import fit_again
from odyssey_tui.services.populations import choose_population, population_of, split_populations, tell_others
from odyssey_tui.services.scatter_cells import Surroundings, Wanted
from store.database import lease
from store.ingest import ingest
from store.queries.domain_facts import BaseState, Recipe
from store.queries.points import AdaptationPoint
from store.queries.tokenizers import ScoredText
from store.workspace import Workspace

TRAINING = {"lr": 1e-3, "batch_sequences": 8}


def point(run_id: str, atpp: float = 1.0, **changes: Any) -> AdaptationPoint:
    plain = AdaptationPoint(
        run_id=run_id, experiment="e", domain="docs", method="full", size="s", seed=0, lr=1e-3, rank=None, variant=None,
        newlines="keep", n_params=400_000, ptpp=15.0, atpp=atpp, adapt_tokens=round(400_000 * atpp), replay_ratio=0.25,
        replay_realised=0.25, base_epochs=1.0, target_epochs=0.5, replay_epochs=0.1, role="target", eval_set_id="set",
        evaluation_id=f"{run_id}-{atpp}",
        zero_shot_evaluation_id="z", model_id=f"{run_id}@{atpp}", base_model_id="base@ptpp15", loss=3.0,
        zero_shot_loss=3.5, delta=-0.5, base_zero_shot_loss=2.5,
    )  # fmt: skip
    return replace(plain, **changes)


def around(points: list[AdaptationPoint], **recipes: dict[str, Any]) -> Surroundings:
    """One base pretrained on ``web``; recipes of runs as given, else TRAINING, replaying ``web``."""
    known = {one.run_id: Recipe(TRAINING, {"name": one.method}, ("web",)) for one in points}
    known |= {name: Recipe({**TRAINING, **extra}, {"name": "full"}, ("web",)) for name, extra in recipes.items()}
    known["base"] = Recipe({"lr": 1e-3}, {}, ("web",))
    text = ScoredText("set", "docs", "tok", "test", None, 100, 400)
    return Surroundings(known, {"base@ptpp15": BaseState("base@ptpp15", "base", None)}, {"set": text})


def names(points: list[AdaptationPoint], known: Surroundings | None = None) -> dict[str, tuple[str, ...]]:
    return {one.name: one.owners for one in split_populations(points, known or around(points))}


def test_sizes_budgets_mixes_and_seeds_are_one_population() -> None:
    points = [
        point("a", n_params=100_000, size="xs"),
        point("b", ptpp=45.0, replay_ratio=0.0),
        point("c", 4.0, seed=3, experiment="other"),
    ]
    assert names(points) == {"": ("a", "b", "c")}


def test_methods_variants_newlines_and_rates_are_told_apart_plain_first() -> None:
    points = [
        point("kl", variant="kl-newline"),
        point("kl", 2.0, variant="kl-newline"),
        point("lora", method="lora", rank=8),
        point("strip", newlines="strip"),
        point("fast", lr=1e-2),
        point("a"),
        point("a", 2.0),
    ]
    found = split_populations(points, around(points))
    assert [one.owners for one in found[:2]] == [("a",), ("fast",)]
    assert {one.owners[0] for one in found[2:]} == {"kl", "lora", "strip"}
    said = " ".join(tell_others(found[0], found))
    assert "2 points of 1 run left out, not mixed in" in said
    assert "(--variant kl-newline)" in said
    assert "(--method lora)" in said
    assert "(--newlines strip)" in said
    assert "(--lr 0.01)" in said


def test_recipes_without_a_name_are_told_apart_and_bookkeeping_is_not() -> None:
    points = [point("a"), point("b"), point("c")]
    known = around(points, b={"batch_sequences": 32}, c={"log_every": 1})
    assert names(points, known) == {"batch_sequences 8": ("a", "c"), "batch_sequences 32": ("b",)}


def test_one_rate_for_each_size_is_one_recipe() -> None:
    tuned = [point("a", n_params=100_000, lr=2e-3), point("b", n_params=400_000, lr=1e-3)]
    assert names(tuned) == {"": ("a", "b")}
    swept = [*tuned, point("c", n_params=400_000, lr=2e-3)]
    assert sorted(names(swept).values()) == [("a", "c"), ("b",)]


def test_bases_of_one_published_family_are_one_population_and_tokenizers_are_not() -> None:
    def of(source: str, n_params: int, eval_set_id: str = "set") -> AdaptationPoint:
        base = f"{source}@main"
        return point(source, base_model_id=base, n_params=n_params, size=source, eval_set_id=eval_set_id)

    points = [
        of("org/tiny-70m", 70),
        of("org/tiny-160m", 160),
        of("gpt2", 124, "other"),
        of("gpt2-medium", 355, "other"),
    ]
    known = around(points)
    bases = {one.base_model_id: BaseState(one.base_model_id, None, one.run_id) for one in points}
    text = ScoredText("other", "docs", "gpt2-tokens", "test", None, 90, 400)
    known = replace(known, bases=bases, texts={**known.texts, "other": text})
    found = split_populations(points, known)
    assert sorted(one.owners for one in found) == [("gpt2", "gpt2-medium"), ("org/tiny-70m", "org/tiny-160m")]
    assert choose_population(found, Wanted(base="gpt2")).owners == ("gpt2", "gpt2-medium")


def test_points_without_replay_go_with_every_replayed_text() -> None:
    points = [point("none", replay_ratio=0.0), point("web"), point("news"), point("news", 2.0)]
    known = around(points)
    known = replace(known, recipes={**known.recipes, "news": Recipe(TRAINING, {"name": "full"}, ("news",))})
    found = split_populations(points, known)
    assert [set(one.owners) for one in found] == [{"none", "news"}, {"none", "web"}]
    assert tell_others(found[0], found)[0].startswith("1 point of 1 run left out")


def test_what_is_not_there_is_refused_with_what_is() -> None:
    points = [point("a"), point("kl", variant="kl")]
    found = split_populations(points, around(points))
    assert choose_population(found, Wanted(variant="plain")).owners == ("a",)
    assert choose_population(found, Wanted(variant="kl")).owners == ("kl",)
    with pytest.raises(LawError) as error:
        choose_population(found, Wanted(method="lora"))
    assert "plain (1 point of 1 run); kl (1 point of 1 run)" in error.value.hint
    assert population_of(["kl", None], found).owners == ("kl",)
    assert population_of(["gone"], found) is None


class TestWorkspace:
    """``odyssey fit`` where some runs of the domain were adapted otherwise."""

    @pytest.fixture(autouse=True)
    def quiet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.launch.scheduler.ensure_running", lambda workspace: None)

    @pytest.fixture
    def mixed(self, own_voyage: Workspace) -> Workspace:
        with lease(own_voyage, write=True) as con:
            for name, labels in (("r0.5-p5-s", {"variant": "kl"}), ("r0.25-p5-s", {"newlines": "strip"})):
                con.execute(
                    "UPDATE runs SET labels = json_merge_patch(labels, ?::JSON) WHERE starts_with(run_id, ?)",
                    [json.dumps(labels), f"adapt-docs-{name}-"],
                )
        return own_voyage

    def test_variants_and_stripped_text_are_left_out_and_said(self, mixed: Workspace) -> None:
        fitting = fit_again(mixed, forms=("dcpt",))
        needs = mixed.run(fitting.run_id).spec()["needs"]
        assert not any(need.startswith(("adapt-docs-r0.5-p5-s-", "adapt-docs-r0.25-p5-s-")) for need in needs)
        assert fitting.population == "plain" or "full" in fitting.population
        said = " ".join(fitting.left_out)
        assert "3 points of 1 run left out, not mixed in: full, kl" in said
        assert "newlines stripped (--newlines strip)" in said
        assert "lora, rank 8 (--method lora)" in said

    def test_the_next_fit_is_of_the_same_population_until_another_is_asked_for(self, mixed: Workspace) -> None:
        chosen = fit_again(mixed, forms=("dcpt",), wanted=Wanted(variant="kl"))
        spec = mixed.run(chosen.run_id).spec()
        (adapted,) = (need for need in spec["needs"] if need.startswith("adapt-"))
        assert adapted.startswith("adapt-docs-r0.5-p5-s-")
        assert spec["labels"] == {"domain": "docs", "variant": "kl"}
        with Report(mixed.run(chosen.run_id).new_attempt()) as report:
            report.emit("done", seconds=1.0)
        ingest(mixed)
        assert fit_again(mixed, forms=("dcpt", "chinchilla")).population == chosen.population
        assert fit_again(mixed, forms=("dcpt",), wanted=Wanted(variant="plain")).n_runs > 1

    def test_the_command_says_it_on_stderr(self, mixed: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["-w", str(mixed.root), "fit", "--form", "dcpt", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert len(found["left_out"]) == 3
        assert run(["-w", str(mixed.root), "fit", "--form", "dcpt", "--variant", "kl-punctuation"]) != 0
        assert "There are: full" in " ".join(capsys.readouterr().err.split())
        assert run(["-w", str(mixed.root), "fit", "--form", "dcpt"]) == 0
        assert "not mixed in" in " ".join(capsys.readouterr().err.split())
