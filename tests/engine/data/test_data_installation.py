"""Corpora every Python installation carries."""

from __future__ import annotations

import ast
import re

import pytest

from engine.data.reading import read_corpus
from engine.data.sources.extract import docstrings, without_docstrings
from engine.data.sources.installation import GENERATED, PARTS
from engine.data.sources.installed import installed_files
from engine.spec.run import Corpus
from store.errors import ConfigError

LARGE = [part for part in (*PARTS, *GENERATED) if part != "licences"]
MODULE = '''"""A module that explains itself at some length, so that its docstring counts as prose and not as
a mere label for what follows below."""

import os


class Thing:
    """Short."""

    def act(self) -> str:
        """Explain what acting means here, in indented lines
        that a reader wants dedented:

            example()   # kept as it stands, and long enough altogether to be taken as prose
        """
        return "text"
'''


@pytest.mark.parametrize("part", LARGE)
def test_each_part_is_large_and_spread_over_many_groups(part: str) -> None:
    read = read_corpus(Corpus(name=part, source=f"installation:{part}", max_bytes=600_000))
    sizes: dict[str, int] = {}
    for document in read.documents:
        sizes[document.group] = sizes.get(document.group, 0) + document.n_bytes
    assert 300_000 <= sum(sizes.values()) <= 600_000
    assert len(sizes) >= 8
    assert max(sizes.values()) <= 600_000 / 8
    assert all(document.n_bytes <= 140_000 for document in read.documents)


def test_licences_are_there_and_repeat_no_paragraph() -> None:
    read = read_corpus(Corpus(name="licences", source="installation:licences"))
    paragraphs = [
        " ".join(re.findall("[a-z]+", paragraph.lower()))
        for document in read.documents
        for paragraph in document.text.split("\n\n")
    ]
    paragraphs = [paragraph for paragraph in paragraphs if paragraph]
    assert sum(document.n_bytes for document in read.documents) > 50_000
    assert len(paragraphs) - len(set(paragraphs)) <= len(paragraphs) // 200


def test_reading_twice_gives_the_same_and_less_is_a_prefix_of_more() -> None:
    first, again, more = (
        [d.doc_id for d in read_corpus(Corpus(name="c", source="installation:headers", max_bytes=n)).documents]
        for n in (400_000, 400_000, 800_000)
    )
    assert first == again
    assert first[:10] == more[:10]


def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no part 'licenses'") as error:
        read_corpus(Corpus(name="c", source="installation:licenses"))
    assert "'licences'" in error.value.hint
    assert "unicode" in error.value.hint


def test_the_projects_own_packages_are_left_out() -> None:
    own = [
        file.relative
        for file in installed_files()
        if file.root == "site" and re.match("odyssey|engine/", file.relative)
    ]
    assert own == []


def test_docstrings_are_dedented_and_long_enough() -> None:
    text = docstrings(MODULE)
    assert text.startswith("A module that explains itself")
    assert "\nthat a reader wants dedented:\n\n    example()" in text
    assert "Short." not in text


def test_code_without_docstrings_keeps_everything_else() -> None:
    text = without_docstrings(MODULE)
    assert "explain" not in text.lower()
    assert 'return "text"' in text
    nested = "if a:\n    def f():\n        'doc'\n        return 1\nelse:\n    class C:\n        'doc'\n        y = 2\n"
    assert "doc" not in without_docstrings(nested)
    assert without_docstrings("x = 1\n") == "x = 1\n"
    assert without_docstrings("not python (") == "not python ("
    assert without_docstrings("def f():\n    'doc'\n    return 1\n") == "def f():\n    return 1\n"
    ast.parse(without_docstrings(MODULE))
