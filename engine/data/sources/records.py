"""Records (JSON objects, Parquet rows, dataset rows) to documents: fields, filters and their error messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.data.sources.base import RawDocument, ReadLog, Split, did_you_mean
from engine.spec.run import Corpus
from store.errors import DataError

ID_FIELDS = ("id", "doc_id", "_id")


@dataclass
class RecordReader:
    """Takes text, group and filters out of records as the corpus asks, and remembers what its filters refused."""

    corpus: Corpus
    log: ReadLog
    _values: dict[str, set[str]] = field(default_factory=dict)

    @property
    def fields(self) -> list[str]:
        """The fields a record must have."""
        wanted = [self.corpus.text_field, *self.corpus.where]
        return wanted if self.corpus.group_field is None else [*wanted, self.corpus.group_field]

    def check_fields(self, present: list[str], place: str) -> None:
        """Raise DataError, naming place and nearest field, when a wanted field is not among ``present``."""
        for name in self.fields:
            if name not in present:
                hint = did_you_mean(name, present)
                raise DataError(
                    f"corpus '{self.corpus.name}': {place} has no field '{name}'",
                    f"{hint} Its fields: {', '.join(present) or 'none'}.".strip(),
                )

    def document(
        self, record: Mapping[str, Any], *, place: str, group: str, doc_id: str, split: Split | None = None
    ) -> RawDocument | None:
        """The document of one record, or None when a filter or an empty text leaves it out.

        ``group`` and ``doc_id`` are used where the record has none. Raises DataError for a missing field or a text
        that is no text.
        """
        self.check_fields(list(record), place)
        if not self._passes(record):
            return None
        text = record[self.corpus.text_field]
        if text is None:
            self.log.skip("null text", place)
            return None
        if not isinstance(text, str):
            raise DataError(
                f"corpus '{self.corpus.name}': {place}: field '{self.corpus.text_field}' is "
                f"{type(text).__name__}, not text",
                "Choose the field that holds the text with `text_field`.",
            )
        if self.corpus.group_field is not None:
            group = _plain(record[self.corpus.group_field])
        own_id = next((record[name] for name in ID_FIELDS if isinstance(record.get(name), str | int)), None)
        return RawDocument(doc_id if own_id is None else str(own_id), group, text, place, split)

    def refused(self) -> str:
        """Which values the filtered fields had, for the message about an empty corpus; empty without filters."""
        return "; ".join(
            f"`where` keeps {name} = {wanted!r}, the records have {', '.join(sorted(self._values[name])[:8])}"
            for name, wanted in self.corpus.where.items()
            if name in self._values
        )

    def _passes(self, record: Mapping[str, Any]) -> bool:
        for name, wanted in self.corpus.where.items():
            value = _plain(record[name])
            seen = self._values.setdefault(name, set())
            if len(seen) < 64:
                seen.add(value)
            if value != wanted:
                return False
        return True


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
