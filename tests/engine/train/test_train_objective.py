"""Loss masks and packed documents: what each target is worth, and what comes of it, against the same written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.data.tokenizer import LoadedTokenizer, load_tokenizer
from engine.models import packing
from engine.models.adapter import attach_method
from engine.models.build import build_model
from engine.models.decoder import Decoder
from engine.models.packing import check_documents_apart, document_positions
from engine.models.reference import FrozenCopy, WithoutAdapters, reference_of
from engine.plan.schedule import Schedule
from engine.spec.run import Architecture, Corpus, LossMask, Method, Tokenizer, Training
from engine.train.batch import PLAIN
from engine.train.causal_loss import CausalLoss
from engine.train.loop import Trainer
from engine.train.objective import Masked, TargetTable, number_documents, objective_of, target_table
from store.errors import ConfigError
from store.workspace import Workspace

VOCABULARY, CONTEXT, END = 50, 16, 7
CONSTANT = Schedule(peak=3e-3, warmup=8)


def _training(**changes: Any) -> Training:
    return Training(**{"lr": 3e-3, "sequence": CONTEXT, "batch_sequences": 4, "log_every": 1, **changes})


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> LoadedTokenizer:
    folder = tmp_path_factory.mktemp("objective")
    text = "The river carries 12 boats, and the\nwind (from the sea) follows them.\n" * 40
    (folder / "a.txt").write_text(text)
    (folder / "b.txt").write_text(text[:-1] + "!")
    corpus = Corpus(name="c", source=str(folder), glob="*.txt", test_share=0, valid_share=0)
    return load_tokenizer(Tokenizer(train_on=(corpus,), vocab_size=300), Workspace.create(folder / "workspace"))


def _tokens(seed: int = 0, rows: int = 4) -> np.ndarray:
    """Rows of several documents, some of one token, one row that is a single document."""
    tokens = np.random.default_rng(seed).integers(8, VOCABULARY, (rows, CONTEXT))
    tokens[0, [3, 4, 9]] = END
    tokens[1, [0, 14]] = END
    tokens[2, 15] = END
    return tokens


def _model(family: str, seed: int = 0) -> Decoder:
    torch.set_num_threads(1)
    architecture = Architecture(family=family, n_layer=2, n_embd=16, n_head=2, context=CONTEXT)
    return Decoder(build_model(architecture, VOCABULARY, seed=seed), plain=True)


def _gradients(decoder: Decoder, loss: torch.Tensor) -> list[torch.Tensor]:
    trained = [parameter for parameter in decoder.model.parameters() if parameter.requires_grad]
    return [grad.clone() for grad in torch.autograd.grad(loss, trained)]


def test_a_table_is_filled_mask_by_mask_and_the_last_one_holds(tokenizer: LoadedTokenizer) -> None:
    newline = tokenizer.token_bytes.index(b"\n")
    masks = (
        LossMask(classes=("newline", "digits"), treat="weight", weight=0.5),
        LossMask(tokens=("\n", " the"), treat="kl", weight=2),
        LossMask(tokens=(newline + 1, tokenizer.eos_token)),
    )
    table = target_table(masks, tokenizer)
    the = tokenizer.token_bytes.index(b" the")
    digit = tokenizer.token_bytes.index(b"1")
    assert (table.weights[newline], table.divergence[newline]) == (0, 2)
    assert (table.weights[the], table.divergence[the]) == (0, 2)
    assert (table.weights[digit], table.divergence[digit]) == (0.5, 0)
    assert table.weights[[newline + 1, tokenizer.eos_id]].tolist() == [0, 0]
    classes = np.array(tokenizer.token_classes)
    touched = np.isin(classes, ["newline", "digits"])
    touched[[newline, the, newline + 1, tokenizer.eos_id]] = True
    assert np.all(table.weights[~touched] == 1)
    assert not table.divergence[~touched].any()


@pytest.mark.parametrize(
    ("token", "message", "hint"),
    [
        (
            "the river carries",
            "'the river carries' is no token of the vocabulary of byte-level BPE",
            "It is read as 't",
        ),
        ("THE", "mask 2: 'THE'", "Near it: 'The', 'the'"),
        (300, "300 is no token", "Token ids run from 0 to 299."),
    ],
)
def test_a_token_that_is_none_is_one_clear_message(
    tokenizer: LoadedTokenizer, token: str | int, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        target_table((LossMask(classes=("newline",)), LossMask(tokens=(token,))), tokenizer)
    assert hint in caught.value.hint


def test_the_plain_case_stays_plain_and_impossible_ones_are_refused(tokenizer: LoadedTokenizer) -> None:
    assert objective_of(_training(), tokenizer) is PLAIN
    with pytest.raises(ConfigError, match="kl asks for the divergence from a base"):
        objective_of(_training(masks=(LossMask(classes=("newline",), treat="kl"),)), tokenizer)
    with pytest.raises(ConfigError, match="separator: newline"):
        objective_of(_training(cross_document=False, separator="newline"), tokenizer)


def _table(weights: dict[int, float], divergence: dict[int, float]) -> TargetTable:
    table = TargetTable(np.ones(VOCABULARY, np.float32), np.zeros(VOCABULARY, np.float32))
    table.weights[list(weights)] = list(weights.values())
    table.divergence[list(divergence)] = list(divergence.values())
    return table


@pytest.mark.parametrize("method", ["full", "lora"])
def test_masked_loss_and_gradients_equal_the_formula(method: str) -> None:
    tokens = _tokens()
    chosen = {name: tokens[0, at] for name, at in (("left out", 1), ("half", 2), ("held", 5))}
    table = _table({chosen["left out"]: 0, chosen["half"]: 0.5, chosen["held"]: 0}, {chosen["held"]: 1.5})
    decoder, base = _model("gpt2"), _model("gpt2")
    attach_method(decoder.model, Method(name=method, rank=2))
    reference = reference_of(decoder)
    assert isinstance(reference, FrozenCopy if method == "full" else WithoutAdapters)
    with torch.no_grad():
        for parameter in decoder.model.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    trained = [name for name, parameter in decoder.model.named_parameters() if parameter.requires_grad]

    batch = Masked(table, None, reference).prepare(tokens)
    module = CausalLoss(decoder, "fp32", reference)
    found = module(batch)
    gradients = _gradients(decoder, found)

    given = torch.from_numpy(tokens)
    losses = functional.log_softmax(decoder.model(given[:, :-1]).logits.double(), -1)
    before = functional.log_softmax(base.model(given[:, :-1]).logits.double(), -1)
    divergence = (before.exp() * (before - losses)).sum(-1)
    targets = given[:, 1:]
    next_token = -losses.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    weights = torch.from_numpy(table.weights).double()[targets]
    held = torch.from_numpy(table.divergence).double()[targets]
    expected = (weights * next_token + held * divergence).sum()
    torch.testing.assert_close(found.double(), expected, atol=0, rtol=1e-6)
    torch.testing.assert_close(module.diverged.double(), divergence[held > 0].sum().detach(), atol=0, rtol=1e-4)
    assert batch.targets == int(((weights > 0) | (held > 0)).sum())
    assert batch.diverging == int((held > 0).sum()) > 0
    assert batch.targets < targets.numel()
    for one, other in zip(gradients, _gradients(decoder, expected), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    assert trained == [name for name, parameter in decoder.model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_documents_equal_every_document_alone(family: str, attention: str) -> None:
    tokens, decoder = _tokens(), _model(family)
    decoder.model.set_attn_implementation(attention)
    check_documents_apart(decoder, "fp32")
    batch = Masked(None, END).prepare(tokens)
    found = CausalLoss(decoder, "fp32")(batch)
    gradients = _gradients(decoder, found)
    alone, count = torch.zeros(()), 0
    for row, numbers in zip(tokens, number_documents(tokens, END), strict=True):
        for number in range(numbers[-1] + 1):
            document = torch.from_numpy(row[numbers == number])
            if len(document) > 1:
                logits = decoder.model(document[None, :-1]).logits[0]
                alone = alone + functional.cross_entropy(logits, document[1:], reduction="sum")
                count += len(document) - 1
    torch.testing.assert_close(found, alone, atol=0, rtol=1e-6)
    assert batch.targets == count < tokens[:, 1:].size
    for one, other in zip(gradients, _gradients(decoder, alone), strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-4)
    across = CausalLoss(decoder, "fp32")(PLAIN.prepare(tokens))
    assert abs(across.item() / tokens[:, 1:].size - alone.item() / count) > 1e-4


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_rows_fed_as_one_are_the_rows(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, decoder = _tokens(), _model(family)
    given, documents = torch.from_numpy(tokens), torch.from_numpy(number_documents(tokens, END))
    apart = decoder.hidden(given, documents)
    monkeypatch.setattr(packing, "is_flattened", lambda decoder: True)
    assert packing.pack(decoder, given, documents)["input_ids"].shape == (1, tokens.size)
    torch.testing.assert_close(decoder.hidden(given, documents), apart, atol=1e-6, rtol=1e-5)


def test_documents_and_positions_by_hand() -> None:
    tokens = np.array([[5, END, 6, END, END, 8], [1, 2, 3, 4, 5, END]])
    numbers = number_documents(tokens, END)
    assert numbers.tolist() == [[0, 0, 1, 1, 2, 3], [0] * 6]
    assert document_positions(torch.from_numpy(numbers)).tolist() == [[0, 1, 0, 1, 0, 0], [0, 1, 2, 3, 4, 5]]
    batch = Masked(None, END).prepare(tokens)
    assert batch.weights.tolist() == [[1, 0, 1, 0, 0], [1] * 5]
    assert batch.targets == 7
    whole = Masked(None, END).prepare(tokens[1:])
    assert whole.documents is None
    assert whole.weights is None


def test_a_model_that_ignores_positions_is_refused() -> None:
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=1, n_head=2)).eval()
    with pytest.raises(ConfigError, match="a bloom model cannot keep packed documents apart"):
        check_documents_apart(Decoder.of(model), "fp32")


def test_a_step_with_nothing_to_learn_changes_nothing(recorder) -> None:
    class Ends:
        def batch(self, first: int, count: int) -> np.ndarray:
            return np.full((count, CONTEXT), END)

    report, decoder = recorder(), _model("gpt2")
    before = [parameter.detach().clone() for parameter in decoder.model.parameters()]
    objective = Masked(_table({END: 0}, {}))
    trainer = Trainer(decoder, _training(weight_decay=0), Ends(), report, objective=objective)
    trainer.train(8, CONSTANT, "trunk", lambda tokens: None)
    assert [metric["loss"] for metric in report.metrics] == [0, 0]
    for now, then in zip(decoder.model.parameters(), before, strict=True):
        assert torch.equal(now, then)


class _Texts:
    """Random sequences with ends of documents, a pure function of the position."""

    def batch(self, first: int, count: int) -> np.ndarray:
        return np.concatenate([_tokens(seed=k, rows=4)[k % 3 : k % 3 + 1] for k in range(first, first + count)])


def _held_trainer(report: Any, method: str = "full", **changes: Any) -> Trainer:
    decoder = _model("gpt2")
    torch.manual_seed(5)
    attach_method(decoder.model, Method(name=method, rank=2, dropout=0.5))
    table = _table({token: 0 for token in range(8, 20)}, {token: 0.7 for token in range(8, 20)})
    objective = Masked(table, END, reference_of(decoder))
    return Trainer(decoder, _training(weight_decay=0, **changes), _Texts(), report, objective=objective)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_logs_the_divergence_per_target_that_is_held(recorder, method: str) -> None:
    report, parts = recorder(), recorder()
    trainer = _held_trainer(report, method)
    trainer.train(20, CONSTANT, "trunk", lambda tokens: None)
    logged = [metric["divergence"] for metric in report.metrics]
    assert logged[0] == pytest.approx(0, abs=1e-7)
    assert logged[-1] > 1e-6
    accumulated = _held_trainer(parts, method, batch_sequences=2, accumulate=2)
    accumulated.train(20, CONSTANT, "trunk", lambda tokens: None)
    if method == "full":  # an adapter's dropout is drawn anew for every part
        np.testing.assert_allclose([metric["divergence"] for metric in parts.metrics], logged, rtol=1e-2, atol=1e-7)
        np.testing.assert_allclose(
            [metric["loss"] for metric in parts.metrics], [metric["loss"] for metric in report.metrics], rtol=1e-5
        )


def test_a_restored_trainer_logs_the_same_divergence(recorder) -> None:
    whole, first, second = recorder(), recorder(), recorder()
    _held_trainer(whole, "lora", log_every=3).train(24, CONSTANT, "trunk", lambda tokens: None)
    interrupted = _held_trainer(first, "lora", log_every=3)
    states = []

    def keep(tokens: int) -> None:
        if interrupted.steps == 4:
            states.append(interrupted.state())

    interrupted.train(24, CONSTANT, "trunk", keep)
    resumed = _held_trainer(second, "lora", log_every=3)
    resumed.restore(states[0])
    resumed.train(24, CONSTANT, "trunk", lambda tokens: None)
    (expected,) = (metric for metric in whole.metrics if metric["step"] == 6)
    for name in ("loss", "divergence", "grad_norm"):
        assert second.metrics[0][name] == expected[name]
