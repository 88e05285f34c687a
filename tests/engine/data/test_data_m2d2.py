"""M2D2 domains, read from an archive in the hub's cache."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from engine.data.corpus import snapshot
from engine.data.reading import read_corpus
from engine.data.sources.m2d2 import caution
from engine.data.sources.m2d2_names import KNOWN, NO_DOMAINS, S2ORC_L1, WIKI, WIKI_L2, is_domain
from engine.data.tokenizer import load_tokenizer
from engine.data.tokens import token_stream
from engine.spec.check import cautions
from engine.spec.load import parse_experiment
from engine.spec.run import Corpus, Tokenizer
from store.errors import ConfigError, DataError
from store.workspace import Workspace

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the dataset in an offline hub cache."""
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = cache / "datasets--machelreid--m2d2"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    data = repository / "snapshots" / COMMIT / "data"
    data.mkdir(parents=True)
    return data


def pack(archive: Path, members: dict[str, str]) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def test_the_datasets_own_splits_and_newlines_are_kept(
    hub: Path, workspace: Workspace, prose: Callable[[int, int], str]
) -> None:
    files = {"train": prose(1, 9000), "valid": prose(2, 100), "test": prose(3, 6000)}
    pack(hub / "cs.CL.tar.gz", {f"cs.CL/{split}.txt": text for split, text in files.items()})
    taken = snapshot(Corpus(name="c", source="m2d2:cs.CL"), workspace)
    for split, text in files.items():
        assert "".join(document.text for document in taken.documents(split)) == text
    assert taken.manifest["documents"]["test"] > 1
    assert taken.joined


def test_a_joined_corpus_has_no_separators(hub: Path, workspace: Workspace, prose: Callable[[int, int], str]) -> None:
    text = prose(1, 20_000)
    pack(hub / "Art.tar.gz", {f"Art/{split}.txt": text for split in ("train", "valid", "test")})
    corpus = Corpus(name="c", source="m2d2:Art")
    tokenizer = load_tokenizer(Tokenizer(train_on=(corpus,), vocab_size=300), workspace)
    stream = token_stream(corpus, "test", tokenizer, workspace)
    newline = token_stream(corpus, "test", tokenizer, workspace, "newline")
    assert np.array_equal(newline.tokens, stream.tokens)
    assert len(list((workspace.cache / "tokens").iterdir())) == 1
    assert tokenizer.eos_id not in stream.tokens
    assert len(stream.document_offsets) > 2
    assert b"".join(tokenizer.token_bytes[token] for token in stream.tokens).decode() == text


def test_max_bytes_limits_each_split_at_a_line_end(hub: Path, prose: Callable[[int, int], str]) -> None:
    text = prose(1, 2000)
    pack(hub / "Logic.tar.gz", {})
    pack(
        hub / "Mathematics_and_logic__Logic.tar.gz",
        {f"./Mathematics_and_logic__Logic/{split}.txt": split + text for split in ("train", "valid", "test")},
    )
    read = read_corpus(Corpus(name="c", source="m2d2:Mathematics_and_logic__Logic", max_bytes=3000))
    for split in ("train", "valid", "test"):
        held = "".join(document.text for document in read.documents if document.split == split)
        assert 2800 < len(held.encode()) <= 3000
        assert (split + text).startswith(held)
        assert held.endswith("\n")


def test_names_are_those_of_the_published_files() -> None:
    assert (len(WIKI_L2), len(WIKI) - len(WIKI_L2), len(S2ORC_L1)) == (11, 38, 13)
    assert len(set(KNOWN)) == len(KNOWN) == 239 - len(NO_DOMAINS)
    assert {"General_referece", "Human_activites", "Human_activites__Human_activities"} < set(KNOWN)
    # Of the stand-in for the study's twenty domains, and archives that arXiv has closed.
    assert {"cs.CL", "astro-ph.GA", "cond-mat.str-el", "physics.optics", "hep-th", "cmp-lg", "q-bio"} < set(KNOWN)
    assert all(map(is_domain, KNOWN))
    for wrong in ("Human_activities", "General_reference", "cs", "biology.AB", "Logic", "stat.ml", "physics.AO"):
        assert not is_domain(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("Human_activities", "Nearest: Human_activites__Human_activities, Human_activites."),
        ("General_reference", "Nearest: General_referece, "),
        ("General_reference__Reference_works", "Nearest: General_referece__Reference_works, "),
        ("Visual_arts", "Nearest: Culture_and_the_arts__Visual_arts."),
        ("logic", "Nearest: Mathematics_and_logic__Logic."),
        ("cs_CL", "Nearest: cs.CL, "),
        ("cs", "Nearest: cs_l1."),
        ("stat.ml", "Nearest: stat.ML, "),
        ("hepth", "Nearest: hep-th, "),
        ("dox", "Names are those of the published files"),
        ("eval_sets", "Names are those of the published files"),
    ],
)
def test_a_wrong_name_is_met_with_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"no domain '{wrong}'|'{wrong}' is no domain") as error:
        read_corpus(Corpus(name="c", source=f"m2d2:{wrong}"))
    assert error.value.hint.startswith(hint)


def test_a_wrong_name_in_an_experiment_has_its_file_line_and_key(tmp_path: Path) -> None:
    text = (
        "name: voyage\ncorpora:\n  a: {source: 'm2d2:Human_activities'}\n  b: {source: 'm2d2:only_text'}\n"
        "base: {model: gpt2, corpora: a}\n"
    )
    with pytest.raises(ConfigError) as error:
        parse_experiment(text, file="voyage.yaml", folder=tmp_path)
    first, second = error.value.message.splitlines()
    assert first.startswith("voyage.yaml:3: corpora.a.source = m2d2:Human_activities: M2D2 has no domain")
    assert "Nearest: Human_activites__Human_activities, Human_activites." in first
    assert second.startswith("voyage.yaml:4: corpora.b.source = m2d2:only_text: 'only_text' is no domain of M2D2")


def test_a_name_that_only_a_download_confirms_is_said_to_be_one(tmp_path: Path) -> None:
    text = "name: voyage\ncorpora: {a: {source: 'm2d2:cs.QQ'}, b: {source: 'm2d2:cs.CL'}}\nbase: {model: gpt2}\n"
    (said,) = (one for one in cautions(parse_experiment(text, file="v.yaml", folder=tmp_path)) if "corpora" in one)
    assert said.startswith("corpora.a: 'cs.QQ' is not among M2D2's published names")
    assert "confirmed at download. cs has AI, AR, " in said
    assert [caution(name) for name in (*KNOWN, "no domain at all")] == [None] * (len(KNOWN) + 1)


def test_an_archive_that_cannot_be_had_or_read(hub: Path) -> None:
    missing = r"data/cs\.LG\.tar\.gz could not be downloaded: it is not in the local cache"
    with pytest.raises(DataError, match=missing) as error:
        read_corpus(Corpus(name="c", source="m2d2:cs.LG"))
    assert "machelreid/m2d2" in error.value.hint
    (hub / "cs.CV.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="cannot read"):
        read_corpus(Corpus(name="c", source="m2d2:cs.CV"))
    pack(hub / "cs.AI.tar.gz", {"cs.AI/train.txt": "x\n"})
    with pytest.raises(DataError, match=r"has no cs\.AI/test\.txt"):
        read_corpus(Corpus(name="c", source="m2d2:cs.AI"))
