"""Drift between two states equals what plain transformers say, position by position, and adds up."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from engine.evaluate.drift import Drift, choose_windows, measure_drift, require_comparable
from engine.evaluate.windows import plan_windows
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.spec.run import Architecture, Scheme
from store.errors import DataError
from tests.support.families import FAMILIES

VOCABULARY, BOS = 96, 1
SCHEMES = (
    Scheme(kind="blocks", window=16),
    Scheme(kind="strided", window=16, stride=5, bos=True),
    Scheme(kind="rolling", window=16),
)


def _disturbed(model: PreTrainedModel, size: float = 0.05) -> PreTrainedModel:
    torch.manual_seed(5)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return other


def _tokens(n: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 40, n).astype(np.int32)


def _measure(before: PreTrainedModel, after: PreTrainedModel, n: int, scheme: Scheme, limit: int = 10**6) -> Drift:
    decoders = Decoder.of(before), Decoder.of(after)
    return measure_drift(*decoders, _tokens(n), scheme, max_tokens=limit, bos_id=BOS, batch_tokens=64)


@torch.no_grad()
def _plain(before: PreTrainedModel, after: PreTrainedModel, tokens: np.ndarray, windows) -> dict[str, np.ndarray]:
    """Every position by itself: its target, the four losses of full logits, how its hidden state moved."""
    found: dict[str, list[float]] = {}
    for window in windows:
        text = [int(token) for token in tokens[window.start : window.stop]]
        inputs = torch.tensor([[BOS, *text] if window.bos else text])
        place = slice(window.first_row, window.first_row + window.last - window.first)
        targets = torch.from_numpy(tokens[window.first : window.last].astype(np.int64))
        h0, h1 = (
            model(input_ids=inputs, output_hidden_states=True).hidden_states[-1][0, place] for model in (before, after)
        )
        values = {"target": targets}
        for name, hidden, model in (
            ("before", h0, before),
            ("after", h1, after),
            ("output", h0, after),
            ("hidden", h1, before),
        ):
            values[name] = functional.cross_entropy(model.lm_head(hidden).double(), targets, reduction="none")
        values["drift"] = (h1 - h0).norm(dim=-1) / h0.norm(dim=-1)
        values["cosine"] = functional.cosine_similarity(h0, h1, dim=-1)
        for name, column in values.items():
            found.setdefault(name, []).extend(column.tolist())
    return {name: np.array(column) for name, column in found.items()}


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.kind)
@pytest.mark.parametrize("family", ["gpt2", "llama_gqa", "llama_tied"])
def test_everything_is_what_transformers_say(family: str, scheme: Scheme) -> None:
    before = FAMILIES[family]()
    after = _disturbed(before)
    drift = _measure(before, after, 150, scheme)
    tokens = _tokens(150)
    plain = _plain(before, after, tokens, [w for w in plan_windows(150, scheme) if w.last > w.first])
    assert drift.positions == drift.predicted == len(plain["target"])
    assert drift.token_id.tolist() == sorted(set(plain["target"].astype(int)))
    for index, token in enumerate(drift.token_id):
        own = plain["target"] == token
        assert drift.count[index] == own.sum()
        for name in ("before", "after", "output", "hidden"):
            assert getattr(drift, f"sum_{name}")[index] == pytest.approx(plain[name][own].sum(), abs=1e-4)
        assert drift.hidden_drift[index] == pytest.approx(plain["drift"][own].mean(), rel=1e-5)
        assert drift.hidden_cosine[index] == pytest.approx(plain["cosine"][own].mean(), rel=1e-5)
    change = plain["after"].mean() - plain["before"].mean()
    assert abs(change) > 1e-4
    assert drift.contribution.sum() == pytest.approx(change, abs=1e-5)
    one_order = (drift.sum_output - drift.sum_before) + (drift.sum_after - drift.sum_output)
    assert one_order / drift.positions == pytest.approx(drift.contribution, abs=1e-12)


@pytest.mark.parametrize(("family", "tied"), [("gpt2", True), ("llama_gqa", False)])
def test_embeddings_moved_as_far_as_their_rows_say(family: str, tied: bool) -> None:
    before = FAMILIES[family]()
    after = _disturbed(before)
    drift = _measure(before, after, 100, SCHEMES[0])
    assert drift.tied is tied
    matrices = {
        "input": (before.get_input_embeddings().weight, after.get_input_embeddings().weight),
        "output": (before.lm_head.weight, after.lm_head.weight),
    }
    for name, (e0, e1) in matrices.items():
        moved = getattr(drift, name)
        e0, e1 = e0.detach().double(), e1.detach().double()
        rows = drift.token_id
        assert moved.drift == pytest.approx(((e1 - e0).norm(dim=1) / e0.norm(dim=1))[rows].numpy(), rel=1e-9)
        assert moved.cosine == pytest.approx(functional.cosine_similarity(e0, e1)[rows].numpy(), rel=1e-9)
        assert moved.matrix == pytest.approx(float((e1 - e0).norm() / e0.norm()), rel=1e-9)
    assert (drift.input is drift.output) is tied


def test_what_did_not_change_did_not_drift() -> None:
    """As of an adapter on a body, whose embeddings are frozen; and of a state against itself."""
    before = FAMILIES["llama_gqa"]()
    after = _disturbed(before)
    with torch.no_grad():
        for mine, base in zip(
            (after.get_input_embeddings(), after.lm_head), (before.get_input_embeddings(), before.lm_head), strict=True
        ):
            mine.weight.copy_(base.weight)
    drift = _measure(before, after, 100, SCHEMES[0])
    assert drift.input.matrix == drift.output.matrix == 0.0
    assert (drift.input.drift == 0).all()
    assert drift.output.cosine == pytest.approx(np.ones(len(drift.count)))
    assert (drift.sum_output == drift.sum_before).all()
    assert drift.sum_hidden == pytest.approx(drift.sum_after, abs=1e-9)
    same = _measure(before, before, 100, SCHEMES[0])
    assert (same.contribution == 0).all()
    assert (same.hidden_drift == 0).all()


def test_a_row_of_zeros_has_no_relative_drift() -> None:
    before = FAMILIES["llama_gqa"]()
    with torch.no_grad():
        before.get_input_embeddings().weight[7] = 0.0
    drift = _measure(before, _disturbed(before), 400, SCHEMES[0])
    seven = drift.token_id.tolist().index(7)
    assert np.isnan([drift.input.drift[seven], drift.input.cosine[seven]]).all()
    assert np.isfinite(np.delete(drift.input.drift, seven)).all()


@pytest.mark.parametrize("limit", [1, 10, 16, 50, 75, 149, 10_000])
def test_a_bounded_part_lies_evenly_over_the_text(limit: int) -> None:
    for scheme in SCHEMES:
        windows = plan_windows(1000, scheme)
        chosen = choose_windows(windows, limit)
        places = [place for window in chosen for place in range(window.first, window.last)]
        assert len(places) == len(set(places))
        widest = max(window.last - window.first for window in windows)
        assert min(limit, sum(w.last - w.first for w in windows)) - widest < len(places) <= limit
        if limit >= 50 and len(places) < 900:
            # The longest gap is not much longer than the mean one.
            gaps = np.diff([0, *(window.start for window in chosen), 1000])
            assert gaps.max() <= 2 * 1000 / len(chosen) + widest


def test_a_bounded_part_is_scored_as_within_the_whole() -> None:
    before = FAMILIES["gpt2"]()
    after = _disturbed(before)
    drift = _measure(before, after, 600, SCHEMES[0], limit=100)
    assert (drift.positions, drift.predicted) == (90, 562)
    chosen = choose_windows(plan_windows(600, SCHEMES[0]), 100)
    plain = _plain(before, after, _tokens(600), chosen)
    assert drift.mean(drift.sum_after) == pytest.approx(plain["after"].mean(), abs=1e-5)
    assert drift.mean_of(drift.hidden_drift) == pytest.approx(plain["drift"].mean(), rel=1e-5)


def test_the_size_of_batches_changes_nothing() -> None:
    before = FAMILIES["gpt2"]()
    decoders = Decoder.of(before), Decoder.of(_disturbed(before))
    small, large = (
        measure_drift(*decoders, _tokens(300), SCHEMES[0], max_tokens=10**6, batch_tokens=size) for size in (16, 4096)
    )
    assert small.sum_hidden == pytest.approx(large.sum_hidden, rel=1e-5)
    assert small.hidden_drift == pytest.approx(large.hidden_drift, rel=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("gpt2", "llama_gqa", ("no states of one model", "GPT2LMHeadModel and LlamaForCausalLM")),
        ("gemma2", "gemma2", ("more than one output layer", "Gemma2ForCausalLM")),
        ("granite", "granite", ("more than one output layer",)),
    ],
)
def test_what_cannot_be_compared_is_refused(one: str, other: str, words: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        require_comparable(Decoder.of(FAMILIES[one]()), Decoder.of(FAMILIES[other]()), ("A", "B"))
    for word in words:
        assert word in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "vocabulary", "words"),
    [
        ({}, 50, "A knows 40 tokens, B 50"),
        ({"n_embd": 16}, 40, "transformer.wte.weight is 40×24 and 40×16"),
        ({"n_layer": 3}, 40, "transformer.h.2.ln_1.weight is absent and 24"),
    ],
)
def test_other_shapes_are_named(changes: dict[str, int], vocabulary: int, words: str) -> None:
    shape = {"n_layer": 2, "n_embd": 24, "n_head": 2, "context": 16}
    before = build_model(Architecture(**shape), 40, seed=0)
    after = build_model(Architecture(**{**shape, **changes}), vocabulary, seed=0)
    with pytest.raises(DataError, match=words):
        require_comparable(Decoder.of(before), Decoder.of(after), ("A", "B"))


def test_weights_that_are_not_finite_are_told() -> None:
    before = FAMILIES["gpt2"]()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.transformer.ln_f.weight[0] = float("nan")
    decoders = Decoder.of(before), Decoder(after, plain=True)
    with pytest.raises(DataError, match="loss of token 1 is nan"):
        measure_drift(*decoders, _tokens(40), SCHEMES[0], max_tokens=100)


def test_a_text_of_one_token_predicts_nothing() -> None:
    before = FAMILIES["gpt2"]()
    with pytest.raises(DataError, match="predicts nothing"):
        _measure(before, before, 1, SCHEMES[0])
