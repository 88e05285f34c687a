"""Line ends and layout that differ between the two texts."""

from __future__ import annotations

from collections.abc import Iterator

from engine.audit.findings import Compared, Finding, per_1000, percent
from engine.audit.lines import ENOUGH_LINE_ENDS
from engine.audit.scan import TextFacts

MOSTLY, HARDLY = 0.5, 0.05
BLANK_MANY, BLANK_FEW = 0.3, 0.03
INDENTED_MANY, INDENTED_FEW = 0.2, 0.01
GLUED_PER_1000, GLUED_TIMES, GLUED_LEAST = 0.2, 5, 20
FEWER_LINES = 0.5
"""Line ends of training over those of evaluation, below which sentences may run together for want of them."""
LAYOUTS = {
    "none": "has no line ends",
    "wrapped": "is broken into lines of one width",
    "paragraphs": "has a paragraph a line",
    "lines": "has short lines",
}


def check_lines(found: Compared) -> Iterator[Finding]:
    """Carriage returns, hard wrapping, blank lines, indentation, sentences run together, separators."""
    if found.setting.own:
        yield from _check_returns(found)
        yield from _check_layout(found)
        yield from _check_glue(found)
    yield from _check_separator(found)


def _check_returns(found: Compared) -> Iterator[Finding]:
    for name, code, share in (("CRLF", "crlf", _crlf), ("a lone CR", "lone-cr", _lone_cr)):
        train, evaluation = share(found.train), share(found.evaluation)
        if not _differ(train, evaluation, MOSTLY, HARDLY) or min(map(_ends, (found.train, found.evaluation))) < (
            ENOUGH_LINE_ENDS
        ):
            continue
        where = "training" if train > evaluation else "evaluation"
        yield Finding(
            code,
            "serious",
            f"line ends are {name} in {where} and not in the other text",
            f"{percent(train)} of the line ends in training, {percent(evaluation)} in evaluation",
            "Give both the same line ends, for example with `dos2unix`. Corpora of an experiment are read with CRLF as "
            "a line feed.",
            share=_newline_share(found),
            token_class="newline",
        )


def _check_layout(found: Compared) -> Iterator[Finding]:
    train, evaluation = found.train, found.evaluation
    layouts = train.lines.layout(train.characters.n), evaluation.lines.layout(evaluation.characters.n)
    enough = min(train.lines.ends, evaluation.lines.ends) >= ENOUGH_LINE_ENDS
    if not enough or "none" in layouts:
        return
    lengths = (
        f"lines that are not blank have {train.lines.median_length:.0f} characters in training and "
        f"{evaluation.lines.median_length:.0f} in evaluation (medians)"
    )
    if "wrapped" in layouts and layouts[0] != layouts[1]:
        yield Finding(
            "wrapping",
            "caution",
            f"the training text {LAYOUTS[layouts[0]]}, the evaluation text {LAYOUTS[layouts[1]]}",
            f"{lengths}; {percent(_within(train))} and {percent(_within(evaluation))} of the line ends stand inside a "
            "sentence",
            "Unwrap the one, or wrap neither: a line end means another thing in each.",
            share=_newline_share(found),
            token_class="newline",
        )
    blank = train.lines.blank / train.lines.ends, evaluation.lines.blank / evaluation.lines.ends
    if _differ(*blank, BLANK_MANY, BLANK_FEW):
        yield Finding(
            "blank-lines",
            "caution",
            f"paragraphs are set apart by blank lines in {'training' if blank[0] > blank[1] else 'evaluation'} only",
            f"blank lines: {percent(blank[0])} of the line ends in training, {percent(blank[1])} in evaluation",
            "Separate paragraphs in one way.",
            share=_newline_share(found),
            token_class="newline",
        )
    indented = train.lines.indented / train.lines.ends, evaluation.lines.indented / evaluation.lines.ends
    if indented[1] >= INDENTED_MANY and indented[0] <= INDENTED_FEW:
        yield Finding(
            "indentation",
            "caution",
            "lines are indented in evaluation and not in training, as if those had been stripped",
            f"{percent(indented[0])} of the lines in training, {percent(indented[1])} in evaluation begin with space",
            "Keep the lines of the training text as they are.",
        )


def _check_glue(found: Compared) -> Iterator[Finding]:
    train, evaluation = found.train, found.evaluation
    layout = train.lines.layout(train.characters.n)
    rates = [1000 * text.lines.glued / max(text.characters.n, 1) for text in (train, evaluation)]
    if (
        train.lines.glued >= GLUED_LEAST
        and rates[0] >= GLUED_PER_1000
        and rates[0] >= GLUED_TIMES * rates[1]
        and (layout == "none" or train.newlines_per_1000 <= FEWER_LINES * evaluation.newlines_per_1000)
        and found.setting.newlines != "strip"  # told by the class of newlines already
    ):
        yield Finding(
            "glued",
            "caution",
            "sentences run together in training ('end.Next'), as lines do that were joined by nothing",
            f"{per_1000(train.lines.glued, train.characters.n)} in 1,000 characters of training, "
            f"{per_1000(evaluation.lines.glued, evaluation.characters.n)} of evaluation",
            "Join lines with the line end that stood between them, or a space.",
            side="train",
        )


def _check_separator(found: Compared) -> Iterator[Finding]:
    setting = found.setting
    if setting.separator is None or setting.joined or found.train.documents < 2 or not setting.own:
        return
    if setting.separator == "newline":
        yield Finding(
            "separator",
            "note",
            "every training document ends with a line end, scored documents follow each other directly",
            f"{found.train.documents:,} documents in training, {found.evaluation.documents:,} in evaluation",
        )
    elif setting.separator == "none":
        yield Finding(
            "separator",
            "note",
            "training documents follow each other with nothing between them",
            f"{found.train.documents:,} documents",
            "`separator: eos` tells a model where a text ends.",
            side="train",
        )


def _ends(text: TextFacts) -> int:
    return text.lines.ends + text.lines.lone_cr


def _crlf(text: TextFacts) -> float:
    return text.lines.crlf / max(text.lines.ends, 1)


def _lone_cr(text: TextFacts) -> float:
    return text.lines.lone_cr / max(_ends(text), 1)


def _within(text: TextFacts) -> float:
    return text.lines.within / max(text.lines.ends - text.lines.blank, 1)


def _newline_share(found: Compared) -> float | None:
    row = next(row for row in found.tokens.class_rows() if row.token_class == "newline")
    return row.evaluation / found.tokens.n_evaluation if found.tokens.n_evaluation else None


def _differ(one: float, other: float, many: float, few: float) -> bool:
    return max(one, other) >= many and min(one, other) <= few
