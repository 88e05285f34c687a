"""``odyssey fetch``: what an experiment reads, downloaded before it is queued."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import say_error
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.services.fetch import fetch_all
from odyssey_tui.services.format import count
from odyssey_tui.services.launch import compose_whole
from odyssey_tui.services.starts import find_config

COLUMNS = (
    Column("state", "state"),
    Column("kind", "what"),
    Column("name", "name"),
    Column("revision", "revision", lambda revision: revision[:12], drop=2),
    Column("commit", "commit", lambda commit: commit[:12], drop=1),
    Column("n_bytes", "bytes", count),
)


@click.command()
@click.argument("config")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, as in base.revision=v1.")
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def fetch(invocation: Invocation, config: str, overrides: tuple[str, ...], json: bool) -> None:
    """Download the models, tokenizers and corpora that CONFIG reads; local ones are checked. Queues nothing.

    Models go to the Hugging Face cache (HF_HOME), corpora of the hub to the workspace. HF_TOKEN, HF_ENDPOINT and
    HF_HUB_OFFLINE hold as ever.
    """
    path = find_config(config)
    compose_whole(invocation.planned() or invocation.open_or_create(), path, overrides)
    found = []
    for item in fetch_all(invocation.open_or_create(), path, overrides):
        if item.state == "fetching":
            size = f" ({count(item.n_bytes)} bytes)" if item.n_bytes else ""
            click.echo(f"fetching {item.kind} {item.name}{size}", err=True)
        else:
            found.append(item)
    failed = [item for item in found if item.state == "failed"]
    if json:
        emit_json([asdict(item) for item in found])
    elif len(found) > len(failed):
        emit_table(COLUMNS, [asdict(item) for item in found if item not in failed])
        sys.stdout.flush()
    for item in failed:
        say_error(item.reason, item.hint)
    if failed:
        raise SystemExit(Exit.FAILED)
