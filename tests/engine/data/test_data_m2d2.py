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
from engine.data.sources.m2d2_names import KNOWN, S2ORC_EXAMPLES, is_domain
from engine.data.tokenizer import load_tokenizer
from engine.data.tokens import token_stream
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
    assert len(KNOWN) == 11 + 38 + 13
    assert all(map(is_domain, (*KNOWN, *S2ORC_EXAMPLES, "math.AT", "quant-ph", "cond-mat.mes-hall", "physics.ao-ph")))
    for wrong in ("Human_activities", "General_reference", "cs", "biology.AB", "Logic"):
        assert not is_domain(wrong)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("Human_activities", "Human_activites"),
        ("General_reference", "General_referece"),
        ("Visual_arts", "Culture_and_the_arts__Visual_arts"),
        ("cs_CL", "cs.CL"),
    ],
)
def test_a_wrong_name_is_met_with_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"no domain '{wrong}'") as error:
        read_corpus(Corpus(name="c", source=f"m2d2:{wrong}"))
    assert hint in error.value.hint


def test_an_archive_that_cannot_be_had_or_read(hub: Path) -> None:
    with pytest.raises(DataError, match=r"data/cs\.LG\.tar\.gz could not be downloaded") as error:
        read_corpus(Corpus(name="c", source="m2d2:cs.LG"))
    assert "machelreid/m2d2" in error.value.hint
    (hub / "cs.CV.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match="cannot read"):
        read_corpus(Corpus(name="c", source="m2d2:cs.CV"))
    pack(hub / "cs.AI.tar.gz", {"cs.AI/train.txt": "x\n"})
    with pytest.raises(DataError, match=r"has no cs\.AI/test\.txt"):
        read_corpus(Corpus(name="c", source="m2d2:cs.AI"))
