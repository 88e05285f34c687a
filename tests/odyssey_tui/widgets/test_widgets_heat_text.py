"""The heat map of a passage."""

from __future__ import annotations

from odyssey_tui.services.passages import HeatToken, Passage
from odyssey_tui.widgets.heat_text import heat_text


def passage(*tokens: tuple[str, str, float | None]) -> Passage:
    shown = tuple(
        HeatToken(
            number, text, token_class, None if delta is None else 1.0, None if delta is None else 1.0 + delta, True
        )
        for number, (text, token_class, delta) in enumerate(tokens)
    )
    return Passage(0, 0, len(tokens), 0.0, shown)


def test_lines_end_where_the_newline_stands_in_its_token() -> None:
    text = heat_text(
        passage(("a", "word", 0.0), ("\\n    ", "newline", 0.0), ("b", "word", 0.0), ("\\r\\n", "newline", 0.0))
    )
    assert text.plain == "a⏎\n    b⏎\n"


def test_rises_falls_and_masks_look_different() -> None:
    text = heat_text(
        passage(("up", "word", 2.0), ("down", "word", -2.0), ("same", "word", 0.01), ("first", "word", None)),
        frozenset({1}),
    )
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles["up"].startswith("on #")
    assert styles["down"] == "dim strike"
    assert "same" not in styles
    assert styles["first"] == "dim"


def test_sought_tokens_stand_out_unless_they_are_masked() -> None:
    one = passage(("up", "word", 2.0), ("same", "word", 0.0), (" ", "whitespace", -2.0), ("down", "word", -2.0))
    text = heat_text(one, frozenset({3}), frozenset({1, 2, 3}))
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles["up"].startswith("on #")
    assert styles["same"].startswith("bold underline on #")
    assert styles["␣"].startswith("bold underline on #")
    assert styles["down"] == "dim strike"
    colourless = heat_text(one, frozenset(), frozenset({1}), color=False)
    assert str(colourless.spans[1].style) == "bold reverse"


def test_rises_and_falls_have_other_grounds() -> None:
    text = heat_text(passage(("up", "word", 2.0), ("down", "word", -2.0)))
    up, down = (str(span.style) for span in text.spans)
    assert up.startswith("on #")
    assert up != down


def test_control_characters_and_turns_of_direction_are_written_out() -> None:
    text = heat_text(passage(("\x1b[2J", "other", 1.0), ("\u202eعرب", "word", 1.0), ("\n", "newline", 0.0)))
    assert text.plain == "\\x1b[2J\\u202eعرب⏎\n"


def test_light_and_dark_have_their_own_grounds() -> None:
    one = passage(("up", "word", 2.0))
    assert heat_text(one, dark=True).spans != heat_text(one, dark=False).spans


def test_without_colours_strong_rises_still_stand_out() -> None:
    text = heat_text(passage(("up", "word", 2.0), ("a little", "word", 0.5), ("down", "word", -2.0)), color=False)
    assert [(text.plain[span.start : span.end], str(span.style)) for span in text.spans] == [("up", "bold underline")]
