"""``odyssey evaluate``: any model on any text, without a workspace."""

from __future__ import annotations

from typing import Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped
from odyssey_tui.cli.progress import Progress
from odyssey_tui.services.format import number

DEFAULT_WINDOW = 1024
COLUMNS = (
    Column("file", "text"),
    Column("documents", "docs", ",", drop=2),
    Column("tokens", "tokens", ","),
    Column("predicted", "predicted", ","),
    Column("bytes", "bytes", ",", drop=1),
    Column("loss", "loss", lambda value: number(value, 4)),
    Column("ppl", "PPL", lambda value: number(value, 3)),
    Column("bits_per_byte", "bits/byte", lambda value: number(value, 4)),
)


@click.command()
@click.option("--model", "name", required=True, metavar="ID|DIR|RUN@STATE", help="What to evaluate.")
@click.option("--revision", help="Revision of a hub id.")
@click.option("--text", "texts", multiple=True, metavar="FILE…", help="Text, .jsonl or .parquet; also .gz, .xz, .zst.")
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "--scheme",
    type=click.Choice(["blocks", "strided", "rolling"]),
    default="blocks",
    show_default=True,
    help="See above.",
)
@click.option("--window", type=click.IntRange(min=1), help="Tokens [the model's context, at most 1024].")
@click.option("--stride", type=click.IntRange(min=1), help="By how much windows advance (strided only).")
@click.option("--bos", is_flag=True, help="Put BOS before every window, so that its first token is predicted too.")
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="Of the computation."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where it is computed.",
)
@click.option("--batch-tokens", type=click.IntRange(min=1), default=8192, show_default=True, help="Tokens in a batch.")
@click.option("--per-token", metavar="OUT.parquet", help="Write one row per token with its loss.")
@click.option("--trust-remote-code", is_flag=True, help="Let the model's repository run its own code.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled weights, which can run any code.")
@table_options
@click.pass_obj
def evaluate(
    invocation: Invocation,
    name: str,
    revision: str | None,
    texts: tuple[str, ...],
    more: tuple[str, ...],
    scheme: str,
    window: int | None,
    stride: int | None,
    bos: bool,
    precision: str,
    device: str,
    batch_tokens: int,
    per_token: str | None,
    trust_remote_code: bool,
    allow_pickle: bool,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """Score a model on texts: loss, perplexity, bits per byte, and the loss of every token.

    \b
    blocks   windows that do not overlap; the first token of each is not scored
    strided  windows that advance by --stride; each token but the first is scored
    rolling  every token is scored, the first from BOS (lm-evaluation-harness)

    A plain file is one document, taken exactly as it is; of .jsonl and .parquet each `text` is one. The documents of a
    file follow each other directly, without separators.
    """
    from engine.spec.run import Scheme
    from engine.spec.scoring import Scoring
    from odyssey_tui.services.scoring import name_model, score

    files = (*texts, *more)
    if not files:
        raise click.UsageError("there is no text to evaluate; add --text FILE")
    if (scheme == "strided") != (stride is not None):
        raise click.UsageError(
            "--scheme strided needs --stride N, for example half the window"
            if stride is None
            else f"--stride belongs to --scheme strided, not to {scheme}"
        )
    model, workspace = name_model(name, revision, invocation.open)
    scoring = Scoring(
        model=model.model_copy(update={"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}),
        workspace=None if workspace is None else str(workspace.root),
        files=files,
        scheme=Scheme(kind=scheme, window=window or DEFAULT_WINDOW, stride=stride, bos=bos, precision=precision),
        shorten=window is None,
        batch_tokens=batch_tokens,
        device=device,
        per_token=per_token,
    )
    with Progress("tokens") as progress:
        result = score(scoring, progress.hear)
    if json:
        emit_json(result)
    elif csv or latex:
        emit_table(COLUMNS, list_rows(result), csv=csv, latex=latex)
    else:
        print_result(result)


def list_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each file and, of several, one for all."""
    rows = list(result["files"])
    return [*rows, {"file": "all", **result["total"]}] if len(rows) > 1 else rows


def print_result(result: dict[str, Any]) -> None:
    """What was evaluated how, and the numbers."""
    scheme = result["scheme"]
    stride = f", stride {scheme['stride']}" if scheme["stride"] else ""
    bos = ", BOS" if scheme["bos"] else ""
    print_wrapped(
        f"{result['model']}: {scheme['kind']}, window {scheme['window']}{stride}{bos}, {scheme['precision']} on "
        f"{result['device']}"
    )
    print()
    rows = list_rows(result)
    emit_table(COLUMNS, rows)
    if result["total"]["m2d2_script_ppl"] is not None:
        values = ", ".join(number(row["m2d2_script_ppl"], 3) for row in rows)
        print()
        print_wrapped(f"M2D2's script, which weights the mean of a window by its length, would say PPL {values}.")
    if result["per_token"]:
        print()
        print_wrapped(f"Losses of all tokens: {result['per_token']}")
