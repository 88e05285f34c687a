"""The scatter's statistics on a study whose numbers are known, against formulas written down independently."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as reference

from engine.spec.run import Training
from odyssey_tui.services.scatter import Look, Scatter
from odyssey_tui.services.scatter_cells import Wanted
from odyssey_tui.services.similarity import DEPENDENT, scatter
from odyssey_tui.services.similarity_record import record
from store.ingest import ingest
from store.workspace import Workspace
from tests.support.synthetic_similarity import (
    EXPERIMENT,
    FAR,
    NEAR,
    SECOND,
    SET_TOKENS,
    WINDOW,
    Author,
    Truth,
    similarity_workspace,
)

TRUTH = Truth()
NUMBERS = TRUTH.numbers()
X = -NUMBERS["mmd2"]
Y = NUMBERS["delta"].mean(axis=2)
"""ΔL [domains, sizes (s, m)]: means over seeds."""
IS_NEAR = np.array([group == NEAR for group in TRUTH.groups])
LOG_TOKENS = np.log(NUMBERS["train_tokens"])


@pytest.fixture(scope="module")
def found(study: Workspace) -> Scatter:
    """Of the larger model, by MMD²."""
    return scatter(study)


def finding(found: Scatter, key: str):
    return next(item for item in found.findings if item.key == key)


def partial(x: np.ndarray, y: np.ndarray, *controls: np.ndarray) -> float:
    """By the inverse of the correlation matrix."""
    precision = np.linalg.inv(np.corrcoef(np.stack([x, y, *controls])))
    return -precision[0, 1] / math.sqrt(precision[0, 0] * precision[1, 1])


def newline_shares(study: Workspace) -> np.ndarray:
    author = Author(study, TRUTH)
    return np.array([author.newline_share(domain) for domain in TRUTH.domains])


def centred(values: np.ndarray) -> np.ndarray:
    out = values.copy()
    for here in (IS_NEAR, ~IS_NEAR):
        out[here] -= out[here].mean(axis=0)
    return out


def test_a_point_is_a_domain_averaged_over_its_seeds(found) -> None:
    assert len(found.points) == 20
    assert found.cell.size == "m"
    by_domain = {point.domain: point for point in found.points}
    for i, domain in enumerate(TRUTH.domains):
        point = by_domain[domain]
        assert point.change == pytest.approx(Y[i, 1], abs=1e-6)
        assert point.similarity == pytest.approx(X[i])
        assert (point.change_low, point.change_high) == pytest.approx(
            (NUMBERS["delta"][i, 1].min(), NUMBERS["delta"][i, 1].max()), abs=1e-6
        )
        assert point.n_seeds == 3
        assert point.train_tokens == pytest.approx(NUMBERS["train_tokens"][i])
        assert point.group == TRUTH.groups[i]


def test_pooled_correlations_equal_scipys(found) -> None:
    main = finding(found, "all")
    assert main.pearson.r == pytest.approx(reference.pearsonr(X, Y[:, 1]).statistic, abs=1e-6)
    assert main.spearman.r == pytest.approx(reference.spearmanr(X, Y[:, 1]).statistic)
    assert main.pearson.n == 20
    # Twenty domains cannot all be permuted; the Monte Carlo p agrees with the normal one within its error.
    assert main.pearson.p < 0.001
    assert finding(found, "group:wiki").pearson.p == pytest.approx(
        reference.pearsonr(X[IS_NEAR], Y[IS_NEAR, 1]).pvalue, abs=0.06
    )


def test_within_each_group_and_within_groups(found) -> None:
    for group, here in ((NEAR, IS_NEAR), (FAR, ~IS_NEAR)):
        assert finding(found, f"group:{group}").pearson.r == pytest.approx(
            np.corrcoef(X[here], Y[here, 1])[0, 1], abs=1e-5
        )
        assert finding(found, f"group:{group}").pearson.n == 10
    within = finding(found, "within").pearson
    assert within.r == pytest.approx(np.corrcoef(centred(X), centred(Y[:, 1]))[0, 1], abs=1e-5)
    # The study is made so: the groups alone make the correlation.
    assert found.pearson.low > 0.5
    assert within.low < 0 < within.high
    assert within.sentence in found.within
    assert [summary.change for summary in found.groups] == pytest.approx(
        [Y[~IS_NEAR, 1].mean(), Y[IS_NEAR, 1].mean()], abs=1e-5
    )


def test_partial_correlations_equal_the_inverse_matrix(found, study) -> None:
    newlines, dummy, y = newline_shares(study), IS_NEAR.astype(float), Y[:, 1]
    assert finding(found, "given:tokens").pearson.r == pytest.approx(partial(X, y, LOG_TOKENS), abs=1e-5)
    assert finding(found, "given:newlines").pearson.r == pytest.approx(partial(X, y, newlines), abs=1e-5)
    both = finding(found, "given:tokens, newlines").pearson
    assert both.r == pytest.approx(partial(X, y, LOG_TOKENS, newlines), abs=1e-5)
    everything = finding(found, "given:group, tokens, newlines").pearson
    assert everything.r == pytest.approx(partial(X, y, dummy, LOG_TOKENS, newlines), abs=1e-5)
    assert abs(both.r - found.pearson.r) > 0.02
    assert {point.domain: point.newline_share for point in found.points} == pytest.approx(
        dict(zip(TRUTH.domains, newlines, strict=True))
    )


def test_leaving_a_domain_out(found) -> None:
    for point in found.points:
        i = TRUTH.domains.index(point.domain)
        expected = np.corrcoef(np.delete(X, i), np.delete(Y[:, 1], i))[0, 1]
        assert point.r_without == pytest.approx(expected, abs=1e-6)


def test_models_are_pooled_by_domains(study) -> None:
    pooled = scatter(study, Look(pooled=True))
    assert [model.name for model in pooled.shown] == ["size s", "size m"]
    assert len(pooled.points) == 40
    main = finding(pooled, "all").pearson
    y = Y - Y.mean(axis=0)
    x = np.repeat((X - X.mean())[:, None], 2, axis=1)
    assert main.r == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1], abs=1e-6)
    assert main.n == 20
    draws = []
    by_name = np.argsort(TRUTH.domains)
    for index in by_name[np.random.default_rng(0).integers(0, 20, size=(2000, 20))]:
        rx, ry = x[index] - x[index].mean(axis=0), y[index] - y[index].mean(axis=0)
        draws.append(np.corrcoef(rx.ravel(), ry.ravel())[0, 1])
    assert (main.low, main.high) == pytest.approx(tuple(np.percentile(draws, (2.5, 97.5))), abs=1e-5)
    apart = finding(pooled, "apart").pearson
    assert apart.r == pytest.approx(np.corrcoef(np.repeat(X, 2), Y.ravel())[0, 1], abs=1e-6)
    assert finding(pooled, "model:size s").pearson.r == pytest.approx(np.corrcoef(X, Y[:, 0])[0, 1], abs=1e-6)
    assert finding(pooled, "within").pearson.r == pytest.approx(
        np.corrcoef(np.repeat(centred(X), 2), centred(Y).ravel())[0, 1], abs=1e-5
    )
    assert DEPENDENT in pooled.notes
    assert "40 points of 2 models, each with its own mean" in pooled.sentence


def test_units_are_what_is_drawn_and_correlated(study) -> None:
    ratio = scatter(study, Look(unit="ratio"))
    assert ratio.pearson.r == pytest.approx(np.corrcoef(X, np.exp(Y[:, 1]))[0, 1], abs=1e-6)
    point = next(point for point in ratio.points if point.domain == "wiki00")
    assert point.before == pytest.approx(math.exp(3.0))
    assert point.change == pytest.approx(point.after / point.before)
    bits = scatter(study, Look(unit="bits"))
    predicted = SET_TOKENS - math.ceil(SET_TOKENS / WINDOW)
    factor = predicted / (math.log(2) * 4 * SET_TOKENS)
    by_domain = {point.domain: point for point in bits.points}
    for i, domain in enumerate(TRUTH.domains):
        assert by_domain[domain].change == pytest.approx(Y[i, 1] * factor, abs=1e-6)
        assert by_domain[domain].delta == pytest.approx(Y[i, 1], abs=1e-6)
    assert bits.pearson.r == pytest.approx(np.corrcoef(X, Y[:, 1])[0, 1], abs=1e-6)


def test_one_model_at_a_time_and_which_others_there_are(study, found) -> None:
    assert [(model.name, model.n_domains) for model in found.models] == [("size s", 20), ("size m", 20)]
    assert scatter(study, wanted=Wanted(size="s")).pearson.r == pytest.approx(np.corrcoef(X, Y[:, 0])[0, 1], abs=1e-6)
    small = next(model.cell for model in found.models if model.name == "size s")
    assert scatter(study, wanted=Wanted(cell=small)).cell == small


def test_groups_of_the_experiment_or_by_hand(study, found) -> None:
    assert found.group_origin == f"experiment {EXPERIMENT}"
    by_hand = scatter(study, groups=["odd=wiki01,s2orc01,wiki03", "even=wiki00,s2orc00,wiki02,s2orc02"])
    assert by_hand.group_origin == "--group"
    assert [(group.name, group.n) for group in by_hand.groups] == [("even", 4), ("odd", 3)]
    within = finding(by_hand, "within")
    assert within.pearson.n == 7
    assert "13 domains without a group left out" in within.sentence
    assert scatter(study, groups=["only=wiki00,wiki01"]).groups == ()


def test_the_record_holds_everything(found) -> None:
    whole = record(found)
    assert whole["pearson"]["n"] == 20
    assert {item["key"] for item in whole["findings"]} >= {"all", "within", "group:wiki", "given:tokens, newlines"}
    assert len(whole["points"]) == len(whole["influence"]) == 20
    first, *_, last = whole["influence"]
    assert abs(first["r"] - found.pearson.r) >= abs(last["r"] - found.pearson.r)
    assert whole["sentence"] == found.sentence


@pytest.fixture
def small(tmp_path: Path) -> Author:
    """Six domains, one size, one seed, still being written."""
    author = Author(Workspace.create(tmp_path / "small"), Truth(6))
    author.write(["m"], [0])
    return author


def look(author: Author, *arguments: object, **options: object) -> Scatter:
    ingest(author.workspace)
    return scatter(author.workspace, *arguments, **options)


def test_two_recipes_that_no_label_tells_apart_are_two_models(small) -> None:
    for domain in small.truth.domains:
        small.adapt(domain, "m", 0, delta=1.0, training=Training(lr=1e-4, sequence=WINDOW, clip=0.5))
    result = look(small)
    assert sorted(model.name for model in result.models) == ["clip 0.5", "clip 1.0"]
    plain = next(model.cell for model in result.models if model.name == "clip 1.0")
    assert max(point.change for point in look(small, wanted=Wanted(cell=plain)).points) < 1


def test_variants_and_rates_are_models_and_named_by_what_differs(small) -> None:
    for domain in small.truth.domains[:4]:
        small.adapt(domain, "m", 0, training=Training(lr=1e-3, sequence=WINDOW))
        small.adapt(domain, "m", 0, labels={"variant": "kl"})
        small.adapt(domain, "m", 0, labels={"newlines": "strip"})
    result = look(small)
    assert {(model.name, model.n_domains) for model in result.models} == {
        ("lr 0.0001", 6),
        ("lr 0.001", 4),
        ("kl, lr 0.0001", 4),
        ("newlines stripped, lr 0.0001", 4),
    }
    assert (result.cell.variant, result.cell.newlines, result.cell.lr) == (None, "keep", 1e-4)
    assert look(small, wanted=Wanted(variant="kl")).cell.variant == "kl"
    assert len(look(small, Look(pooled=True)).shown) == 4


def test_losses_that_are_not_finite_are_left_out_by_name(small) -> None:
    small.pretrain("m", 1)
    for domain in small.truth.domains[:3]:
        small.adapt(domain, "m", 1, delta=math.nan if domain == "wiki00" else None)
    result = look(small)
    point = next(point for point in result.points if point.domain == "wiki00")
    assert point.n_seeds == 1
    assert "wiki00: 1 of 2 runs left out: a loss that is not finite" in result.missing
    assert result.pearson.n == 6


def test_different_tokenizers_are_never_pooled_in_nats(tmp_path) -> None:
    workspace = similarity_workspace(tmp_path / "two", Truth(6), sizes=["s"], seeds=[0], second_tokenizer=True)
    pooled = scatter(workspace, Look(pooled=True, unit="ratio"))
    assert pooled.units == ("bits",)
    assert pooled.unit.name == "bits"
    assert pooled.unit.title == "ΔL, bits/byte"
    assert any("2 different tokenizers" in note and "bits per byte" in note for note in pooled.notes)
    assert len(pooled.shown) == 2
    assert {model.cell.tokenizer_id for model in pooled.shown} == {"bpe-synthetic", SECOND}
    # Half as many tokens over the same bytes: the same change in nats is half of it in bits per byte.
    of = {(point.domain, point.model): point for point in pooled.points}
    first, second = (model.name for model in pooled.shown)
    for domain in Truth(6).domains:
        ratio = of[domain, first].change / of[domain, second].change
        assert ratio == pytest.approx(0.5, abs=0.01) or ratio == pytest.approx(2.0, abs=0.02)
    alone = scatter(workspace)
    assert alone.unit.name == "nats"
    assert alone.notes == ()


def test_a_domain_alone_has_no_correlation(small) -> None:
    only = small.truth.domains[0]
    result = look(small, groups=[f"A={only}"])
    single = Author(Workspace.create(small.workspace.root.parent / "single"), Truth(6))
    single.prepare()
    single.pretrain("m", 0)
    single.adapt(only, "m", 0)
    single.similarity([only])
    alone = look(single)
    assert alone.sentence == "no correlation: 1 domain, three are the fewest"
    assert len(alone.points) == 1
    assert alone.line is None
    assert result.groups == ()


def test_changes_and_similarities_that_do_not_vary(tmp_path) -> None:
    author = Author(Workspace.create(tmp_path / "flat"), Truth(6))
    author.numbers = {**author.numbers, "cosine": np.full(6, 0.5)}
    author.prepare()
    author.pretrain("m", 0)
    for domain in author.truth.domains:
        author.adapt(domain, "m", 0, delta=-0.25)
    author.similarity()
    flat = look(author)
    assert flat.sentence == "no correlation: ΔL is the same at every point"
    assert flat.line is not None
    same = look(author, Look(measure="cosine"))
    assert same.sentence == "no correlation: similarity is the same at every point"
    assert same.line is None
    assert len(same.points) == 6


def test_a_similarity_that_is_not_finite_is_left_out_by_name(small) -> None:
    small.numbers = {**small.numbers, "mmd2": np.where(np.arange(6) == 2, math.nan, small.numbers["mmd2"])}
    other = Author(Workspace.create(small.workspace.root.parent / "nan"), Truth(6))
    other.numbers = small.numbers
    other.write(["m"], [0])
    result = look(other)
    assert len(result.points) == 5
    assert any(line.startswith("wiki02: ") for line in result.missing)
    assert result.pearson.n == 5


def test_controls_that_are_not_known_or_do_not_vary_say_so(tmp_path) -> None:
    author = Author(Workspace.create(tmp_path / "plain"), Truth(6))
    author.numbers = {**author.numbers, "train_tokens": np.full(6, 1e5)}
    author.write(["m"], [0])
    result = look(author)
    tokens = finding(result, "given:tokens")
    assert tokens.sentence.endswith("is the same for every domain: there is nothing to control for")
    assert "given:tokens, newlines" not in {item.key for item in result.findings}
