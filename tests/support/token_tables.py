"""Small per-token tables, as ``odyssey evaluate --per-token`` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = ("\\n", " the", "wine", ",", "7", "عربي", "\\x1b[2J")
CLASSES = ("newline", "function", "word", "punctuation", "digits", "word", "word")
SCHEME = {"kind": "blocks", "window": 16, "stride": None, "bos": False, "precision": "fp32"}


@dataclass(frozen=True)
class Written:
    """Tokens of a text, two sets of losses; NaN where nothing was predicted."""

    token_id: np.ndarray
    document: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def there(self) -> np.ndarray:
        return ~np.isnan(self.before)

    def table(self, losses: np.ndarray) -> pa.Table:
        starts = np.flatnonzero(np.diff(self.document, prepend=-1))
        sizes = np.diff(np.append(starts, len(self.document)))
        position = np.arange(len(self.document)) - np.repeat(starts, sizes)
        return pa.table(
            {
                "document": pa.array(self.document, pa.int32()),
                "byte_start": pa.array(position * 3, pa.int64()),
                "byte_end": pa.array(position * 3 + 3, pa.int64()),
                "position": pa.array(position, pa.int64()),
                "token_id": pa.array(self.token_id, pa.int32()),
                "token": pa.array([TEXTS[token] for token in self.token_id]),
                "loss": pa.array(losses, pa.float32(), from_pandas=True),
            }
        )


def make_text(n: int = 400, seed: int = 0) -> Written:
    """``n`` tokens in documents of about 40; the first of every 16 is not predicted."""
    rng = np.random.default_rng(seed)
    document = np.cumsum(rng.random(n) < 1 / 40)
    before, after = (rng.gamma(2, 1, n).astype(np.float32) for _ in range(2))
    for losses in (before, after):
        losses[::16] = np.nan
    return Written(rng.integers(0, len(TEXTS), n), document - document[0], before, after)


def write_table(path: Path, table: pa.Table, facts: Mapping[str, Any] | None = None) -> Path:
    """As Parquet, with what ``evaluate`` records of it."""
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table, row_group_size=150)
        if facts is not None:
            writer.add_key_value_metadata({"odyssey": json.dumps(dict(facts))})
    return path


def write_pair(
    folder: Path, text: Written, *, streams: Sequence[int] | None = None, after: Mapping[str, Any] | None = None
) -> tuple[str, str]:
    """Both tables; with facts where ``streams`` are given, those of the second changed by ``after``."""
    names = []
    for name, losses in (("before", text.before), ("after", text.after)):
        facts = None
        if streams is not None:
            facts = {"model": f"model-{name}", "tokenizer_id": "t", "scheme": SCHEME, "streams": list(streams)}
            facts |= dict(after or {}) if name == "after" else {}
        names.append(str(write_table(folder / f"{name}.parquet", text.table(losses), facts)))
    return names[0], names[1]
