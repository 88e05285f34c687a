"""Hugging Face datasets: by hub id, or a folder on disk in hub layout or written by ``save_to_disk``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.data.sources.base import Objection, RawDocument, ReadLog, Source, Split
from engine.data.sources.records import RecordReader
from engine.hub import explain_hub
from engine.spec.run import Corpus
from store.errors import DataError

HELD_OUT: dict[str, Split] = {"test": "test", "validation": "valid", "valid": "valid", "dev": "valid"}


def objection(name: str) -> Objection | None:
    """What is wrong with ``name`` as a dataset, as far as can be said without asking the hub."""
    return None if name.strip() else Objection("no dataset is named", "Write hf:OWNER/DATASET, or hf:FOLDER.")


def open_source(corpus: Corpus, name: str, log: ReadLog) -> Source:
    """Open dataset ``name``, streaming, so that ``max_bytes`` also bounds what is downloaded.

    With ``hub_split`` that split alone is read and split anew; without it a dataset that has test or validation splits
    keeps them, and one that has a single split is split anew. Rows keep the dataset's order.
    Raises DataError, with what to do, when the dataset cannot be loaded or has no such split.
    """
    reader = RecordReader(corpus, log)
    revision = f"@{corpus.revision}" if corpus.revision else ""
    origin = str(Path(name).resolve()) if Path(name).is_dir() else f"hf:{name}{revision}"
    return Source(_documents(corpus, name, reader), origin, stops_early=True)


def _documents(corpus: Corpus, name: str, reader: RecordReader) -> Iterator[RawDocument]:
    for hub_split, split, rows in _splits(corpus, name):
        place = f"{name}/{hub_split}"
        size = 0
        for number, row in enumerate(_guard(rows, corpus, name)):
            row_place = f"{place}[{number}]"
            document = reader.document(row, place=row_place, group=place, doc_id=f"{hub_split}:{number}", split=split)
            if document is None:
                continue
            size += len(document.text.encode("utf-8", "surrogatepass"))
            if split is not None and corpus.max_bytes is not None and size > corpus.max_bytes:
                break
            yield document
    if reader.refused():
        reader.log.note(reader.refused())


def _splits(corpus: Corpus, name: str) -> list[tuple[str, Split | None, Iterable[Mapping[str, Any]]]]:
    loaded = _load(corpus, name)
    if not isinstance(loaded, dict):
        return [(corpus.hub_split or "all", None, loaded)]
    if corpus.hub_split is not None:
        if corpus.hub_split not in loaded:
            raise DataError(
                f"corpus '{corpus.name}': dataset '{name}' has no split '{corpus.hub_split}'",
                f"Its splits: {', '.join(loaded)}.",
            )
        return [(corpus.hub_split, None, loaded[corpus.hub_split])]
    held_out = [hub_split for hub_split in loaded if hub_split in HELD_OUT]
    if "train" not in loaded or not held_out:
        return [(hub_split, None, rows) for hub_split, rows in loaded.items()]
    # Held-out splits first, so that training text equal to a held-out one is what gets dropped.
    ordered = sorted(held_out, key=lambda hub_split: HELD_OUT[hub_split])
    return [(hub_split, HELD_OUT[hub_split], loaded[hub_split]) for hub_split in ordered] + [
        ("train", "train", loaded["train"])
    ]


def _load(corpus: Corpus, name: str) -> Any:
    import datasets

    folder = Path(name)
    saved = any((folder / marker).is_file() for marker in ("dataset_dict.json", "state.json"))
    progress = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if saved:
            return datasets.load_from_disk(name)
        return datasets.load_dataset(name, corpus.config, revision=corpus.revision, streaming=True)
    except Exception as error:  # the libraries below raise some twenty unrelated types
        raise _failed(corpus, name, error) from error
    finally:
        if not progress:
            datasets.enable_progress_bars()


def _guard(rows: Iterable[Mapping[str, Any]], corpus: Corpus, name: str) -> Iterator[Mapping[str, Any]]:
    """The rows, with failures of the connection or of the files turned into the one message."""
    iterator = iter(rows)
    while True:
        try:
            row = next(iterator)
        except StopIteration:
            return
        except Exception as error:
            raise _failed(corpus, name, error) from error
        yield row


def _failed(corpus: Corpus, name: str, error: Exception) -> DataError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if (known := explain_hub(error, f"datasets/{name}")) is not None:
        return DataError(f"corpus '{corpus.name}': cannot load dataset {name}: {known[0]}", known[1])
    return DataError(
        f"corpus '{corpus.name}': dataset '{name}' could not be loaded: {reason}",
        "Check its id, `config` and `revision`, and the connection; or download it where there is one and give the "
        "folder (hf:FOLDER), or its .jsonl or .parquet files as a path. Gated datasets need `hf auth login`.",
    )
