from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from odyssey_tui.services.scatter import Look, Scatter
from odyssey_tui.services.scatter_cells import Wanted, cell_of
from odyssey_tui.services.scatter_points import Facts
from odyssey_tui.services.scatter_selection import select
from odyssey_tui.services.scatter_views import View
from odyssey_tui.services.similarity import COUPLING
from odyssey_tui.services.similarity import assemble as place_models
from odyssey_tui.services.similarity_figure import draw_scatter, x_label
from store.errors import DataError

DOMAINS = ("ads", "bio", "code", "docs", "law", "news", "poems")


@dataclass(frozen=True)
class Adapted:
    domain: str
    delta: float | None
    size: str | None = "s"
    n_params: int = 1000
    ptpp: float | None = 16.0
    replay_ratio: float = 0.1
    atpp: float | None = 4.0
    method: str = "full"
    seed: int = 0
    zero_shot_loss: float = 3.0
    eval_set_id: str = "text"
    lr: float | None = None
    rank: int | None = None
    variant: str | None = None
    newlines: str = "keep"
    base_model_id: str = "base@ptpp16"
    diverged: bool = False

    @property
    def loss(self) -> float | None:
        return None if self.diverged else self.zero_shot_loss + (self.delta or 0.0)

    @property
    def run_id(self) -> str:
        return f"run-{self.domain}-{self.seed}"

    @property
    def owner(self) -> str:
        return self.run_id

    @property
    def evaluation_id(self) -> str:
        return f"after-{self.domain}-{self.seed}-{self.atpp}"

    @property
    def zero_shot_evaluation_id(self) -> str:
        return f"before-{self.domain}"


@dataclass(frozen=True)
class Row:
    domain: str
    value: float
    measure: str = "mmd2"
    embedder: str = "ngrams"
    reference: str = "base"
    encoder: str = "tok"
    low: float | None = None
    high: float | None = None
    higher_is_closer: bool = False
    n_samples: int = 64
    seed: int = 0


def assemble(points, rows, wanted, *, facts: Facts | None = None, pooled: bool = False, **look) -> Scatter:
    """The scatter of these points and similarities."""
    return place_models(select(points, rows, wanted, pooled=pooled), rows, Look(pooled=pooled, **look), facts=facts)


DELTAS = (0.05, -0.3, -0.1, 0.02, -0.5, -0.2, -0.4)
DISTANCES = (0.01, 0.30, 0.12, 0.05, 0.45, 0.30, 0.38)
POINTS = [Adapted(domain, delta) for domain, delta in zip(DOMAINS, DELTAS, strict=True)]
ROWS = [Row(domain, value) for domain, value in zip(DOMAINS, DISTANCES, strict=True)]


def test_distances_are_turned_so_that_higher_is_more_similar() -> None:
    result = assemble(POINTS, ROWS, Wanted())
    assert result.pearson.r == pytest.approx(np.corrcoef([-d for d in DISTANCES], DELTAS)[0, 1])
    assert result.pearson.r > 0.9
    assert result.pearson.exact
    assert [p.domain for p in result.points][:2] == ["ads", "docs"]
    assert result.points[0].similarity == -result.points[0].value == -0.01
    assert result.sentence.startswith("r = .9")
    assert "n = 7; ρ = " in result.sentence


def test_similarities_that_are_higher_when_closer_keep_their_sign_and_interval() -> None:
    rows = [replace(r, measure="cosine", higher_is_closer=True, low=r.value - 0.1, high=r.value + 0.2) for r in ROWS]
    flipped = [replace(r, low=r.value - 0.1, high=r.value + 0.2) for r in ROWS]
    kept = assemble(POINTS, rows, Wanted()).points[0]
    turned = assemble(POINTS, flipped, Wanted()).points[0]
    assert (kept.similarity_low, kept.similarity_high) == pytest.approx((kept.value - 0.1, kept.value + 0.2))
    assert (turned.similarity_low, turned.similarity_high) == pytest.approx((-turned.value - 0.2, -turned.value + 0.1))


def test_seeds_are_averaged_and_the_pair_is_of_one_run() -> None:
    points = [replace(p, delta=p.delta + shift, seed=seed) for p in POINTS for seed, shift in ((0, 0.1), (1, -0.1))]
    rows = [replace(r, value=r.value + shift, seed=seed) for r in ROWS for seed, shift in ((0, 0.02), (1, -0.02))]
    result = assemble(points, rows, Wanted())
    by_domain = {p.domain: p for p in result.points}
    assert result.pearson.n == 7
    assert by_domain["law"].delta == pytest.approx(-0.5)
    assert by_domain["law"].value == pytest.approx(0.45)
    assert (by_domain["law"].change_low, by_domain["law"].change_high) == pytest.approx((-0.6, -0.4))
    assert (by_domain["law"].evaluation_before, by_domain["law"].evaluation_after) == ("before-law", "after-law-0-4.0")
    assert by_domain["law"].n_seeds == 2


def test_losses_on_another_text_do_not_enter_the_mean() -> None:
    others = [replace(p, eval_set_id="other", delta=5.0, seed=7) for p in POINTS]
    again = [replace(p, seed=1) for p in POINTS]
    assert {p.delta for p in assemble([*others, *POINTS, *again], ROWS, Wanted()).points} == set(DELTAS)


def test_the_cell_is_the_one_most_domains_share() -> None:
    grid = [replace(POINTS[2], replay_ratio=r, atpp=a, delta=9.0) for r in (0.0, 0.25, 0.5) for a in (1.0, 8.0)]
    result = assemble([*grid, *POINTS], ROWS, Wanted())
    assert result.cell == cell_of(POINTS[0])
    assert len(result.points) == 7
    assert max(p.delta for p in result.points) < 1
    only = assemble([*grid, *POINTS], ROWS, Wanted(replay_ratio=0.5))
    assert [p.domain for p in only.points] == ["code"]
    assert only.cell.atpp == 8.0
    assert "no correlation: 1 domain" in only.sentence
    assert only.missing == ("not adapted to in this cell: ads, bio, docs, law and 2 more",)


def test_budgets_that_differ_by_a_sequence_are_one_cell() -> None:
    points = [replace(p, atpp=4.0 + 0.0004 * i, ptpp=16.0 - 0.003 * i) for i, p in enumerate(POINTS)]
    assert len(assemble(points, ROWS, Wanted(ptpp=16.0)).points) == 7


def test_published_models_without_a_known_budget_make_a_cell() -> None:
    points = [replace(p, size=None, ptpp=None, n_params=124_439_808) for p in POINTS]
    result = assemble(points, ROWS, Wanted())
    assert len(result.points) == 7
    assert result.cell.text == "124,439,808 parameters, replay 0.1, ATPP 4, full"


def test_lora_is_another_cell() -> None:
    lora = [replace(p, method="lora", delta=0.0) for p in POINTS]
    assert assemble([*lora, *POINTS], ROWS, Wanted()).cell.method == "full"
    assert assemble([*lora, *POINTS], ROWS, Wanted(method="lora")).cell.method == "lora"
    assert "ΔL is the same at every point" in assemble(lora, ROWS, Wanted(method=None)).sentence


def test_views_keep_references_and_encoders_apart() -> None:
    other = [replace(r, reference="elsewhere", value=99.0) for r in ROWS[:3]]
    result = assemble(POINTS, [*ROWS, *other], Wanted())
    assert result.reference == "base"
    assert max(p.value for p in result.points) < 1
    newer = [replace(r, encoder="newer", value=r.value / 2) for r in ROWS]
    assert assemble(POINTS, [*ROWS, *newer], Wanted()).encoder == "newer"


def test_measures_step_in_one_order_and_agree_or_not() -> None:
    jsd = [replace(r, measure="jsd", embedder="tokens", value=1 - r.value) for r in ROWS]
    model = [replace(r, embedder="model") for r in ROWS]
    result = assemble(POINTS, [*jsd, *ROWS, *model], Wanted())
    assert [a.view for a in result.agreement] == [
        View("mmd2", "model"),
        View("mmd2", "ngrams"),
        View("jsd", "tokens"),
        View("zero_shot", "base"),
    ]
    assert result.view == View("mmd2", "model")
    assert result.agreement[2].pearson.r < -0.9
    assert assemble(POINTS, [*jsd, *ROWS], Wanted(), measure="jsd").view == View("jsd", "tokens")


def test_zero_shot_loss_is_apart_and_says_that_it_is_coupled() -> None:
    points = [replace(p, zero_shot_loss=3 + 0.1 * i) for i, p in enumerate(POINTS)]
    result = assemble(points, ROWS, Wanted(), measure="zero_shot")
    assert result.notes == (COUPLING,)
    assert result.points[0].similarity == pytest.approx(-3.0)
    assert assemble(points, ROWS, Wanted()).notes == ()


def test_unknown_measure_names_what_there_is() -> None:
    with pytest.raises(DataError, match="no similarity by 'frechet'") as caught:
        assemble(POINTS, ROWS, Wanted(), measure="frechet")
    assert "mmd2 (ngrams)" in caught.value.hint


@pytest.mark.parametrize(
    ("points", "rows", "wanted", "reason"),
    [
        (POINTS, [], Wanted(), "No similarity has been computed"),
        ([], ROWS, Wanted(), "no domain has been adapted"),
        ([Adapted("ads", None)], ROWS, Wanted(), "no evaluation on the same text"),
        ([Adapted("ads", None, diverged=True)], ROWS, Wanted(), "no loss is finite"),
    ],
)
def test_nothing_to_show_says_why_and_what_to_do(points, rows, wanted, reason) -> None:
    result = assemble(points, rows, wanted)
    assert result.points == ()
    assert reason in result.sentence
    assert result.hint
    assert draw_scatter(result).is_empty


@pytest.mark.parametrize(
    ("wanted", "words", "hint"),
    [
        (Wanted(ptpp=99.0), "no adapted state has PTPP 99", "There are: 16."),
        (Wanted(size="sm"), "no adapted state has size sm", "Did you mean 's'? There are: m, s."),
        (Wanted(variant="kl"), "no adapted state has variant kl", "No run here has any."),
        (Wanted(size="m", method="lora"), "no adapted state has all the properties", "size s, PTPP 16"),
    ],
)
def test_properties_that_no_state_has_are_refused_with_those_there_are(wanted, words, hint) -> None:
    points = [*POINTS, replace(POINTS[0], size="m"), replace(POINTS[1], method="lora")]
    with pytest.raises(DataError, match=words) as caught:
        assemble(points, ROWS, wanted)
    assert hint in caught.value.hint


def test_influence_names_the_domain_that_carries_the_correlation() -> None:
    points = [replace(p, delta=0.01 * i) for i, p in enumerate(POINTS)]
    points[4] = replace(points[4], delta=-9.0)
    result = assemble(points, ROWS, Wanted())
    changes = {p.domain: abs(p.r_without - result.pearson.r) for p in result.points}
    assert max(changes, key=changes.get) == "law"
    assert result.influence.startswith("without law r = ")
    assert assemble(POINTS, ROWS, Wanted()).influence == ""


def test_figure_names_points_and_says_which_way_is_closer() -> None:
    result = assemble(POINTS, ROWS, Wanted())
    assert x_label(result) == "−MMD² · ngrams  (more similar →)"
    text = draw_scatter(result, highlight=result.points[-1].key).render(78, 18, color=False)
    for domain in DOMAINS:
        assert domain in text
    assert "MMD²" in text
    assert all(len(line) <= 78 for line in text.splitlines())


def test_snapshots_compare_by_content() -> None:
    assert assemble(POINTS, ROWS, Wanted()) == assemble(POINTS, ROWS, Wanted())
    assert assemble(POINTS, ROWS, Wanted()) != assemble(POINTS[:-1], ROWS, Wanted())


@dataclass(frozen=True)
class Imported(Adapted):
    """A point of an imported table: there are no evaluations."""

    evaluation_id = None
    zero_shot_evaluation_id = None


def test_imported_points_have_no_ledger_and_no_bits() -> None:
    points = [Imported(domain, delta) for domain, delta in zip(DOMAINS, DELTAS, strict=True)]
    result = assemble(points, ROWS, Wanted())
    assert result.pearson.r == assemble(POINTS, ROWS, Wanted()).pearson.r
    assert {(point.evaluation_before, point.evaluation_after) for point in result.points} == {(None, None)}
    bits = assemble(points, ROWS, Wanted(), unit="bits")
    assert bits.points == ()
    assert bits.sentence == "No domain has both a place and a change of loss here."
    assert "how many bytes were scored is not recorded" in bits.hint
    assert bits.units == ("nats", "ratio", "bits")


def test_models_that_share_no_domain_are_pooled_all_the_same() -> None:
    """Two models on disjoint domains: each has its mean, and the pairs that are missing are counted."""
    other = [replace(p, size="m", n_params=4000) for p in POINTS[:3]]
    result = assemble([*POINTS[3:], *other], ROWS, Wanted(), pooled=True)
    assert len(result.shown) == 2
    assert len(result.points) == 7
    assert result.pearson.n == 7
    assert "7 of 14 pairs of model and domain are missing" in result.missing


def test_models_scored_on_different_texts_say_so() -> None:
    other = [replace(p, size="m", n_params=4000, eval_set_id="elsewhere") for p in POINTS]
    notes = assemble([*POINTS, *other], ROWS, Wanted(), pooled=True).notes
    assert any("different texts of ads, bio, code, docs and 3 more" in note for note in notes)
