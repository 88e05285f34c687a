"""Hugging Face datasets on disk, and what is said when one cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import huggingface_hub.constants
import pytest

from engine.data.corpus import snapshot
from engine.data.reading import read_corpus
from engine.spec.run import Corpus
from store.errors import DataError
from store.workspace import Workspace

ROWS = {"text": [f"text {n}\nsecond line\n" for n in range(20)], "topic": [f"t{n % 4}" for n in range(20)]}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_a_dataset_written_by_save_to_disk(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    read = read_corpus(Corpus(name="c", source=f"hf:{tmp_path}/saved", group_field="topic"))
    assert [document.text for document in read.documents] == ROWS["text"]
    assert {document.group for document in read.documents} == {"t0", "t1", "t2", "t3"}
    assert read.documents[0].split is None


def test_a_dataset_with_splits_keeps_them(tmp_path: Path, workspace: Workspace) -> None:
    train = {"text": [*ROWS["text"], "held out\n", "train only\n", "train  only\n"]}
    splits = {"train": train, "validation": {"text": ["valid\n"]}, "test": {"text": ["held out\n", "held out\n"]}}
    datasets.DatasetDict({name: datasets.Dataset.from_dict(rows) for name, rows in splits.items()}).save_to_disk(
        tmp_path / "saved"
    )
    taken = snapshot(Corpus(name="c", source=f"hf:{tmp_path}/saved"), workspace)
    held = {split: [document.text for document in taken.documents(split)] for split in ("train", "valid", "test")}
    assert held["test"] == ["held out\n", "held out\n"]
    assert held["valid"] == ["valid\n"]
    assert held["train"] == [*ROWS["text"], "train only\n"]
    assert taken.manifest["duplicates"] == 2


def test_one_split_of_a_dataset_is_split_anew(tmp_path: Path, workspace: Workspace) -> None:
    both = {"train": datasets.Dataset.from_dict(ROWS), "test": datasets.Dataset.from_dict({"text": ["x"]})}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "saved")
    corpus = Corpus(name="c", source=f"hf:{tmp_path}/saved", hub_split="train", test_share=0.2)
    taken = snapshot(corpus, workspace)
    assert taken.manifest["n_documents"] == 20
    assert 2 <= taken.manifest["documents"]["test"] <= 6
    with pytest.raises(DataError, match="no split 'dev'") as error:
        read_corpus(corpus.model_copy(update={"hub_split": "dev"}))
    assert "train, test" in error.value.hint


def test_a_folder_in_hub_layout(tmp_path: Path) -> None:
    folder = tmp_path / "layout" / "data"
    folder.mkdir(parents=True)
    for split, texts in (("train", ROWS["text"]), ("test", ["held out\n"])):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{split}-00000.jsonl").write_text(lines)
    read = read_corpus(Corpus(name="c", source=f"hf:{tmp_path}/layout"))
    assert [document.split for document in read.documents] == ["test"] + ["train"] * 20


def test_max_bytes_stops_the_stream(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    read = read_corpus(Corpus(name="c", source=f"hf:{tmp_path}/saved", max_bytes=50))
    assert [document.text for document in read.documents] == [*ROWS["text"][:2], "text 2\n"]


def test_a_missing_field_names_the_nearest(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="no field 'txt'") as error:
        read_corpus(Corpus(name="c", source=f"hf:{tmp_path}/saved", text_field="txt"))
    assert "'text'" in error.value.hint


def test_offline_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"no-such-owner/no-such-dataset: .*offline mode is on") as error:
        read_corpus(Corpus(name="c", source="hf:no-such-owner/no-such-dataset"))
    assert "HF_HUB_OFFLINE" in error.value.hint
