"""``odyssey fetch`` against a hub of our own: what is downloaded, what is refused, and in how many words."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_hub import COMMIT, Hub, serve_hub
from tests.support.tiny import write_corpus

CONFIG = """
name: hub
corpora: {poems: {source: poems.jsonl}}
base: {model: org/small, tokens_seen: 1000}
adapt: [{domain: poems, adapt_tokens: [1000]}]
adapt_training: {lr: 1e-3, sequence: 32, batch_sequences: 4}
evaluate: {window: 32}
"""
SMALL = {"config.json": b"{}", "model.safetensors": b"x" * 1000, "tokenizer.json": b"{}", "README.md": b"#"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as served:
        served.repositories["org/small"] = SMALL
        yield served


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_corpus(tmp_path / "poems.jsonl", 1, 20)
    (tmp_path / "hub.yaml").write_text(CONFIG)
    return tmp_path / "hub.yaml"


def fetch(hub: Hub, config: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: the hub's libraries read their settings once."""
    home = {"HF_HOME": str(config.parent / "hf"), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", **environment}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    start = "import sys; from odyssey_tui.cli.main import run; sys.exit(run())"
    command = [sys.executable, "-c", start, "-w", str(config.parent / "ws"), "fetch", str(config), *arguments]
    return subprocess.run(command, env={**kept, **home}, capture_output=True, text=True, check=False)


def test_a_model_is_fetched_once_and_only_what_loading_reads(hub: Hub, config: Path) -> None:
    first = fetch(hub, config, "--json")
    assert first.returncode == 0, first.stderr
    model, corpus = json.loads(first.stdout)
    assert (model["state"], model["name"], model["commit"]) == ("fetched", "org/small", COMMIT)
    assert model["n_bytes"] == 1004
    assert (corpus["state"], corpus["name"]) == ("checked", "poems")
    snapshot = config.parent / "hf" / "hub" / "models--org--small" / "snapshots" / COMMIT
    assert {path.name for path in snapshot.iterdir()} == SMALL.keys() - {"README.md"}
    assert [item["state"] for item in json.loads(fetch(hub, config, "--json").stdout)] == ["cached", "checked"]
    offline = fetch(hub, config, "--json", HF_HUB_OFFLINE="1")
    assert [item["state"] for item in json.loads(offline.stdout)] == ["cached", "checked"]


def test_a_sentence_encoder_is_fetched_with_its_layers(hub: Hub, config: Path) -> None:
    layers = {"modules.json": b"[]", "1_Pooling/config.json": b"{}", "onnx/model.onnx": b"x" * 5000}
    hub.repositories["sentence-transformers/tiny"] = {**SMALL, **layers}
    config.write_text(
        CONFIG.replace("tokens_seen: 1000", "tokens_seen: 1000, corpora: poems")
        + "similarity: {embedders: sentence, sentence_model: tiny}\n"
    )
    first = fetch(hub, config, "--json")
    assert first.returncode == 0, first.stderr
    (encoder,) = [item for item in json.loads(first.stdout) if item["kind"] == "sentence encoder"]
    assert (encoder["state"], encoder["name"], encoder["n_bytes"]) == ("fetched", "sentence-transformers/tiny", 1008)
    snapshot = config.parent / "hf" / "hub" / "models--sentence-transformers--tiny" / "snapshots" / COMMIT
    assert (snapshot / "1_Pooling" / "config.json").is_file()
    assert not (snapshot / "onnx").exists()


def test_restricted_access_is_one_message_that_depends_on_the_token(hub: Hub, config: Path) -> None:
    hub.gated.add("org/small")
    without = fetch(hub, config)
    assert without.returncode == 1
    assert without.stderr.count("error:") == 1
    assert "org/small: access to it is restricted, and there is no token" in without.stderr
    assert f"{hub.url}/org/small" in without.stderr
    refused = fetch(hub, config, HF_TOKEN="bad")
    assert "and your token has none" in refused.stderr
    assert not (config.parent / "ws" / "queue" / "tickets").exists() or not any(
        (config.parent / "ws" / "queue" / "tickets").iterdir()
    )
    assert fetch(hub, config, HF_TOKEN="good").returncode == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("base.model=org/absent", "org/absent: there is no such repository, or it is private"),
        ("base.revision=v9", "org/small@v9: it has no such revision"),
        ("corpora.poems.source=nowhere.jsonl", "there is no file or folder"),
    ],
)
def test_what_does_not_exist_is_named(hub: Hub, config: Path, override: str, message: str) -> None:
    ended = fetch(hub, config, "--set", override)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert ended.stderr.count("error:") == 1


def test_weights_that_would_run_code_are_refused_unless_asked_for(hub: Hub, config: Path) -> None:
    pickled = {**SMALL, "pytorch_model.bin": b"x"}
    del pickled["model.safetensors"]
    hub.repositories["org/small"] = pickled
    assert "it has no safetensors weights" in fetch(hub, config).stderr
    allowed = fetch(hub, config, "--json", "--set", "base.allow_pickle=true")
    assert allowed.returncode == 0, allowed.stderr


def test_offline_what_is_not_in_the_cache_is_named(hub: Hub, config: Path) -> None:
    ended = fetch(hub, config, HF_HUB_OFFLINE="1")
    assert "org/small: it is not in the local cache and offline mode is on" in ended.stderr
    assert ended.returncode == 1


def archive(name: str) -> bytes:
    """A domain of M2D2 as it is published."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for number, split in enumerate(("train", "valid", "test")):
            text = "".join(f"{split} line {number} {line}\n" for line in range(400)).encode()
            info = tarfile.TarInfo(f"{name}/{split}.txt")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return packed.getvalue()


def test_a_domain_of_m2d2_is_confirmed_before_anything_is_downloaded(hub: Hub, config: Path) -> None:
    hub.repositories["machelreid/m2d2"] = {"data/cs.CL.tar.gz": archive("cs.CL")}
    domain = "corpora.poems.source"
    absent = fetch(hub, config, "--set", f"{domain}=m2d2:cs.QQ")
    assert absent.returncode == 1
    assert absent.stderr.count("error:") == 1
    said = " ".join(absent.stderr.split())
    assert "M2D2 has no domain 'cs.QQ': there is no data/cs.QQ.tar.gz in machelreid/m2d2" in said
    assert "cs has AI, AR, CC, CE, CG, CL," in said
    assert not list(config.parent.glob("hf/**/model.safetensors"))
    there = fetch(hub, config, "--json", "--set", f"{domain}=m2d2:cs.CL")
    assert there.returncode == 0, there.stderr
    assert [(item["state"], item["name"]) for item in json.loads(there.stdout)][1] == ("fetched", "poems")


def test_a_domain_that_a_revision_of_m2d2_does_not_have_is_named_where_it_is_read(hub: Hub, config: Path) -> None:
    """Without ``odyssey fetch`` first: the preparation meets it."""
    hub.repositories["machelreid/m2d2"] = {"data/cs.CL.tar.gz": archive("cs.CL")}
    code = (
        "from engine.data.reading import read_corpus; from engine.spec.run import Corpus; from store.errors import *\n"
        "try: read_corpus(Corpus(name='c', source='m2d2:math.XX'))\n"
        "except DataError as error: print(error.message, error.hint, sep='\\n')"
    )
    home = {"HF_HOME": str(config.parent / "hf"), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    ended = subprocess.run(
        (sys.executable, "-c", code), env={**kept, **home}, capture_output=True, text=True, check=False
    )
    assert ended.stdout.splitlines() == [
        "corpus 'c': M2D2 has no domain 'math.XX': there is no data/math.XX.tar.gz in machelreid/m2d2",
        "math has AC, AG, AP, AT, CA, CO, CT, CV, DG, DS, FA, GM, GN, GR, GT, HO, IT, KT, LO, MG, MP, NA, NT, OA, OC, "
        "PR, QA, RA, RT, SG, SP, ST.",
    ], ended.stderr
