"""``odyssey doctor``: what could keep odyssey from working here, and what to do about it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import emit_json
from odyssey_tui.cli.printing import print_wrapped, say_wrapped
from odyssey_tui.services.doctor import examine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from odyssey_tui.services.doctor import Verdict

GLYPHS = {"ok": "✓", "info": "·", "warning": "!", "problem": "✗"}
CHECK_WIDTH = 14


@click.command()
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def doctor(invocation: Invocation, json: bool) -> int:
    """Look at terminal, settings, libraries, GPUs, disks and workspace; say what to fix.

    Needs no workspace, changes nothing but what `odyssey store check` does. Status 1 when something is broken.
    """
    found = examine(invocation.workspace_path)
    verdicts = list(found if json else print_verdicts(found))
    counts = Counter(verdict.severity for verdict in verdicts)
    if json:
        emit_json([asdict(verdict) for verdict in verdicts])
    else:
        say_wrapped(f"{_count(counts['problem'], 'problem')}, {_count(counts['warning'], 'warning')}")
    return Exit.FAILED if counts["problem"] else Exit.OK


def print_verdicts(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """By area, each as it becomes known: a sign, the check, what is so, and below it the fix."""
    area = ""
    for verdict in verdicts:
        if verdict.area != area:
            print(verdict.area if not area else f"\n{verdict.area}")
            area = verdict.area
        short = len(verdict.check) <= CHECK_WIDTH
        name = verdict.check if short else ""
        what = verdict.what if short else f"{verdict.check}: {verdict.what}"
        print_wrapped(what, bullet=f"{GLYPHS[verdict.severity]} {name.ljust(CHECK_WIDTH)} ")
        if verdict.fix:
            print_wrapped(verdict.fix, bullet=" " * (CHECK_WIDTH + 3) + "FIX ")
        sys.stdout.flush()
        yield verdict


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
