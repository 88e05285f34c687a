"""Texts whose format is known: sentences in paragraphs, paragraphs in documents; and ways to damage them."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

WORDS = "the of and to in a is that it as".split()  # noqa: SIM905
ACCENTED = ("café", "naïve", "élan", "über", "señor")


def make_documents(seed: int, documents: int = 60, paragraphs: int = 6) -> list[str]:
    """Documents of made-up words, the same vocabulary for every seed; a paragraph a line."""
    letters = random.Random(0)
    known = ["".join(letters.choices("abcdefghilmnoprstu", k=letters.randint(3, 8))) for _ in range(400)]
    rng = random.Random(seed)

    def sentence() -> str:
        words = [rng.choice(WORDS if rng.random() < 0.4 else known) for _ in range(rng.randint(8, 16))]
        words[rng.randrange(len(words))] = rng.choice(ACCENTED)
        words[-1] = str(rng.randint(10, 99)) if rng.random() < 0.2 else words[-1]
        return f"{words[0].title()} {', '.join((' '.join(words[1:5]), ' '.join(words[5:])))}."

    return [
        "\n".join(" ".join(sentence() for _ in range(rng.randint(3, 6))) for _ in range(paragraphs)) + "\n"
        for _ in range(documents)
    ]


def strip_lines(text: str) -> str:
    """As ``newlines: strip`` does."""
    return "".join(line.strip() for line in text.split("\n"))


def wrap(text: str) -> str:
    """Lines of at most 70 characters, paragraphs apart by blank lines."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            if line and len(line) + len(word) >= 70:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.extend((line, ""))
    return "\n".join(lines)


def every(n: int, insert: str) -> Callable[[str], str]:
    """Put ``insert`` after every ``n`` words."""

    def damage(text: str) -> str:
        words = text.split(" ")
        return " ".join(f"{word}{insert}" if number % n == n - 1 else word for number, word in enumerate(words))

    return damage


DAMAGES: dict[str, Callable[[str], str]] = {
    "class-absent": strip_lines,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "lone-cr": lambda text: text.replace("\n", "\r", text.count("\n") - 1),
    "wrapping": wrap,
    "blank-lines": lambda text: text.replace("\n", "\n\n"),
    "glued": strip_lines,
    "types-absent": lambda text: text.replace(",", " —"),
    "replacement": lambda text: text.replace("é", "\ufffd"),
    "mojibake": lambda text: text.encode().decode("cp1252", "ignore"),
    "nul": every(40, "\0"),
    "control": every(40, "\x08"),
    "bom": lambda text: "\ufeff" + text,
    "normal-form": lambda text: unicodedata.normalize("NFD", text),
}
"""By the finding that each must raise when training text is damaged so."""
