"""The filter language: what it accepts, and where it says it went wrong."""

from __future__ import annotations

import pytest

from odyssey_tui.services.filter import FilterError, parse_filter

FIELDS = {"domain": str, "state": str, "replay": float, "loss": float}
RUN = {"domain": "cs.CL", "state": "done", "replay": 0.25, "loss": None, "tags": ["paper"]}


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("", True),
        ("domain=cs.CL", True),
        ("domain=CS.cl", True),
        ("domain!=cs.CL", False),
        ('domain="cs.CL" and state = done', True),
        ("replay>=0.25, replay<1", True),
        ("replay>0.25", False),
        ("replay=.25 AND state=done", True),
        ("replay!=0.25", False),
        ("loss<20", False),
        ("loss>=0", False),
        ("loss!=3", True),
        ("tag:paper", True),
        ("tag:draft", False),
        ("~s.c", True),
        ("~newline", False),
        ("~cs and tag:paper and state=done and replay<=0.25", True),
    ],
)
def test_filters(text: str, accepted: bool) -> None:
    assert parse_filter(text, FIELDS).accepts(RUN) is accepted


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("domian=x", 0, ("no key 'domian'", "'domain'")),
        ("state=done and relpay>1", 15, ("no key 'relpay'", "'replay'")),
        ("state=done replay>1", 11, ("expected 'and'",)),
        ("replay>much", 7, ("'replay' is a number",)),
        ("state>done", 5, ("'state' is text",)),
        ("state=", 6, ("needs a value",)),
        ("state=done and", 14, ("cannot read",)),
        ("=3", 0, ("cannot read '=3'",)),
        ("qq=1", 0, ("no key 'qq'", "domain, state, replay, loss")),
    ],
)
def test_mistakes_have_a_place(text: str, position: int, words: tuple[str, ...]) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text, FIELDS)
    assert caught.value.position == position
    for word in words:
        assert word in str(caught.value)
