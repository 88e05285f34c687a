"""``odyssey audit``: the format of training text beside that of evaluation text, and what differences would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.cli.progress import Progress
from odyssey_tui.cli.several import SeveralCommand
from odyssey_tui.services.audit import GLYPHS, Audit, Finding, collect_warnings, fact_rows
from odyssey_tui.services.audit_tables import CLASSES, FACTS, PAIRS, TABLES, TYPES, as_json, type_rows

if TYPE_CHECKING:
    from store.workspace import Workspace

TOP = 10
table_choice = click.option(
    "--table", type=click.Choice(list(TABLES)), help="Print this table alone (--csv and --latex: classes)."
)


class AuditCommand(SeveralCommand):
    SEVERAL = ("--train", "--eval", "--base")


@click.command(cls=AuditCommand)
@click.argument("config", required=False)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Of CONFIG: override a key.")
@click.option("--domain", help="Of CONFIG: this corpus or evaluation set alone, in full.")
@click.option("--train", multiple=True, metavar="FILE…", help="Training text: files, folders, .jsonl, .parquet.")
@click.option("--eval", "evaluation", multiple=True, metavar="FILE…", help="Evaluation text.")
@click.option("--base", multiple=True, metavar="FILE…", help="Pretraining text: its tokens a byte are compared.")
@click.option("--tokenizer", metavar="NAME|DIR", help="Hub id or folder; without one pieces are counted by a rule.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Read of each text at most [64,000,000].")
@click.option("--top", type=click.IntRange(min=1, max=20), default=TOP, show_default=True, help="Token types listed.")
@table_choice
@click.option("--full", is_flag=True, help="Of several pairs: print each in full.")
@click.option("--strict", is_flag=True, help="Exit with status 1 when there is a warning (a note is none).")
@table_options
@click.pass_obj
def audit(
    invocation: Invocation,
    config: str | None,
    overrides: tuple[str, ...],
    domain: str | None,
    train: tuple[str, ...],
    evaluation: tuple[str, ...],
    base: tuple[str, ...],
    tokenizer: str | None,
    max_bytes: int | None,
    top: int,
    table: str | None,
    full: bool,
    strict: bool,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """Compare the format of training and evaluation text before anything is trained.

    Token classes side by side, line ends, encoding damage, duplicates, the tokenizer; each warning with its evidence,
    what it would do to the perplexity, and what to do about it. CONFIG (a YAML file, or the name of a ready experiment)
    audits every domain as it would be trained on and scored; --train and --eval take any files and need no workspace.
    """
    if bool(config) == bool(train or evaluation):
        raise click.UsageError("give an experiment, or --train FILE… and --eval FILE…")
    if config is None and not (train and evaluation):
        raise click.UsageError(f"there is no {'training' if evaluation else 'evaluation'} text: add --train and --eval")
    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    from odyssey_tui.services.audit_sources import audit_experiment, audit_files, choose_audit
    from odyssey_tui.services.starts import find_config

    with Progress() as progress:
        if config is not None:
            _refuse(base=base, tokenizer=tokenizer)
            audits = audit_experiment(
                find_config(config), overrides, _workspace(invocation), max_bytes=max_bytes, hear=progress.hear
            )
        else:
            _refuse(set=overrides, domain=domain)
            if base and tokenizer is None:
                raise click.UsageError("--base compares tokens a byte: give a --tokenizer")
            audits = [
                audit_files(train, evaluation, base=base, tokenizer=tokenizer, max_bytes=max_bytes, hear=progress.hear)
            ]
    if domain is not None:
        audits = choose_audit(audits, domain)
    print_audits(audits, table=table, full=full, top=top, json=json, csv=csv, latex=latex)
    if strict and any(audit.warnings for audit in audits):
        raise SystemExit(Exit.FAILED)


def print_audits(
    audits: Sequence[Audit], *, table: str | None, full: bool, top: int, json: bool, csv: bool, latex: bool
) -> None:
    """Audits in the form asked for: one in full, of several an overview unless they are asked for in full."""
    if json:
        emit_json([as_json(audit) for audit in audits])
    elif csv or latex or table:
        shown = TABLES[table or "classes"]
        emit_table(shown.columns, shown.rows(audits), csv=csv, latex=latex, empty="nothing to warn of")
    elif len(audits) > 1 and not full:
        print_overview(audits)
    else:
        for number, audit in enumerate(audits):
            click.echo("\n" * 2 if number else "", nl=False)
            print_audit(audit, top)


def _refuse(**given: Any) -> None:
    for name, value in given.items():
        if value:
            kind = "files" if name in ("set", "domain") else "an experiment, which says so itself"
            raise click.UsageError(f"--{name} does not go with {kind}")


def _workspace(invocation: Invocation) -> Workspace | None:
    """The workspace whose cache is used, where there is one; an audit makes none."""
    return None if invocation.planned() is not None else invocation.open()


def print_overview(audits: Sequence[Audit]) -> None:
    """One line a pair, then what is warned of."""
    emit_table(PAIRS, TABLES["pairs"].rows(audits))
    found = collect_warnings(audits)
    for warned in found:
        print()
        print_wrapped(warned.where)
        print_finding(warned.finding)
    print()
    print_wrapped(
        f"{'' if found else 'No warnings. '}--full shows each with its classes, token types, notes and samples."
    )


def print_audit(audit: Audit, top: int = TOP) -> None:
    """One audit in full."""
    tokens = [f"{audit.text(side)['n_tokens']:,}" for side in ("train", "evaluation")]
    by = audit.record["tokenizer"] or "pieces, without a tokenizer"
    print_wrapped(f"{audit.name}{setting_text(audit)}: {tokens[0]} tokens trained on, {tokens[1]} scored ({by})")
    print()
    emit_table(CLASSES[1:], TABLES["classes"].rows([audit]))
    print()
    emit_table(FACTS[1:], fact_rows(audit))
    print()
    emit_table(TYPES[1:], type_rows(audit, top), title="Token types that differ most")
    print_samples(audit)
    print()
    print_findings(audit)


def setting_text(audit: Audit) -> str:
    """`` (newlines: strip, join: newline, separator: eos)`` where that is known."""
    names = {"newlines": "newlines", "scored_join": "join", "separator": "separator"}
    known = [f"{name}: {audit.record[key]}" for key, name in names.items() if audit.record.get(key)]
    return f" ({', '.join(known)})" if known else ""


def print_samples(audit: Audit) -> None:
    """How the texts begin, control characters escaped."""
    print()
    for side, title in (("train", "training"), ("evaluation", "evaluation")):
        for line in audit.text(side)["sample"][:1]:
            print_wrapped(f"{title}: {line}")


def print_findings(audit: Audit) -> None:
    """Everything that was found."""
    if not audit.findings:
        print("No warnings.")
    for finding in audit.findings:
        print_finding(finding)


def print_finding(finding: Finding) -> None:
    """What is so, with evidence, effect and advice."""
    print_wrapped(f"{finding.level}: {finding.message}", bullet=f"{GLYPHS[finding.level]} ")
    for text in (finding.evidence, finding.effect, finding.advice):
        if text:
            print_wrapped(text, bullet="    ")
