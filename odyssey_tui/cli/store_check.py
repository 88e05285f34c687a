"""``odyssey store check``."""

from __future__ import annotations

from dataclasses import asdict

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.services.upkeep import check_workspace

GLYPHS = {"ok": "✓ ok", "problem": "✗ problem", "warning": "! warning", "info": "· info"}
COLUMNS = (Column("severity", "result", lambda severity: GLYPHS[severity]), Column("check", "check"))


@click.command()
@click.option("--deep", is_flag=True, help="Also read every loss and every journal.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(invocation: Invocation, deep: bool, json: bool) -> int:
    """Check every invariant of the database and the run directories; status 1 when there is a problem."""
    rows = list(check_workspace(invocation.open(), deep=deep))
    if json:
        emit_json([asdict(row) for row in rows])
    else:
        worst = {row.check: row for row in sorted(rows, key=lambda row: list(GLYPHS).index(row.severity), reverse=True)}
        emit_table(COLUMNS, [asdict(worst[name]) for name in dict.fromkeys(row.check for row in rows)])
        for row in rows:
            if row.severity != "ok":
                print()
                print_wrapped(f"{row.check}: {row.what}", bullet=GLYPHS[row.severity][:2])
                if row.hint:
                    print_wrapped(row.hint, bullet="  ")
    return Exit.FAILED if any(row.severity == "problem" for row in rows) else Exit.OK
