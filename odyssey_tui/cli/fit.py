"""``odyssey fit``: fit the laws again, on everything that has been measured; or at once, on a table of points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.import_ import Pair
from odyssey_tui.cli.numbers import Items, Number
from odyssey_tui.cli.output import emit_json, table_options
from odyssey_tui.cli.printing import say_wrapped


class Pairs(click.ParamType):
    """``NAME=VALUE``, several separated by commas."""

    name = "NAME=COLUMN,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, str], ...]:
        return tuple(Pair().convert(part, param, ctx) for part in str(value).split(",") if part.strip())


def merge(mapped: Sequence[tuple[tuple[str, str], ...]]) -> dict[str, str]:
    """What several ``--map`` say. A usage error where one name is given two columns."""
    merged: dict[str, str] = {}
    for name, column in (pair for pairs in mapped for pair in pairs):
        if merged.setdefault(name, column) != column:
            raise click.UsageError(f"--map says that {name} is both {merged[name]!r} and {column!r}: give one of them")
    return merged


OF_FITS = ("role", "delta", "starts", "bootstrap", "seed", "anchors", "anchor_choice", "anchor_weight", "level")
OPTIONS = {
    "workspace": {
        *("form", "forms", "anchors", "starts", "bootstrap", "domain", "experiment", "fit_ptpp", "score_ptpp", "wait"),
        *("method", "variant", "newlines", "lr", "base", "json"),
    },
    "table": {
        *("form", "forms", "points", "mapped", "where", "holdout", "cross_validate", "svg", "json", "csv", "latex"),
        *OF_FITS,
    },
    "isoflop": {
        *("isoflop", "points", "mapped", "where", "by", "bootstrap", "seed", "level", "svg", "json", "csv", "latex"),
    },
    "laws": {"laws", "form", "forms", "json", "csv", "latex"},
    "list": {"list", "domain", "experiment", "json", "csv", "latex"},
    "diff": {"diff", "form", "forms", "role", "anchors", "domain", "json", "csv", "latex"},
}
"""What each way of calling the command takes."""


@click.command()
@click.option(
    "--form", "form", multiple=True, metavar="NAME|FILE", help="A law, or your own (.yaml); several: side by side."
)
@click.option("--forms", type=Items(str), help="Laws to fit, e.g. dcpt,zero_shot.")
@click.option(
    "--anchors", type=Items(int, least=0), help="Held-out points that join a second fit; 5,10,20: several fits."
)
@click.option("--starts", type=click.IntRange(min=1), help="Starting points of the optimiser.")
@click.option("--bootstrap", type=click.IntRange(min=0), help="Refits for intervals and bands.")
@click.option("--domain", help="Which domain; default: the one fitted last, else the one with the most points.")
@click.option("--experiment", help="Only runs of this experiment.")
@click.option("--method", help="Only states adapted so: full, lora, ... Different ways are never mixed in one fit.")
@click.option("--variant", help="Only this variant of an experiment; plain: none of them.")
@click.option("--newlines", type=click.Choice(["keep", "strip"]), help="Only training text with these line ends.")
@click.option("--lr", type=Number(), help="Only this learning rate.")
@click.option("--base", help="Only from this base: a published family, or corpora joined by +.")
@click.option("--fit-ptpp", type=Items(float), help="PTPP values to fit.")
@click.option("--score-ptpp", type=Items(float), help="PTPP values to hold out and score; default: the highest.")
@click.option("--wait", is_flag=True, help="Wait for it and print the scores.")
@click.option(
    "--points",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Fit a table (.csv, .parquet, .jsonl) here and now; no workspace.",
)
@click.option("--map", "mapped", type=Pairs(), multiple=True, help="Which column is which: n_params=N,loss=loss_val.")
@click.option("--where", help="Only these rows: 'train=rpj and n_params>1e6'.")
@click.option("--holdout", multiple=True, metavar="WHERE", help="Rows to predict, not to fit; several: any of them.")
@click.option("--anchor-choice", type=click.Choice(["cheapest", "random"]), help="Sizes they are of [cheapest].")
@click.option("--anchor-weight", type=Number(min=0, min_open=True), help="What each counts for [1].")
@click.option("--role", type=click.Choice(["target", "base"]), help="Which loss it is [target].")
@click.option("--delta", type=Number(min=0, min_open=True), help="Of the Huber loss on logarithms [0.001].")
@click.option("--seed", type=click.IntRange(min=0), help="Of starts, bootstrap and anchors [0].")
@click.option(
    "--cross-validate",
    is_flag=False,
    flag_value="auto",
    type=click.Choice(["auto", "ptpp", "n_params", "checkpoint"]),
    help="Compare laws by leaving out each PTPP (or N, or both) in turn.",
)
@click.option("--level", type=Number(0, 1, min_open=True, max_open=True), help="Of intervals [0.9].")
@click.option("--laws", is_flag=True, help="The laws there are; with --form one of them, with its parameters' bounds.")
@click.option("--list", is_flag=True, help="The fits stored here: what each is of, how good, whether it is old.")
@click.option("--diff", nargs=2, metavar="A B", help="What changed between two of them (numbers of --list, or names).")
@click.option("--isoflop", is_flag=True, help="Of --points: the best size at each budget of FLOPs, and its power law.")
@click.option("--by", type=Items(str), help="With --isoflop: columns whose values are fitted apart.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --points: measured against predicted rows, with --isoflop the optima, as .svg or .png.",
)
@table_options
@click.pass_context
def fit(context: click.Context, **options: Any) -> None:
    """Fit scaling laws: to the adapted states of a domain, or to a table of points.

    Without --points: queue a fit to all adapted states of a domain; 'odyssey forecast' shows the result. What is not
    given is as in the domain's newest fit. The same fit of the same runs is not done twice.

    \b
    With --points, nothing is stored. Columns, known by name or by --map:
      loss, n_params (N), ptpp (P) or pretrain_tokens, atpp (A) or adapt_tokens
      (D), replay_ratio (ρ) or share (r), zero_shot_loss (L0), quality (Q),
      corpus, role (target or base), group (for the bootstrap), weight, seed,
      base_epochs, target_epochs, replay_epochs (how often texts were read)
    With --isoflop also flops (C; without: 6·N·D).

    --laws lists the laws; --list and --diff look at the fits that are stored already.
    """
    mode = next((name for name in ("laws", "list", "diff", "isoflop") if options[name]), "")
    mode = mode or ("table" if options["points"] else "workspace")
    refuse_of_mode(options, mode)
    forms = (*options.pop("form"), *(options.pop("forms") or ()))
    chosen = {name: value for name, value in options.items() if name in OPTIONS[mode]}
    if mode == "isoflop":
        fit_isoflop_here(**chosen)
    elif mode == "laws":
        list_laws_here(forms, **chosen)
    elif mode == "list":
        list_fits_here(context, **chosen)
    elif mode == "diff":
        diff_fits_here(context, forms=forms, **chosen)
    elif mode == "table":
        fit_table_here(forms=forms, **chosen)
    else:
        fit_workspace(context, forms or None, **chosen)


def refuse_of_mode(options: dict[str, Any], mode: str) -> None:
    """A usage error naming the options given that do not belong to this way of calling ``fit``."""
    foreign = [name for name in options if name not in OPTIONS[mode]]
    if mode in ("workspace", "table"):
        others = [name for name in foreign if name in OPTIONS["table" if mode == "workspace" else "workspace"]]
        refuse_foreign(options, others, mode == "table")
    if given := list_given(options, foreign):
        owner = mode if mode not in ("workspace", "table") else next(k for k in OPTIONS if given[0] in OPTIONS[k])
        raise click.UsageError(f"{tell_given(given)} {'not ' if owner == mode else ''}for --{owner}")


def refuse_foreign(options: dict[str, Any], foreign: Sequence[str], of_table: bool) -> None:
    """A usage error naming the options given that do not belong to the way chosen."""
    if given := list_given(options, foreign):
        rule = "for what a workspace holds" if of_table else "for a table: add --points FILE"
        raise click.UsageError(f"{tell_given(given)} {rule}")


def list_given(options: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Which of these options were given."""
    return sorted(name for name in names if options[name] not in (None, (), False))


def tell_given(given: Sequence[str]) -> str:
    """``--seed, --where are``."""
    names = ", ".join("--" + {"mapped": "map"}.get(name, name).replace("_", "-") for name in given)
    return f"{names} {'is' if len(given) == 1 else 'are'}"


def list_laws_here(forms: tuple[str, ...], laws: bool, **options: bool) -> None:
    """``--laws``."""
    from odyssey_tui.cli.fit_laws import print_laws

    print_laws(forms, **options)


def list_fits_here(context: click.Context, list: bool, **options: Any) -> None:
    """``--list``."""
    from odyssey_tui.cli.fit_stored import print_stored

    invocation: Invocation = context.obj
    print_stored(invocation.open(), **options)


def diff_fits_here(
    context: click.Context,
    forms: tuple[str, ...],
    diff: tuple[str, str],
    domain: str | None,
    role: str | None,
    anchors: tuple[int, ...] | None,
    **options: bool,
) -> None:
    """``--diff``."""
    from odyssey_tui.cli.fit_stored import print_diff
    from odyssey_tui.services.fit_diff import diff_fits

    if sum(options.values()) > 1:
        raise click.UsageError("--json, --csv and --latex exclude each other")
    invocation: Invocation = context.obj
    roles = (role,) if role else ()
    found = diff_fits(invocation.open(), *diff, domain=domain, roles=roles, forms=forms, anchors=anchors or ())
    print_diff(found, **options)


def fit_isoflop_here(isoflop: bool, points: tuple[Path, ...], **options: Any) -> None:
    """``--isoflop``."""
    from odyssey_tui.cli.isoflop import fit_isoflop

    if not points:
        raise click.UsageError("--isoflop needs a table: --points FILE")
    fit_isoflop(
        [path.expanduser() for path in points],
        mapped=merge(options["mapped"]),
        where=options["where"] or "",
        by=options["by"] or (),
        draws=1000 if options["bootstrap"] is None else options["bootstrap"],
        seed=options["seed"] or 0,
        level=options["level"] or 0.9,
        **{name: options[name] for name in ("svg", "json", "csv", "latex")},
    )


def fit_table_here(forms: tuple[str, ...], points: tuple[Path, ...], **options: Any) -> None:
    """``--points``."""
    from odyssey_tui.cli.fit_points import fit_points
    from odyssey_tui.services.table_fits import TableOptions

    if not forms:
        raise click.UsageError("--points needs a law: --form dcpt (docs/laws.md lists them)")
    chosen = {name: options[name] for name in OF_FITS if options[name] is not None}
    if chosen.get("anchors") and not options["holdout"]:
        raise click.UsageError("--anchors are held-out points: say which are held out: --holdout 'ptpp>200'")
    if options["svg"] and not options["holdout"]:
        raise click.UsageError("--svg draws held-out points: say which are held out: --holdout 'ptpp>200'")
    fit_points(
        [path.expanduser() for path in points],
        forms,
        mapped=merge(options["mapped"]),
        where=options["where"] or "",
        holdout=options["holdout"],
        options=TableOptions(**chosen),
        cross_validate=options["cross_validate"] or "",
        **{name: options[name] for name in ("svg", "json", "csv", "latex")},
    )


def fit_workspace(
    context: click.Context,
    forms: tuple[str, ...] | None,
    *,
    wait: bool,
    json: bool,
    domain: str | None,
    experiment: str | None,
    **options: Any,
) -> None:
    """Queue a fit run."""
    from odyssey_tui.services.fitting import fit_again
    from odyssey_tui.services.scatter_cells import Wanted

    invocation: Invocation = context.obj
    workspace = invocation.open()
    wanted = Wanted(**{name: options[name] for name in ("method", "variant", "newlines", "lr", "base")})
    asked = {name: options[name] for name in ("fit_ptpp", "score_ptpp", "anchors", "starts", "bootstrap")}
    fitting = fit_again(workspace, domain=domain, experiment=experiment, wanted=wanted, forms=forms, **asked)
    if wait:
        wait_for(workspace, fitting.run_id)
    if json:
        emit_json({**vars(fitting), "job": fitting.job.content()})
        return
    verb = "queued" if fitting.queued else f"is there already ({fitting.state})"
    held_out = ", ".join(f"{value:g}" for value in fitting.job.score_ptpp) or "nothing"
    population = f" ({fitting.population})" if fitting.population else ""
    click.echo(
        f"{fitting.run_id} {verb}: {len(fitting.job.forms)} laws on {fitting.n_points} points of {fitting.n_runs} "
        f"runs adapted to {fitting.domain}{population}; held out: P = {held_out}.",
        err=wait,
    )
    for sentence in fitting.left_out:
        say_wrapped(sentence)
    if wait:
        from odyssey_tui.cli.forecast import forecast

        context.invoke(forecast, domain=fitting.domain)


def wait_for(workspace: Any, run_id: str) -> None:
    """Follow the run until it has ended; an error when it did not end well."""
    from odyssey_tui.cli.demo import follow
    from odyssey_tui.services.demo import DemoWatch
    from store.errors import OdysseyError
    from store.ingest import ingest

    watched = follow(DemoWatch(workspace, [run_id]), 1)
    ingest(workspace)
    if watched.failed:
        raise OdysseyError(watched.failed[0], f"'odyssey logs {run_id}' shows what it said.")
