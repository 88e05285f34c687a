"""``odyssey similarity --reference``: how close texts are to a reference, from files alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped, say_wrapped
from odyssey_tui.cli.progress import Progress
from odyssey_tui.cli.several import SeveralCommand
from odyssey_tui.services.resemblance import (
    COUPLING,
    ZERO_SHOT,
    compare,
    correlate,
    read_deltas,
    read_domains,
    read_reference,
    sort_rows,
)
from odyssey_tui.services.scatter_views import significant

DOMAIN_COLUMNS = (
    Column("domain", "domain"),
    Column("value", "value", significant),
    Column("low", "low", significant),
    Column("high", "high", significant),
)
ASKED_BY = ("--reference", "--domain")
"""Options that nobody gives who asks for the scatter of a workspace."""


class StandaloneCommand(SeveralCommand):
    """Takes several files after one ``--reference``, several domains after one ``--domain``."""

    SEVERAL = ("--reference", "--domain", "--measure", "--embedder")


class SimilarityCommand(click.Command):
    """The scatter of a workspace, or with files the stand-alone comparison, which has options of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if any(argument.partition("=")[0] in ASKED_BY for argument in args):
            known = {parameter.name for parameter in standalone.params}
            standalone.params += [own for own in self.params if own.name == "workspace" and own.name not in known]
            return standalone.make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            options = [name for own in standalone.params for name in own.opts]
            # Not among the options of this form, which alone were searched for one that is spelt like it.
            raise click.NoSuchOption(error.option_name, possibilities=nearest(error, options), ctx=ctx) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        records = [own.get_help_record(ctx) for own in standalone.params if own.name not in ("json", "csv", "latex")]
        with formatter.section("Options with --reference: any files, no workspace"):
            formatter.write_dl([record for record in records if record is not None])


def nearest(error: click.NoSuchOption, options: Sequence[str]) -> list[str]:
    """What may have been meant, of this form of the command or the other."""
    from difflib import get_close_matches

    return [*(error.possibilities or ()), *get_close_matches(error.option_name, options)]


@click.command(cls=StandaloneCommand)
@click.option("--reference", multiple=True, required=True, metavar="FILE…", help="Pretraining text, or a sample of it.")
@click.option(
    "--domain", "domains", multiple=True, required=True, metavar="NAME=FILE…", help="Texts to compare with it."
)
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME…",
    help="jsd, cosine, mmd2, c2st [these; with --model also zero_shot], ngram_overlap, l2, frechet.",
)
@click.option(
    "--embedder",
    "embedders",
    multiple=True,
    metavar="NAME…",
    help="model, sentence, ngrams [model with --model, else ngrams].",
)
@click.option("--model", "name", metavar="ID|DIR|RUN@STATE", help="Model under study: its hidden states and losses.")
@click.option("--revision", help="Revision of a hub id.")
@click.option(
    "--tokenizer", metavar="ID|DIR", help="Tokens of the samples [the model's; without one, words and marks]."
)
@click.option("--sentence-model", metavar="ID|DIR", help="Sentence encoder [all-MiniLM-L6-v2].")
@click.option("--samples", type=click.IntRange(min=8), default=256, show_default=True, help="Windows of each text.")
@click.option("--sample-tokens", type=click.IntRange(min=2), help="Tokens of a window [64, or the model's context].")
@click.option(
    "--bootstrap", type=click.IntRange(min=0), default=200, show_default=True, help="Resamples; 0: no intervals."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of samples and resamples.")
@click.option("--delta", metavar="FILE.csv", help="ΔL by domain (columns domain, delta): correlated with each measure.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--trust-remote-code", is_flag=True, help="Let the model's repository run its own code.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled weights, which can run any code.")
@table_options
@click.pass_obj
def standalone(
    invocation: Invocation,
    reference: tuple[str, ...],
    domains: tuple[str, ...],
    measures: tuple[str, ...],
    embedders: tuple[str, ...],
    name: str | None,
    revision: str | None,
    tokenizer: str | None,
    sentence_model: str | None,
    samples: int,
    sample_tokens: int | None,
    bootstrap: int,
    seed: int,
    delta: str | None,
    device: str,
    trust_remote_code: bool,
    allow_pickle: bool,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """Compare texts with a reference: samples of equal size, bootstrap intervals over documents.

    FILE is text, .jsonl or .parquet (also .gz, .xz, .zst), a folder, or a quoted pattern. Without --model and
    --tokenizer tokens are words, numbers and marks, and n-grams of them are hashed. docs/similarity.md explains the
    measures.
    """
    from engine.spec.resemblance import Resemblance
    from engine.spec.run import SENTENCE_MODEL

    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    if revision is not None and name is None:
        raise click.UsageError("--revision belongs to --model")
    if sentence_model is not None and "sentence" not in split(embedders):
        raise click.UsageError("--sentence-model belongs to --embedder sentence")
    sides = read_domains(domains)
    deltas = None if delta is None else read_deltas(delta, [side.name for side in sides])
    model, workspace = None, None
    if name is not None:
        from odyssey_tui.services.scoring import name_model

        model, workspace = name_model(name, revision, invocation.open)
        model = model.model_copy(update={"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle})
    request = Resemblance(
        reference=read_reference(reference),
        domains=sides,
        measures=split(measures),
        embedders=split(embedders),
        tokenizer=tokenizer,
        model=model,
        workspace=None if workspace is None else str(workspace.root),
        sentence_model=sentence_model or SENTENCE_MODEL,
        samples=samples,
        sample_tokens=sample_tokens,
        bootstrap=bootstrap,
        seed=seed,
        device=device,
    )
    with Progress() as progress:
        result = compare(request, progress.hear)
    result["rows"] = sort_rows(result["rows"])
    result["notes"] += deltas.notes if deltas else ()
    agreements = [] if deltas is None else correlate(result["rows"], deltas.values)
    if json:
        emit_json({**result, "correlations": [agreement.content() for agreement in agreements]})
        return
    for note in (*result["notes"], *result["left_out"]):
        say_wrapped(f"note: {note}")
    if csv or latex:
        emit_table(list_columns(result["rows"]), result["rows"], csv=csv, latex=latex)
        return
    print_result(result)
    if agreements:
        print_agreements([(f"{a.measure} · {a.embedder}", a.sentence, a.measure) for a in agreements])


def split(values: Sequence[str]) -> tuple[str, ...]:
    """Names given one by one or with commas."""
    return tuple(name for value in values for name in value.replace(" ", "").split(",") if name)


def list_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Every column, texts as they are."""
    shown = {"value": significant, "low": significant, "high": significant}
    return [Column(key, key, shown.get(key, "")) for key in rows[0]]


def print_result(result: Mapping[str, Any]) -> None:
    """A table for each measure and embedder; the zero-shot loss last and apart."""
    settings = result["settings"]
    reference, *_ = result["texts"]
    print_wrapped(
        f"Reference: {reference['name']} ({reference['documents']:,} documents). {settings['samples']:,} samples of "
        f"{settings['sample_tokens']:,} tokens ({name_tokens(settings['tokenizer'])}) of each text, seed "
        f"{settings['seed']}; {name_interval(settings)}"
    )
    for key, rows in group(result["rows"]):
        print()
        print_wrapped(describe(*key, rows[0], settings))
        emit_table(DOMAIN_COLUMNS, rows)


def group(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], list[Mapping[str, Any]]]]:
    """The rows of each measure and embedder; the zero-shot loss, which is no similarity, last."""
    keys = dict.fromkeys((row["measure"], row["embedder"]) for row in rows)
    for key in sorted(keys, key=lambda key: key[0] == ZERO_SHOT):
        yield key, [row for row in rows if (row["measure"], row["embedder"]) == key]


def describe(measure: str, embedder: str, row: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """What a table shows: the measure, what it looks at and which way it points."""
    if measure == ZERO_SHOT:
        return (
            f"zero_shot, apart: loss of {row['encoder']} in nats per token, windows of {settings['sample_tokens']} "
            f"tokens read alone. {COUPLING}."
        )
    encoder = "" if embedder == "tokens" else f", {row['encoder']}"
    return f"{measure} · {embedder}{encoder}: {'higher' if row['higher_is_closer'] else 'lower'} is closer"


def name_tokens(tokenizer: str) -> str:
    """What tokens are; without a tokenizer, in words."""
    return "words, numbers and marks: no tokenizer" if tokenizer == "pieces" else f"of {tokenizer}"


def name_interval(settings: Mapping[str, Any]) -> str:
    """How the intervals were made."""
    n = settings["bootstrap"]
    return f"95 % intervals, {n:,} resamples of documents." if n else "no intervals."


def print_agreements(agreements: Sequence[tuple[str, str, str]]) -> None:
    """How ΔL goes with each measure; the domains are the units."""
    print("\nΔL against similarity (right is more similar):")
    width = max(len(name) for name, _, _ in agreements)
    for name, sentence, measure in agreements:
        note = f" ({COUPLING})" if measure == ZERO_SHOT else ""
        print_wrapped(f"{name.ljust(width)}  {sentence}{note}", bullet="  ")
