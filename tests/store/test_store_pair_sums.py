"""What one scan gathers, against plain loops over the same tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from store.pair_sums import (
    PASSAGE_TOKENS,
    ClassSums,
    DocumentSums,
    PassageSums,
    Piece,
    PositionSums,
    TypeSums,
    choose,
    scan,
)

N, TYPES, CLASSES = 1_000, 30, 4
CLASS_OF = np.arange(TYPES) % CLASSES


@pytest.fixture(scope="module")
def text() -> Piece:
    """A text of a thousand tokens, of which some are not predicted."""
    rng = np.random.default_rng(3)
    place = np.flatnonzero(rng.random(N) < 0.9)
    document = np.sort(rng.integers(0, 12, N))[place]
    before, after = (rng.gamma(2, 1, len(place)).astype(np.float32) for _ in range(2))
    return Piece(place, rng.integers(0, TYPES, len(place)), document, before, after)


def pieces(text: Piece) -> Iterator[Piece]:
    """The text cut between passages, the last piece first: a scan may come in any order. One piece is empty."""
    for low, high in ((640, N), (320, 640), (N, N), (0, 320)):
        rows = np.flatnonzero((text.place >= low) & (text.place < high))
        yield Piece(*(column[rows] for column in (text.place, text.token_id, text.document, text.before, text.after)))


def loop(text: Piece, key: object, chosen: set[int] | None = None) -> dict[object, tuple[int, float, float]]:
    """Count and sums by ``key(place, token, document)``, token by token."""
    found: dict[object, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    columns = (text.place, text.token_id, text.document, text.before, text.after)
    for place, token, document, before, after in zip(*(column.tolist() for column in columns), strict=True):
        if chosen is None or token in chosen:
            own = found[key(place, token, document)]
            own[0], own[1], own[2] = own[0] + 1, own[1] + before, own[2] + after
    return {name: tuple(values) for name, values in found.items()}


def as_dict(columns: dict[str, np.ndarray], key: str) -> dict[int, tuple[int, float, float]]:
    values = (columns[name].tolist() for name in ("count", "sum_before", "sum_after"))
    return dict(zip(columns[key].tolist(), zip(*values, strict=True), strict=True))


def same(found: dict, expected: dict) -> bool:
    assert found.keys() == expected.keys()
    return all(found[name] == pytest.approx(expected[name], rel=1e-12) for name in expected)


def test_types_and_documents(text: Piece) -> None:
    types, documents, masked = TypeSums(), DocumentSums(), DocumentSums(choose({3, 7}))
    scan(pieces(text), types, documents, masked)
    assert same(as_dict(types.columns(), "token_id"), loop(text, lambda place, token, document: token))
    assert same(as_dict(documents.columns(), "document"), loop(text, lambda place, token, document: document))
    assert same(as_dict(masked.columns(), "document"), loop(text, lambda place, token, document: document, {3, 7}))
    found = documents.columns()
    np.testing.assert_allclose(found["sum_delta"], found["sum_after"] - found["sum_before"])


def test_documents_by_class(text: Piece) -> None:
    sums = ClassSums(CLASS_OF, CLASSES)
    scan(pieces(text), sums)
    documents, count, delta = sums.tables()
    expected = loop(text, lambda place, token, document: (document, int(CLASS_OF[token])))
    for row, document in enumerate(documents.tolist()):
        for column in range(CLASSES):
            n, before, after = expected.get((document, column), (0, 0.0, 0.0))
            assert count[row, column] == n
            assert delta[row, column] == pytest.approx(after - before, abs=1e-9)
    assert count.sum() == len(text.place)


def test_positions(text: Piece) -> None:
    sums = PositionSums(lambda place: place % 48, 16)
    scan(pieces(text), sums)
    found = sums.columns()
    expected = loop(text, lambda place, token, document: place % 48 // 16 * 16)
    assert found["position"].tolist() == [0, 16, 32]
    for at, position in enumerate(found["position"].tolist()):
        n, before, after = expected[position]
        assert found["count"][at] == n
        assert (found["before"][at], found["after"][at]) == pytest.approx((before / n, after / n))


@pytest.mark.parametrize("chosen", [None, {1, 2, 3}, {TYPES + 5}])
def test_passages_rise_or_fall_most_first(text: Piece, chosen: set[int] | None) -> None:
    sums = PassageSums(None if chosen is None else choose(chosen))
    scan(pieces(text), sums)
    expected = loop(text, lambda place, token, document: place // PASSAGE_TOKENS, chosen)
    rises = sorted(((after - before, -number) for number, (_, before, after) in expected.items()), reverse=True)
    ranked = sums.ranked(10)
    assert [number for number, *_ in ranked] == [-number for _, number in rises][:10]
    assert [delta for _, _, delta, _ in ranked] == pytest.approx([rise for rise, _ in rises][:10])
    assert [count for _, count, _, _ in ranked] == [expected[number][0] for number, *_ in ranked]
    falls = sums.ranked(3, falling=True)
    assert [number for number, *_ in falls] == [-number for _, number in reversed(rises)][:3]
    first = dict(zip(reversed((text.place // PASSAGE_TOKENS).tolist()), reversed(text.document.tolist()), strict=True))
    if chosen is None:
        assert [document for *_, document in ranked] == [first[number] for number, *_ in ranked]
