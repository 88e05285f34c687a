"""What is offered while a filter is typed."""

from __future__ import annotations

import pytest

from odyssey_tui.services.filter import parse_filter
from odyssey_tui.services.filter_completion import apply, complete

FIELDS = {"domain": str, "delta": float, "state": str, "training.lr": float}
VALUES = {
    "domain": ["law", "cs.CL", "two words", None, "law"],
    "delta": [0.1, -0.25, None],
    "state": ["done", "running"],
    "tag": ["paper", "keep"],
    "training.lr": [1e-3],
}


def offered(text: str) -> tuple[str, ...]:
    return complete(text, len(text), FIELDS, lambda key: VALUES.get(key, [])).candidates


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("", ("domain=", "delta", "state=", "training.lr", "tag:")),
        ("d", ("domain=", "delta")),
        ("lr", ("training.lr",)),
        ("domain=", ('"two words"', "cs.CL", "law")),
        ("domain=l", ("law", "cs.CL")),
        ('domain="tw', ('"two words"',)),
        ("domain=law", ()),
        ("delta>=", ("-0.25", "0.1")),
        ("domain=law ", ("and ",)),
        ("domain=law an", ("and ",)),
        ("domain=law and st", ("state=",)),
        ("domain=law, tag:p", ("paper", "keep")),
        ("tag:", ("keep", "paper")),
        ("training.lr<", ("0.001",)),
        ("nonsense=", ()),
        ("~text", ()),
    ],
)
def test_keys_then_values_then_and(text: str, candidates: tuple[str, ...]) -> None:
    assert offered(text) == candidates


def test_what_is_taken_stands_at_the_cursor() -> None:
    text = "domain=l and state=done"
    completion = complete(text, 8, FIELDS, lambda key: VALUES[key])
    assert apply(text, 8, completion, completion.candidates[0]) == ("domain=law and state=done", 10)


def test_a_filter_can_be_typed_by_completion_alone() -> None:
    text, cursor = "", 0
    for wanted in ("domain=", '"two words"', " ", "and ", "state=", "done"):
        if wanted == " ":
            text, cursor = text + " ", cursor + 1
            continue
        completion = complete(text, cursor, FIELDS, lambda key: VALUES[key])
        assert wanted in completion.candidates
        text, cursor = apply(text, cursor, completion, wanted)
    assert parse_filter(text, FIELDS).accepts({"domain": "two words", "state": "done"})


def test_thousands_of_values_are_cut() -> None:
    values = [f"v{number}" for number in range(10_000)]
    assert len(complete("domain=v", 8, FIELDS, lambda key: values).candidates) == 50
