"""Stand-alone evaluations: texts as they are, numbers that add up, a table of every token, one message for an error."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.evaluate.canary import CanaryError
from engine.evaluate.standalone import score
from engine.evaluate.texts import read_texts
from engine.spec.run import Model, Scheme
from engine.spec.scoring import Scoring
from store.errors import ConfigError, DataError, OdysseyError
from store.workspace import Workspace

BLOCKS = Scheme(kind="blocks", window=16)
ODD = "\ufeffΤρεῖς\r\n\r\nships\tsail  \x0c to 12 islands \u2028 and 🚢\n\n"


def _evaluate(model: Path | Model, *files: Path, scheme: Scheme = BLOCKS, **more: Any) -> dict[str, Any]:
    named = model if isinstance(model, Model) else Model(source=str(model))
    options = {"batch_tokens": 256, "device": "cpu", **more}
    scoring = Scoring(model=named, files=tuple(map(str, files)), scheme=scheme, **options)
    return score(scoring, lambda phase, done, total: None)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes((ODD * 9).encode())
    return path


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("the ship\r\nleft", "", "the wind")))
    return path


def test_the_table_holds_every_token_of_every_document(state: Path, text: Path, records: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    out.write_text("old")
    result = _evaluate(state, text, records, per_token=str(out))
    table = pq.read_table(out)
    assert {field.name: field.type for field in table.schema} == {
        "document": pa.int32(),
        "byte_start": pa.int64(),
        "byte_end": pa.int64(),
        "position": pa.int64(),
        "token_id": pa.int32(),
        "token": pa.string(),
        "loss": pa.float32(),
    }
    facts = json.loads(pq.read_metadata(out).metadata[b"odyssey"])
    assert facts["scheme"] == BLOCKS.content() == result["scheme"]
    assert facts["streams"] == [file["tokens"] for file in result["files"]]
    assert (facts["model"], facts["tokenizer_id"]) == (result["model"], result["tokenizer_id"])
    rows = table.to_pylist()
    assert [row["document"] for row in rows] == sorted(row["document"] for row in rows)
    tokenizer = AutoTokenizer.from_pretrained(state)
    for document, content in {0: ODD * 9, 1: "the ship\r\nleft", 3: "the wind"}.items():
        own = [row for row in rows if row["document"] == document]
        assert [row["position"] for row in own] == list(range(len(own)))
        assert [row["byte_start"] for row in own] == [0, *(row["byte_end"] for row in own[:-1])]
        assert own[-1]["byte_end"] == len(content.encode())
        assert [row["token_id"] for row in own] == tokenizer(content, add_special_tokens=False)["input_ids"]
    assert {row["document"] for row in rows} == {0, 1, 3}
    assert next(row["token"] for row in rows if row["byte_end"] == 3).endswith("\\xbf")
    first, second = result["files"]
    losses = [row["loss"] for row in rows]
    # Each file is a stream of its own; its first token, and that of each block, is not predicted.
    assert losses[0] is None
    assert losses[first["tokens"]] is None
    assert losses[1] is not None
    predicted = [row for row in rows if row["loss"] is not None]
    assert len(predicted) == result["total"]["predicted"] == first["predicted"] + second["predicted"]
    assert result["total"]["tokens"] == len(rows)
    assert sum(row["loss"] for row in predicted) == pytest.approx(result["total"]["sum_loss"])
    assert sum(row["byte_end"] - row["byte_start"] for row in predicted) == result["total"]["bytes"]
    assert result["total"]["documents"] == 4
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(kind="blocks", window=16, bos=True),
        Scheme(kind="strided", window=32, stride=8),
        Scheme(kind="rolling", window=24),
        Scheme(kind="rolling", window=64, precision="bf16"),
    ],
    ids=lambda scheme: f"{scheme.kind}-{scheme.precision}",
)
def test_losses_are_those_of_transformers(state: Path, text: Path, tmp_path: Path, scheme: Scheme) -> None:
    out = tmp_path / "out.parquet"
    result = _evaluate(state, text, scheme=scheme, per_token=str(out))
    rows = pq.read_table(out).to_pylist()
    ids = [row["token_id"] for row in rows]
    model = AutoModelForCausalLM.from_pretrained(state)
    place = 40
    context = {"blocks": ids[30:40], "strided": ids[8:40], "rolling": ids[24 - 1 : 40]}[scheme.kind]
    if scheme.kind == "blocks":
        context = [0, *context]
    if scheme.window == 64:
        context = [0, *ids[:40]]
    if scheme.kind == "strided":
        # Token 40 is the first that the window from 16 to 48 predicts.
        context = ids[16:40]
    with torch.no_grad():
        expected = -torch.log_softmax(model(torch.tensor([context])).logits[0, -1], -1)[ids[place]].item()
    assert rows[place]["loss"] == pytest.approx(expected, abs=1e-4 if scheme.precision == "fp32" else 0.05)
    assert result["total"]["m2d2_script_ppl"] is None
    assert result["scheme"] == scheme.content()
    assert (rows[0]["loss"] is None) == (scheme.kind == "strided")


def test_a_state_by_its_run_and_by_its_folder_is_the_same(workspace: Workspace, state: Path, text: Path) -> None:
    model = Model(run="pretrain-a", state="ptpp2")
    by_run = _evaluate(model, text, workspace=str(workspace.root))
    by_folder = _evaluate(state, text)
    assert by_run["model"] == "pretrain-a@ptpp2"
    assert by_folder["model"] == str(state)
    assert by_run["total"] == by_folder["total"]
    facts = json.loads((state / "odyssey.json").read_text())
    assert by_run["canary_loss"] == pytest.approx(facts["canary_loss"], rel=1e-5)
    assert by_run["tokenizer_id"] == facts["tokenizer_id"]


def test_the_window_is_shortened_only_when_it_was_not_asked_for(state: Path, text: Path) -> None:
    assert _evaluate(state, text, scheme=Scheme(window=1024), shorten=True)["scheme"]["window"] == 64
    with pytest.raises(ConfigError, match="a window of 65 tokens exceeds the model's context of 64"):
        _evaluate(state, text, scheme=Scheme(window=65))


def test_texts_are_read_as_they_are(tmp_path: Path) -> None:
    content = ODD.encode()
    for name, packed in {"a.txt": content, "a.md.gz": gzip.compress(content), "a.xz": lzma.compress(content)}.items():
        (tmp_path / name).write_bytes(packed)
        assert read_texts(tmp_path / name) == [ODD]
    pq.write_table(pa.table({"text": [ODD, "b"]}), tmp_path / "a.parquet")
    assert read_texts(tmp_path / "a.parquet") == [ODD, "b"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "there is no file .*none.txt"),
        ("latin.txt", "où".encode("latin-1"), "not UTF-8: .* at byte 1"),
        ("model.bin", b"abc\0", "is no text: byte 3 is zero"),
        ("empty.txt", b"", "holds no text"),
        ("empty.jsonl", b'{"text": ""}\n', "holds no text"),
        ("half.jsonl", b'{"text": "ok"}\n{"text": "a\\ud800"}\n', "document 2 is no text: character 1 is half a"),
        ("list.jsonl", b"[1]\n", "no JSON object"),
        ("other.jsonl", b'{"body": "x"}\n', "no field 'text'"),
        ("cut.gz", gzip.compress(b"abc" * 99, mtime=0)[:-9], "cannot read .*cut.gz"),
    ],
)
def test_texts_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_texts(tmp_path / name)


def test_a_folder_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        read_texts(tmp_path)


def test_what_is_wrong_leaves_no_table(state: Path, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "table.parquet"
    with pytest.raises(OdysseyError, match=r"cannot write .*table.parquet: No such file"):
        _evaluate(state, text, per_token=str(out))
    out.parent.mkdir()
    with pytest.raises(OdysseyError, match="it is a folder"):
        _evaluate(state, text, per_token=str(out.parent))
    with pytest.raises(DataError, match="no model there"):
        _evaluate(tmp_path / "no-model", text, per_token=str(out))
    assert list(out.parent.iterdir()) == []


def test_swapped_weights_and_tokenizers_are_noticed(state: Path, text: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "state"
    shutil.copytree(state, copy)
    weights = load_file(copy / "model.safetensors")
    weights["transformer.h.0.mlp.c_fc.weight"] *= 1.5
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CanaryError, match="the weights of pretrain-a@ptpp2 have a loss"):
        _evaluate(copy, text)
    facts = json.loads((copy / "odyssey.json").read_text())
    (copy / "odyssey.json").write_text(json.dumps({**facts, "tokenizer_id": "another"}))
    with pytest.raises(CanaryError, match="trained with tokenizer another"):
        _evaluate(copy, text)


def test_weights_that_are_not_finite(state: Path, text: Path, tmp_path: Path) -> None:
    copy = tmp_path / "state"
    shutil.copytree(state, copy)
    (copy / "odyssey.json").unlink()
    model = AutoModelForCausalLM.from_pretrained(copy)
    with torch.no_grad():
        model.transformer.ln_f.weight[0] = np.nan
    model.save_pretrained(copy)
    with pytest.raises(DataError, match=r"the model's loss of token .* is nan"):
        _evaluate(copy, text)
