"""``odyssey gpus``: the GPUs of this machine and whose processes use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from odyssey_tui.cli.context import Invocation
from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.services.gpus import GpuRow, count_cpu_slots, count_hidden, read_gpu_rows

if TYPE_CHECKING:
    from store.workspace import Workspace

COLUMNS = (
    Column("gpu", "GPU"),
    Column("card", "card", drop=4),
    Column("utilisation", "use", lambda share: share if share == "" else f"{share:.0%}"),
    Column("memory", "memory (GB)"),
    Column("power", "power (W)", drop=3),
    Column("temperature", "°C", drop=2),
    Column("who", "who"),
)


@click.command()
@click.option("--json", is_flag=True, help="Print JSON.")
@click.pass_obj
def gpus(invocation: Invocation, json: bool) -> None:
    """Show this machine's GPUs: use, memory, power, temperature, and whose processes hold them."""
    workspace = _workspace(invocation)
    rows = read_gpu_rows(workspace)
    if json:
        emit_json([_content(row) for row in rows])
        return
    if not rows:
        hidden = count_hidden()
        why = f"CUDA_VISIBLE_DEVICES hides every GPU ({hidden})" if hidden else "no GPU here, or no driver for one"
        click.echo(f"{why}: runs use CPU cores, {count_cpu_slots()} at a time", err=True)
        return
    emit_table(COLUMNS, [line for row in rows for line in _lines(row, workspace)])


def _workspace(invocation: Invocation) -> Workspace | None:
    """The workspace, if there is one: the cards are there without."""
    return None if invocation.planned() is not None else invocation.open()


def _lines(row: GpuRow, workspace: Workspace | None) -> list[dict[str, Any]]:
    """A line for the card with its largest user, and one for each further user."""
    gpu, here = row.gpu, workspace.root if workspace is not None else Path()
    who = [_who(user.who.replace(f" ({here})", " (here)"), user.memory) for user in row.users or ()]
    first = {
        "gpu": row.name,
        "card": gpu.name.removeprefix("NVIDIA "),
        "utilisation": gpu.utilisation,
        "memory": _of(gpu.memory_used, gpu.memory_total, 1e9, 1),
        "power": _of(gpu.power_w, gpu.power_limit_w, 1, 0),
        "temperature": gpu.temperature_c,
        "who": who[0] if who else "nobody" if row.users is not None else None,
    }
    return [first, *({**dict.fromkeys(first, ""), "who": other} for other in who[1:])]


def _who(words: str, memory: int | None) -> str:
    return words if memory is None else f"{memory / 1e9:.1f} GB {words}"


def _of(used: float | None, total: float | None, unit: float, digits: int) -> str | None:
    if used is None:
        return None
    return f"{used / unit:.{digits}f}" + ("" if total is None else f"/{total / unit:.0f}")


def _content(row: GpuRow) -> dict[str, Any]:
    gpu = row.gpu
    users = None
    if row.users is not None:
        users = [{"pid": user.pid, "who": user.who, "memory": user.memory, "own": user.own} for user in row.users]
    return {
        "gpu": row.name,
        "index": gpu.index,
        "uuid": gpu.uuid,
        "name": gpu.name,
        "utilisation": gpu.utilisation,
        "memory_used": gpu.memory_used,
        "memory_total": gpu.memory_total,
        "power_w": gpu.power_w,
        "power_limit_w": gpu.power_limit_w,
        "temperature_c": gpu.temperature_c,
        "processes": users,
    }
