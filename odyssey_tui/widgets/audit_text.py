"""The parts of a format audit as text: bars side by side, warnings with evidence and effect, types, facts, samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from odyssey_tui.services.audit import GLYPHS, fact_rows
from odyssey_tui.services.audit_tables import percent, ratio, type_rows
from odyssey_tui.services.format import BLOCKS, cut
from odyssey_tui.services.ledger import visible
from odyssey_tui.widgets.data_rows import LEVEL_STYLES

if TYPE_CHECKING:
    from odyssey_tui.services.audit import Audit, ClassShare, Finding

TRAIN_STYLE, EVALUATION_STYLE = "#56b4e9", "#f06e32"
CLASS_WIDTH, SHARE_WIDTH, RATIO_WIDTH, LONGEST_BAR = 12, 8, 9, 24
TOKEN_WIDTH, SHOWN_TYPES = 14, 8


def heading_text(audit: Audit, place: int, n: int) -> Text:
    """Which texts, in which form, and the verdict."""
    record = audit.record
    text = Text(f"{GLYPHS[audit.level]} {audit.name}", LEVEL_STYLES.get(audit.level, "bold"))
    known = {"newlines": "newlines", "separator": "separator", "scored_join": "join"}
    setting = ", ".join(f"{name} {record[key]}" for key, name in known.items() if record.get(key))
    text.append(f"  {setting}; {record['tokenizer'] or 'pieces'}", "not bold dim")
    if n > 1:
        text.append(f"  pair {place + 1} of {n} (s: next)", "not bold dim")
    return text


def classes_text(audit: Audit, width: int) -> Text:
    """A row a class: its share of the training tokens and of the evaluation tokens as bars on one scale."""
    bar = max(4, min(LONGEST_BAR, (width - CLASS_WIDTH - 2 * SHARE_WIDTH - RATIO_WIDTH - 4) // 2))
    text = Text(no_wrap=True, overflow="ellipsis")
    heads = f"{'':{CLASS_WIDTH}}{'training':<{bar + SHARE_WIDTH + 1}} {'evaluation':<{bar + SHARE_WIDTH + 1}}"
    text.append(f"{heads}{'ratio':>{RATIO_WIDTH}}", "dim")
    for row in audit.classes:
        text.append(f"\n{row.token_class:<{CLASS_WIDTH}}").append_text(_bars(row, bar))
    return text


def findings_text(audit: Audit) -> Text:
    """Every finding; the assumption is told from the measurement."""
    if not audit.findings:
        return Text("✓ nothing to warn of")
    text = Text()
    for number, finding in enumerate(audit.findings):
        text.append("\n\n" if number else "").append_text(_finding(finding))
    return text


def facts_text(audit: Audit, width: int) -> Text:
    """Both texts, a fact a line."""
    text = Text(no_wrap=True, overflow="ellipsis")
    rows = fact_rows(audit)
    name = max(len(row["fact"]) for row in rows)
    column = max(10, (width - name - 2) // 2)
    text.append(f"{'':{name}} {'training':>{column}} {'evaluation':>{column}}", "dim")
    for row in rows:
        values = " ".join(cut(row[side], column).rjust(column) for side in ("train", "evaluation"))
        text.append(f"\n{row['fact']:<{name}} {values}")
    return text


def types_text(audit: Audit, width: int) -> Text:
    """The types that evaluation has more of, then those that training has."""
    text = Text(no_wrap=True, overflow="ellipsis")
    shows_class = width >= TOKEN_WIDTH + 2 * SHARE_WIDTH + 26
    head = f"{'token':<{TOKEN_WIDTH}} {'class ':<12}" if shows_class else f"{'token':<{TOKEN_WIDTH}}"
    text.append(f"{head}{'training':>{SHARE_WIDTH + 1}}{'evaluation':>{SHARE_WIDTH + 3}}{'nats':>10}", "dim")
    for row in type_rows(audit, SHOWN_TYPES):
        token = Text(visible(row["text"]), no_wrap=True)
        token.truncate(TOKEN_WIDTH, overflow="ellipsis", pad=True)
        text.append("\n").append_text(token)
        if shows_class:
            text.append(f" {row['token_class']:<12}", "dim")
        shares = (
            f"{percent(row['train_share']):>{SHARE_WIDTH + 1}}{percent(row['evaluation_share']):>{SHARE_WIDTH + 3}}"
        )
        text.append(shares + f"{row['excess']:>+10.5f}".replace("-", "−"))
    return text


def samples_text(audit: Audit) -> Text:
    """The beginnings of some documents, control characters escaped."""
    text = Text()
    for number, (title, style, line) in enumerate(_samples(audit)):
        text.append("\n" if number else "").append(f"{title:<11}", style).append(line)
    return text


def _samples(audit: Audit) -> Iterator[tuple[str, str, str]]:
    for side, title, style in (("train", "training", TRAIN_STYLE), ("evaluation", "evaluation", EVALUATION_STYLE)):
        yield from ((title, style, line) for line in audit.text(side)["sample"])


def _bars(row: ClassShare, width: int) -> Text:
    largest = max(row.train_share, row.evaluation_share) or 1.0
    text = Text()
    for share, style in ((row.train_share, TRAIN_STYLE), (row.evaluation_share, EVALUATION_STYLE)):
        eighths = round(share / largest * width * 8)
        full, rest = divmod(eighths, 8)
        text.append(("█" * full + (BLOCKS[rest] if rest else "")).ljust(width), style)
        text.append(f" {percent(share):>{SHARE_WIDTH}} ")
    marked = row.ratio is not None and not 0.25 <= row.ratio <= 4
    shown = ratio(row.ratio) if row.ratio is not None else ""
    return text.append(shown.rjust(RATIO_WIDTH - 1), "bold" if marked else "")


def _finding(finding: Finding) -> Text:
    text = Text(f"{GLYPHS[finding.level]} {finding.level}: ", LEVEL_STYLES.get(finding.level, "bold"))
    text.append(finding.message, "not bold")
    text.append(f"\n{finding.evidence}", "dim")
    if finding.effect:
        text.append(f"\n{finding.effect}")
    if finding.advice:
        text.append(f"\n→ {finding.advice}")
    return text
