"""``odyssey similarity``: ΔL against similarity to the pretraining text, as a figure, a table and sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.numbers import Number
from odyssey_tui.cli.output import emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_figure, print_wrapped
from odyssey_tui.cli.similarity_alone import SimilarityCommand
from odyssey_tui.services.scatter import Look, Scatter
from odyssey_tui.services.scatter_cells import Wanted
from odyssey_tui.services.scatter_statistics import CONTROLS
from odyssey_tui.services.scatter_units import NATS, UNITS
from odyssey_tui.services.similarity import scatter
from odyssey_tui.services.similarity_figure import draw_scatter
from odyssey_tui.services.similarity_record import record, table_columns, table_row
from store.errors import DataError

ANY = "any"


@click.command(cls=SimilarityCommand)
@click.option("--measure", help="mmd2, cosine, c2st, frechet, l2, jsd or zero_shot; default: the first there is.")
@click.option("--embedder", help="model, ngrams or tokens; default: the first there is.")
@click.option(
    "--unit",
    type=click.Choice(list(UNITS)),
    default=NATS,
    show_default=True,
    help="ΔL in nats per token, perplexity ratio, or ΔL in bits per byte.",
)
@click.option("--all-models", "pooled", is_flag=True, help="Pool all models that fit, a colour each.")
@click.option(
    "--group", "groups", multiple=True, metavar="NAME=DOM,DOM", help="A group of domains; repeat it for others."
)
@click.option("--experiment", help="Only the adapted states of this experiment.")
@click.option("--base", help="Only this base: a published model, or corpora joined by +.")
@click.option("--size", help="Only this model size.")
@click.option("--ptpp", type=Number(), help="Only base states of this PTPP.")
@click.option("--method", help="Only full, lora, ...; default: any, full fine-tuning first.")
@click.option("--replay", "replay_ratio", type=Number(0, 1), help="Only this replay ratio.")
@click.option("--atpp", type=Number(), help="Only this ATPP.")
@click.option("--lr", type=Number(), help="Only this learning rate.")
@click.option("--variant", help="Only this variant of an experiment.")
@click.option("--newlines", type=click.Choice(["keep", "strip"]), help="Only training text with these line ends.")
@click.option("--svg", type=click.Path(path_type=Path), help="Also write the figure, as .svg or .png.")
@table_options
@click.pass_obj
def similarity(
    invocation: Invocation,
    json: bool,
    csv: bool,
    latex: bool,
    measure: str | None,
    embedder: str | None,
    unit: str,
    pooled: bool,
    groups: tuple[str, ...],
    experiment: str | None,
    method: str | None,
    svg: Path | None,
    **properties: Any,
) -> None:
    """Show whether adaptation hurts where a domain resembles the pretraining text.

    One point per domain, all of one model adapted in one way: as asked for, else the one that most domains share.
    Right is more similar: distances are negated. Domains are resampled and permuted, so n counts domains.

    With --reference FILE… and --domain NAME=FILE… it measures how close any texts are, without a workspace.
    """
    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    wanted = Wanted(method=None if method == ANY else method, **properties)
    look = Look(measure, embedder, unit, pooled)
    found = scatter(invocation.open(), look, wanted, experiment=experiment, groups=groups)
    if svg is not None:
        write_figure(found, svg)
    if json:
        emit_json(record(found))
        return
    if not found.points and not (csv or latex):
        print_wrapped(found.sentence)
        print_wrapped(found.hint or "; ".join(found.missing), bullet="  ")
        return
    if not (csv or latex):
        print_figure(draw_scatter(found, grouped=bool(found.groups)))
        click.echo()
    emit_table(table_columns(found, everything=csv), [table_row(point) for point in found.points], csv=csv, latex=latex)
    if not (csv or latex):
        print_words(found)


def write_figure(found: Scatter, target: Path) -> None:
    """The figure as a file; says where."""
    from odyssey_tui.services.figure_export import save_figure

    if not found.points:
        raise DataError(f"no figure was written. {found.sentence}", found.hint)
    click.echo(f"wrote {save_figure(draw_scatter(found, grouped=bool(found.groups)), target)}", err=True)


def print_words(found: Scatter) -> None:
    """The finding, what it rests on, what else the points say, and whether the other measures say the same."""
    click.echo()
    print_wrapped(found.sentence)
    for line in (found.within, found.influence and f"{found.influence}: the domain it hangs on most"):
        if line:
            print_wrapped(f"{line[0].upper()}{line[1:]}.")
    sample = f" from {found.n_samples} samples a domain" if found.n_samples else ""
    encoder = f", encoder {found.encoder}" if found.encoder else ""
    print_wrapped(f"Reference: {found.reference}{encoder}{sample}.")
    if len(found.shown) > 1:
        print_wrapped(f"Models: {'; '.join(model.name for model in found.shown)}.")
    print_wrapped(f"Adapted states: {found.common}.")
    for line in (*found.notes, *found.missing):
        print_wrapped(line if line.endswith(".") else f"{line}.")
    print_findings(found)
    if len(found.agreement) > 1:
        click.echo("\nBy measure:")
        for line in found.by_measure:
            click.echo(f"  {line}")
    others = [model for model in found.models if model not in found.shown]
    if others:
        named = ", ".join(f"{model.name} ({model.n_domains})" for model in others[:6])
        more = f" and {len(others) - 6} more" if len(others) > 6 else ""
        click.echo()
        print_wrapped(f"Other models (domains): {named}{more}. Choose by --size, --ptpp, ...; --all-models pools them.")


def print_findings(found: Scatter) -> None:
    """Every correlation besides the main one, a line each."""
    others = [finding for finding in found.findings if finding.key != "all"]
    if not others or len(found.points) < 3:
        return
    click.echo("\nStatistics:")
    width = min(30, max(len(finding.name) for finding in others))
    for finding in others:
        print_wrapped(finding.sentence, bullet=f"  {finding.name.ljust(width)}  ")
    controls = "; ".join(f"{name}: {meaning}" for name, meaning in CONTROLS.items())
    print_wrapped(f"({controls}.)", bullet="  ")
