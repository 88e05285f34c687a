"""What is printed fits its terminal and has the colours it knows."""

from __future__ import annotations

import pytest

from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.terminal import color_depth, has_dark_background


@pytest.mark.parametrize(
    ("environment", "depth"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, 2**24),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, 0),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, 0),
        ({}, 0),
    ],
)
def test_colours_are_those_the_terminal_knows(environment: dict[str, str], depth: int) -> None:
    assert color_depth(environment) == depth


@pytest.mark.parametrize(
    ("ground", "dark"), [("15;0", True), ("0;15", False), ("0;7", False), ("15;8", True), ("", True)]
)
def test_the_background_is_the_one_the_terminal_names(ground: str, dark: bool) -> None:
    assert has_dark_background({"COLORFGBG": ground}) is dark


def test_sentences_hang_under_their_bullet_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_wrapped("word " * 40, bullet="- ")
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("- word")
    assert rest
    assert all(line.startswith("  word") for line in rest)
    assert max(map(len, [first, *rest])) <= 80
