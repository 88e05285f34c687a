"""One pair of evaluations in a workspace and in two Parquet files: ``python -m bench.tokening.prepare SETTING``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.storing.generate import SCHEME, plan_rounds, write_round, write_texts
from bench.storing.setting import CLASSES, DOCUMENT_TOKENS, VOCABULARY, Setting
from engine.evaluate.token_table import FACTS, ROWS, schema
from store.ingest import ingest
from store.workspace import Workspace

WORDS = {"word": "word{}", "function": "the", "punctuation": ".", "digits": "{}", "newline": "\\n", "whitespace": " "}
"""A text of each class; ``other`` is a piece of a character."""


def main() -> None:
    setting = Setting.read(sys.argv[1])
    workspace = Workspace.create(Path(setting.root) / "workspace")
    write_texts(setting, workspace)
    for number in range(len(plan_rounds(setting))):
        write_round(setting, workspace, number)
    ingest(workspace)
    for place, name in enumerate(setting.texts[0].evaluations):
        write_file(setting, place, Path(setting.root) / f"{name}.parquet")


def write_file(setting: Setting, evaluation: int, path: Path) -> None:
    """The losses of one evaluation as ``odyssey evaluate --per-token`` writes them."""
    text = setting.texts[0]
    words = pa.array([WORDS.get(CLASSES[n % len(CLASSES)], "\\xe2").format(n) for n in range(VOCABULARY)])
    with pq.ParquetWriter(path, schema(), compression="zstd") as writer:
        done = 0
        for chunk in range(text.chunks):
            ids, documents = text.tokens(chunk)
            losses = text.losses(evaluation, chunk, text.base(chunk, ids))
            for first in range(0, len(ids), ROWS):
                rows = slice(first, first + ROWS)
                position = (np.arange(len(ids[rows])) + done + first) % DOCUMENT_TOKENS
                columns = {
                    "document": documents[rows],
                    "byte_start": position * 4,
                    "byte_end": position * 4 + 4,
                    "position": position,
                    "token_id": ids[rows],
                    "token": words.take(pa.array(ids[rows])),
                    "loss": pa.array(losses[rows], mask=np.isnan(losses[rows])),
                }
                writer.write_table(pa.table(columns).cast(schema()))
            done += len(ids)
        facts = {"model": path.stem, "tokenizer_id": "t", "scheme": SCHEME, "streams": [done]}
        writer.add_key_value_metadata({FACTS: json.dumps(facts)})


if __name__ == "__main__":
    main()
