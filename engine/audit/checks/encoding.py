"""Traces of wrong encodings, in either text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.audit.findings import Compared, Finding, Level, Reading, Side, percent
from engine.audit.scan import TextFacts

NORMALISED_LEAST, NORMALISED_APART = 50, 0.5
MIXED = 0.05


class Damage(NamedTuple):
    """One kind of damage, and at which rates (one in so many characters) it is told of; ``least`` are chance."""

    code: str
    what: str
    advice: str
    least: int
    caution: int
    serious: int


DAMAGES = {
    "replacement": Damage(
        "replacement",
        "replacement characters (U+FFFD): something was decoded wrongly and is lost",
        "Decode the source again, in its own encoding.",
        3,
        1_000_000,
        10_000,
    ),
    "mojibake": Damage(
        "mojibake",
        "UTF-8 that was read as Latin-1 or Windows-1252",
        "Repair it, for example with ftfy, or decode the source as UTF-8.",
        3,
        100_000,
        2_000,
    ),
    "nuls": Damage("nul", "NUL characters", "Remove them, for example with `tr -d '\\0'`.", 1, 10**9, 10_000),
    "controls": Damage("control", "control characters", "Remove all but tab and line feed.", 10, 10_000, 200),
}


def check_encoding(found: Compared) -> Iterator[Finding]:
    """Invalid bytes, U+FFFD, mojibake, NULs and control characters, byte order marks, two normal forms."""
    sides: tuple[tuple[Side, str, TextFacts, Reading], ...] = (
        ("train", "the training text", found.train, found.train_reading),
        ("evaluation", "the evaluation text", found.evaluation, found.evaluation_reading),
    )
    for side, name, text, reading in sides:
        yield from _check_reading(side, name, text, reading)
        yield from _check_damage(side, name, text, reading)
        if marks := text.characters.byte_order_marks:
            yield Finding(
                "bom",
                "note",
                f"{name} holds {_times(marks, 'byte order mark')} (U+FEFF)",
                f"in {text.documents:,} documents",
                "Files of an experiment are read without the one at their beginning.",
                side=side,
            )
    yield from _check_normal_forms(found)


def _check_reading(side: Side, name: str, text: TextFacts, reading: Reading) -> Iterator[Finding]:
    if reading.invalid_bytes:
        many = reading.invalid_bytes >= 20 or reading.invalid_bytes * 10_000 >= text.n_bytes
        yield Finding(
            "invalid-bytes",
            "serious" if many else "caution",
            f"{name} is not UTF-8 throughout",
            f"{_times(reading.invalid_bytes, 'place')} that cannot be decoded, counted as U+FFFD here; training would "
            "leave the file out",
            "Convert it, for example with `iconv -f latin1 -t utf-8`.",
            side=side,
        )
    if reading.skipped:
        yield Finding("skipped", "caution", f"parts of {name} were left out", "; ".join(reading.skipped), side=side)


def _check_damage(side: Side, name: str, text: TextFacts, reading: Reading) -> Iterator[Finding]:
    for field, damage in DAMAGES.items():
        count = getattr(text.characters, field)
        if field == "replacement":
            count -= reading.invalid_bytes
        level = _level(count, text.characters.n, damage)
        if level is None:
            continue
        shown = f", like {', '.join(map(repr, text.mojibake[:3]))}" if field == "mojibake" and text.mojibake else ""
        yield Finding(
            damage.code,
            level,
            f"{name} holds {damage.what}",
            f"{_times(count, 'time')} in {text.characters.n:,} characters{shown}",
            damage.advice,
            side=side,
        )


def _level(count: int, characters: int, damage: Damage) -> Level | None:
    if count < damage.least or count * damage.caution < characters:
        return None
    return "serious" if count * damage.serious >= characters and count >= 2 * damage.least else "caution"


def _check_normal_forms(found: Compared) -> Iterator[Finding]:
    shares = []
    for text in (found.train, found.evaluation):
        both = text.characters.decomposed + text.characters.composed
        shares.append(text.characters.decomposed / both if both >= NORMALISED_LEAST else None)
    if None not in shares and abs(shares[0] - shares[1]) >= NORMALISED_APART:
        more = "training" if shares[0] > shares[1] else "evaluation"
        yield Finding(
            "normal-form",
            "serious",
            f"accented letters are written as letter and accent (NFD) in {more}, as one character (NFC) in the other "
            "text",
            f"decomposed: {percent(shares[0])} of them in training, {percent(shares[1])} in evaluation",
            "Normalise both texts to NFC (`unicodedata.normalize('NFC', text)`).",
        )
        return
    for side, name, share in (("train", "training", shares[0]), ("evaluation", "evaluation", shares[1])):
        if share is not None and MIXED <= share <= 1 - MIXED:
            yield Finding(
                "normal-form-mixed",
                "note",
                f"the {name} text writes accented letters in two ways (NFC and NFD)",
                f"decomposed: {percent(share)} of them",
                "Normalise it to NFC.",
                side=side,  # type: ignore[arg-type]
            )


def _times(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
