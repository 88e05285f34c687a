"""``odyssey drift``: what moved between two states, by token type, and which of it changed the loss."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.output import Column, emit_json, emit_table, table_options
from odyssey_tui.cli.printing import print_wrapped, say_wrapped
from odyssey_tui.services.drift import percent
from odyssey_tui.services.format import number, signed
from odyssey_tui.services.token_text import visible
from store.errors import OdysseyError

if TYPE_CHECKING:
    from odyssey_tui.services.drift import DriftReport
    from odyssey_tui.services.drifting import DriftRun
    from store.workspace import Workspace

DEFAULT_WINDOW = 1024
DEFAULT_POSITIONS = 100_000
NATS = {"format": lambda value: signed(value, 4)}
COLUMNS = (
    Column("rank", "#"),
    Column("text", "token", visible),
    Column("token_class", "class", drop=3),
    Column("count", "n", ",", drop=2),
    Column("contribution", "c_v", **NATS),
    Column("from_hidden", "hidden", **NATS),
    Column("from_output", "output", **NATS),
    Column("hidden_drift", "Δh", percent),
    Column("hidden_cosine", "cos h", number, drop=1),
    Column("input_drift", "Δe", percent),
    Column("output_drift", "Δw", percent),
)
CLASS_COLUMNS = (
    Column("token_class", "class"),
    Column("n_types", "types", ","),
    Column("count", "n", ","),
    *(column for column in COLUMNS if column.key in ("contribution", "from_hidden", "from_output", "hidden_drift")),
)
FULL_PRECISION = ("token_id", "order_gap", "input_cosine", "output_cosine", "loss_before", "loss_after")
LEGEND = (
    "c_v is the type's part of ΔL, in nats per position; hidden and output are the parts of c_v that come from the "
    "changed hidden states and output embeddings. By how much of its length moved, Δh: the hidden state that predicts "
    "the token (mean); "
)
TIED, APART = "Δe: its embedding.", "Δe: its input embedding; Δw: its output embedding."


@click.command()
@click.argument("run", metavar="[RUN[@STATE]]", required=False)
@click.option("--on", default="target", show_default=True, help="Role or name of the set, of those the run scores.")
@click.option("--max-tokens", type=click.IntRange(min=1), help=f"Positions to look at [{DEFAULT_POSITIONS:,}].")
@click.option("--here", is_flag=True, help="Measure it here and now, not in the queue.")
@click.option("--wait", is_flag=True, help="Wait for the queue, then print the table.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1), help="How many token types to list.")
@click.option("--before", metavar="ID|DIR|RUN@STATE", help="Without RUN: one model,")
@click.option("--after", metavar="ID|DIR|RUN@STATE", help="the other,")
@click.option("--text", "texts", multiple=True, metavar="FILE…", help="and text; also .jsonl and .parquet.")
@click.argument("more", nargs=-1, metavar="")
@click.option("--window", type=click.IntRange(min=2), help="Tokens [the models' context, at most 1024].")
@click.option("--batch-tokens", type=click.IntRange(min=1), help="Tokens in a batch [8192].")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute [auto].")
@click.option("--trust-remote-code", is_flag=True, help="Let a model's repository run its own code.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled weights, which can run any code.")
@table_options
@click.pass_obj
def drift(
    invocation: Invocation,
    run: str | None,
    on: str,
    max_tokens: int | None,
    here: bool,
    wait: bool,
    top: int,
    json: bool,
    csv: bool,
    latex: bool,
    **alone: Any,
) -> None:
    """Show what moved between an adapted state and its base, and which of it changed the loss.

    RUN is an adapted run; its last state unless @STATE says which. Its drift is measured once, by a run of its own that
    waits in the queue; until that is done the command says how it is. Or compare any two states of one model on any
    text, without a workspace: --before MODEL --after MODEL --text FILE.
    """
    if json + csv + latex > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    forms = {"top": top, "json": json, "csv": csv, "latex": latex}
    if run is not None and alone["before"] is None and alone["after"] is None:
        refuse(alone)
        of_run(invocation.open(), run, on, max_tokens, here, wait, forms)
        return
    if here or wait or on != "target":
        raise click.UsageError("--here, --wait and --on belong to a RUN; two models are compared at once")
    report = of_models(invocation, run, max_tokens or DEFAULT_POSITIONS, **alone)
    print_report(report, **forms)


def refuse(options: dict[str, Any]) -> None:
    """A usage error for what belongs to two models and was given with a RUN."""
    if options["more"]:
        raise click.UsageError(f"one RUN at a time, not {options['more'][0]!r} too")
    for name, value in options.items():
        if value:
            shown = {"texts": "text"}.get(name, name.replace("_", "-"))
            raise click.UsageError(f"--{shown} belongs to --before and --after, not to a RUN")


def of_run(
    workspace: Workspace, run: str, on: str, max_tokens: int | None, here: bool, wait: bool, forms: dict[str, Any]
) -> None:
    """Print the drift of an adapted run, measuring it first or saying how that is."""
    from odyssey_tui.services.drift import read_run
    from odyssey_tui.services.drifting import choose_drift, queue_drift

    found = choose_drift(workspace, run, on=on, max_tokens=max_tokens)
    state = found.state
    if state != "done":
        if here:
            measure_here(workspace, found)
        else:
            state = queue_drift(workspace, found.spec)
            if not wait:
                tell_waiting(found, state, json=forms["json"])
                return
            from odyssey_tui.cli.fit import wait_for

            wait_for(workspace, found.spec.run_id)
    report = read_run(workspace, found.spec.run_id)
    if report is None:
        raise OdysseyError(
            f"run {found.spec.run_id} is done and the database has nothing of it",
            "`odyssey store check` says what is missing.",
        )
    print_report(report, **forms)


def tell_waiting(found: DriftRun, state: str, *, json: bool) -> None:
    """That the table is yet to come."""
    if json:
        emit_json({"run": found.spec.run_id, "name": found.spec.name, "state": state, "report": None})
        return
    last = f" (last time: {found.reason})" if found.state in ("failed", "lost") and found.reason else ""
    say_wrapped(f"{found.spec.run_id}: {state}{last}. The same command prints the table when it is done; --wait waits.")


def measure_here(workspace: Workspace, found: DriftRun) -> None:
    """Execute the run in the foreground, as ``odyssey adapt`` does; an error when it does not get done."""
    from engine.launch.foreground import Foreground
    from odyssey_tui.cli.adapt import agree_to_follow, execute, stopped_by_signals
    from odyssey_tui.services.drifting import require_adapted

    require_adapted(found)
    with Foreground(workspace, [found.spec]) as foreground, stopped_by_signals(foreground):
        agree_to_follow(foreground, follow=False)
        ended = execute(foreground)
    if foreground.stopped:
        click.echo("stopped; the same command begins anew", err=True)
        raise SystemExit(Exit.INTERRUPTED)
    if ended is not None:
        raise OdysseyError(f"{ended.state}: {ended.reason}", ended.hint or "The same command tries again.")


def of_models(
    invocation: Invocation,
    run: str | None,
    max_tokens: int,
    *,
    before: str | None,
    after: str | None,
    texts: tuple[str, ...],
    more: tuple[str, ...],
    window: int | None,
    batch_tokens: int | None,
    device: str | None,
    trust_remote_code: bool,
    allow_pickle: bool,
) -> DriftReport:
    """Compare two models in a process of its own."""
    from engine.spec.drifting import Drifting
    from engine.spec.run import Scheme
    from odyssey_tui.cli.evaluate import Progress
    from odyssey_tui.services.drift import from_result
    from odyssey_tui.services.drifting import compare_models
    from odyssey_tui.services.scoring import name_model

    if before is None or after is None:
        raise click.UsageError("give an adapted RUN, or two models: --before MODEL --after MODEL --text FILE")
    # What stands behind `--text FILE` without an option of its own: more files.
    files = (*texts, *([run] if run is not None else []), *more)
    if not files:
        raise click.UsageError("there is no text to compare them on; add --text FILE")
    models, workspaces = zip(*(name_model(name, None, invocation.open) for name in (before, after)), strict=True)
    allowed = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}
    asked = Drifting(
        before=models[0].model_copy(update=allowed),
        after=models[1].model_copy(update=allowed),
        workspace=next((str(found.root) for found in workspaces if found is not None), None),
        files=files,
        scheme=Scheme(window=window or DEFAULT_WINDOW),
        shorten=window is None,
        batch_tokens=batch_tokens or 8192,
        max_tokens=max_tokens,
        device=device or "auto",
    )
    with Progress() as progress:
        return from_result(compare_models(asked, progress.hear))


def print_report(report: DriftReport, *, top: int, json: bool, csv: bool, latex: bool) -> None:
    """The finding and the table, or the form of it that was asked for."""
    from odyssey_tui.services.drift import tell_correlations, tell_drift

    rows = [asdict(row) for row in report.rows(top)]
    if json:
        emit_json(record(report, rows))
        return
    columns = [column for column in COLUMNS if not (report.tied and column.key == "output_drift")]
    if csv:
        columns = [*COLUMNS, *map(Column, FULL_PRECISION)]
    if csv or latex:
        emit_table(columns, rows, csv=csv, latex=latex)
        return
    stride = f", stride {report.scheme['stride']}" if report.scheme.get("stride") else ""
    print_wrapped(f"{report.model_before} → {report.model_after}")
    print_wrapped(f"on {report.text} ({report.scheme['kind']}, window {report.scheme['window']}{stride}, fp32)")
    print()
    for sentence in tell_drift(report):
        print_wrapped(sentence)
    print()
    emit_table(columns, rows)
    print()
    emit_table(CLASS_COLUMNS, [asdict(row) for row in report.class_rows()], title="By class")
    print()
    print_wrapped(LEGEND + (TIED if report.tied else APART))
    print()
    for sentence in tell_correlations(report):
        print_wrapped(sentence)


def record(report: DriftReport, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The report as plain values."""
    whole = {
        name: getattr(report, name)
        for name in report.__dataclass_fields__
        if name not in ("columns", "split", "scheme", "text")
    }
    return {
        **whole,
        "on": report.text,
        "scheme": dict(report.scheme),
        **asdict(report.split),
        "n_types": len(report.columns["n"]),
        "correlations": {name: asdict(found) for name, found in report.correlations.items()},
        "classes": [asdict(row) for row in report.class_rows()],
        "types": rows,
    }
