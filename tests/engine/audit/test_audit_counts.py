"""What is counted, on texts small enough to count by hand, and against plain Python on larger ones."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from engine.audit import shingles
from engine.audit.characters import CharacterCounter
from engine.audit.lines import LineCounter
from engine.audit.pieces import count_pieces, split_pieces
from engine.audit.scan import Scan
from engine.audit.shingles import Wanted, hash_shingles, hash_words, minima, normalise, repeats
from engine.audit.tokens import TokenCounts
from engine.data.token_classes import classify
from tests.support.audit_texts import make_documents, wrap


def test_pieces_join_to_the_text_and_have_the_expected_classes() -> None:
    text = "It's 12 ships — the sails.\n\n  Là-bas  x_1\t\n"
    pieces = split_pieces(text)
    assert "".join(pieces) == text
    found = [(piece, classify(piece.encode())) for piece in pieces]
    assert found == [
        *(("It's", "word"), (" 12", "digits"), (" ships", "word"), (" —", "punctuation"), (" the", "function")),
        *((" sails", "word"), (".", "punctuation"), ("\n\n  ", "newline"), ("Là", "word"), ("-", "punctuation")),
        *(("bas", "word"), (" ", "whitespace"), (" x", "word"), ("_", "punctuation"), ("1", "digits")),
        ("\t\n", "newline"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_pieces_of_anything_join_to_it(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choices(" \n\t\r\0abcé—.1_\ufffd\U0001f6a2\u0301", k=2000))
    assert "".join(split_pieces(text)) == text


def test_characters() -> None:
    counter = CharacterCounter()
    counter.add("caf\u00e9 cafe\u0301 \ufffd\0\x08\x85\r\n\u00ad\ue000\ufeff")
    counter.add("Ελλάς и CafÃ© â€™ à\xa0« il »")
    found = counter.result()
    assert found.scripts == {"LATIN": 16, "GREEK": 5, "CYRILLIC": 1}
    assert (found.newlines, found.carriage_returns, found.replacement, found.byte_order_marks) == (1, 1, 1, 1)
    assert (found.nuls, found.controls, found.invisible, found.private) == (1, 2, 1, 1)
    assert (found.decomposed, found.composed) == (1, 5)
    assert found.mojibake == 2
    assert counter.examples == Counter({"Ã©": 1, "â€™": 1})


def test_lines() -> None:
    counter = LineCounter()
    for text in ("One line\r\n  two,\nthree \n\nEnd.Next\rend", "\n", ""):
        counter.add(text, np.array([ord(character) for character in text], np.uint32))
    found = counter.result()
    assert (found.ends, found.crlf, found.lone_cr, found.blank) == (5, 1, 1, 2)
    assert (found.indented, found.trailing, found.within, found.glued) == (1, 1, 1, 1)
    assert found.median_length == np.median([8, 6, 6, 12])


def test_layouts() -> None:
    documents = make_documents(3, 10)
    texts = {
        "paragraphs": documents,
        "wrapped": [wrap(text) for text in documents],
        "none": [" ".join(text.split()) for text in documents],
        "lines": [text.replace(". ", ".\n") for text in documents],
    }
    for layout, written in texts.items():
        facts = Scan().add_all(written).facts()
        assert facts.lines.layout(facts.characters.n) == layout


def test_words_have_one_hash_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [normalise(text) for text in make_documents(4, 8)]
    whole, document = hash_words(texts)
    by_word: dict[str, set[int]] = {}
    words = [word for text in texts for word in text.split()]
    assert len(words) == len(whole) == len(document)
    for word, value in zip(words, whole.tolist(), strict=True):
        by_word.setdefault(word, set()).add(value)
    assert all(len(values) == 1 for values in by_word.values())
    assert len({value for values in by_word.values() for value in values}) == len(by_word)
    monkeypatch.setattr(shingles, "PIECE_BYTES", 100)
    assert np.array_equal(hash_words(texts)[0], whole)


def test_shingles_are_those_of_plain_python() -> None:
    texts = [normalise(text) for text in make_documents(5, 6, 2)]
    hashes, document = hash_shingles(*hash_words(texts))
    plain = [
        (number, tuple(words[start : start + 8]))
        for number, words in enumerate(text.split() for text in texts)
        for start in range(len(words) - 7)
    ]
    assert document.tolist() == [number for number, _ in plain]
    assert len(set(hashes.tolist())) == len({shingle for _, shingle in plain})
    wanted = Wanted(hashes)
    wanted.look_through(hash_shingles(*hash_words([texts[2]]))[0])
    looked = {shingle for number, shingle in plain if number == 2}
    assert wanted.seen.tolist() == [shingle in looked for _, shingle in plain]


def test_normalising() -> None:
    assert normalise("  The «Ship»,\n\tit_SAILED: cafe\u0301 42 ") == "the ship it sailed café 42"
    assert normalise("船は 島へ") == "船 は 島 へ"
    assert len(hash_words([normalise("船は島へ")])[0]) == 4
    assert [len(part) for part in hash_words(["", ""])] == [0, 0]


def test_near_duplicates_are_those_of_a_high_similarity() -> None:
    rng = random.Random(1)
    words = [f"w{number}" for number in range(5000)]

    def variant(base: list[str], share: float) -> str:
        """Other words from some point on, so that about ``share`` of all 8-grams stays."""
        kept = round(len(base) * 2 * share / (1 + share))
        return " ".join(base[:kept] + rng.choices(words, k=len(base) - kept))

    bases = [rng.choices(words, k=600) for _ in range(20)]
    near = [variant(base, 0.95) for base in bases]
    far = [variant(base, 0.5) for base in bases]
    hashes, document = hash_shingles(*hash_words([*map(" ".join, bases), *near, *far]))
    begins = np.flatnonzero(np.concatenate([[True], document[1:] != document[:-1]]))
    found = repeats(minima(hashes, begins))
    assert found.tolist() == [False] * 20 + [True] * 20 + [False] * 20


def test_excess_is_what_a_unigram_model_loses() -> None:
    counts = TokenCounts.of_pieces(Counter(a=50, b=50), Counter(a=10, b=10, c=20))
    p, q = 0.5 / 101.5, 20.5 / 41.5
    first = counts.type_rows()[0]
    assert (first.text, first.train, first.evaluation) == ("c", 0, 20)
    assert first.excess == pytest.approx(q * np.log(q / p))
    assert [row.text for row in counts.type_rows(1)] == ["c", "a"]
    assert all(row.excess < 0 for row in counts.type_rows()[1:])
    assert count_pieces([]) == Counter()
