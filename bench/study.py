"""A section of STUDIES.md again, by one command: its runs through the queue, then its tables and figures.

``python -m bench.study newlines --workspace DIR`` queues what is not there yet of
``bench/studies/odyssey-newlines.yaml``, follows it (Ctrl-C stops looking, not the runs) and prints what the section
quotes. The text it reads lies under ``$ODYSSEY_REFERENCE_DATA/text`` (STUDIES.md says where it comes from).
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).parent / "studies"


@dataclass(frozen=True)
class Section:
    """Experiments and the commands that tell what came of them.

    ``{figures}`` stands for the folder of figures, ``{studies}`` for that of configurations and tables. Without
    experiments nothing is run: the commands tell what a table holds.
    """

    configs: tuple[str, ...]
    commands: tuple[str, ...]


FORECASTS = tuple(
    f"forecast {{chosen}} --role {role} --form {form} {view} --svg {{{{figures}}}}/{name}-{role}.svg"
    for role, form in (("target", "quality"), ("base", "replay_odds"))
    for view, name in (("", "forecast"), ("--calibration", "calibration"))
)
"""Both losses at PTPP 279 by the law that forecasts each best, as curves and measured against predicted."""

SECTIONS: dict[str, Section] = {
    "matrix": Section(
        ("odyssey-matrix.yaml",),
        (
            "matrix odyssey-matrix --size s --svg {figures}/matrix-s.svg",
            "matrix odyssey-matrix --size xs --svg {figures}/matrix-xs.svg",
            "similarity --experiment odyssey-matrix --size s --measure jsd --svg {figures}/similarity-s.svg",
            "similarity --experiment odyssey-matrix --size xs --measure jsd --svg {figures}/similarity-xs.svg",
        ),
    ),
    "newlines": Section(
        ("odyssey-newlines.yaml",),
        (
            "matrix odyssey-newlines --rows newlines --where lr=0.001",
            "matrix odyssey-newlines --rows newlines --where lr=0.0001",
            "matrix odyssey-newlines --rows newlines --variant constant",
        ),
    ),
    "repairs": Section(
        ("odyssey-repairs.yaml",),
        (
            "repairs odyssey-repairs --domain novels2",
            "repairs odyssey-repairs --domain dialogue",
        ),
    ),
    "larger": Section(
        ("odyssey-larger.yaml",),
        (
            "matrix odyssey-larger --size m --svg {figures}/matrix-m.svg",
            "similarity --experiment odyssey-larger --size m --measure jsd --svg {figures}/similarity-m.svg",
        ),
    ),
    "grid": Section(
        ("laws-grid.yaml", "laws-grid-seeds.yaml", "laws-grid-check.yaml"),
        (
            "fit --domain french --fit-ptpp 15,31 --score-ptpp 279 --anchors 20 --bootstrap 100 --wait --forms "
            "dcpt,ptpp_additive,ptpp_gated,ptpp_gated_floor,zero_shot,quality,quality_limit,quality_share,replay_odds,"
            "forgetting",
            *(command.format(chosen="--domain french") for command in FORECASTS),
            # As bench/studies/laws-grid-points.csv.
            'store export "SELECT domain, size, n_params, ptpp, atpp, adapt_tokens, replay_ratio, base_epochs, '
            "target_epochs, replay_epochs, role, loss, zero_shot_loss, seed, run_id FROM adaptation_points "
            "WHERE experiment IN ('laws-grid', 'laws-grid-seeds') "
            'ORDER BY n_params, ptpp, replay_ratio, role, seed, atpp" --to {figures}/laws-grid-points.csv --force',
        ),
    ),
    "grid-table": Section(
        (),
        (
            "import {studies}/laws-grid-points.csv --experiment laws-grid-table",
            "fit --experiment laws-grid-table --fit-ptpp 15,31 --score-ptpp 279 --starts 300 --bootstrap 100 --wait "
            "--forms dcpt,ptpp_gated_floor,quality,replay_odds",
            *(command.format(chosen="--experiment laws-grid-table") for command in FORECASTS),
        ),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, follow and tell the sections that are asked for; the exit status of the first command that fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.study", description=__doc__.partition("\n")[0])
    parser.add_argument("section", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--workspace", type=Path, default=Path("odyssey-studies"), help="where the runs live")
    parser.add_argument("--figures", type=Path, default=Path("odyssey-studies/figures"), help="where figures go")
    parser.add_argument("--tell", action="store_true", help="tables and figures only, of what is there")
    chosen = parser.parse_args(arguments)
    runs = any(SECTIONS[name].configs for name in chosen.section)
    if runs and not os.environ.get("ODYSSEY_REFERENCE_DATA"):
        parser.error("ODYSSEY_REFERENCE_DATA is not set: export it as the folder that holds text/ (see STUDIES.md)")
    for name in chosen.section:
        section = SECTIONS[name]
        if section.configs and not chosen.tell and (status := run(section, chosen.workspace)):
            return status
        chosen.figures.mkdir(parents=True, exist_ok=True)
        for written in section.commands:
            command = written.format(figures=shlex.quote(str(chosen.figures)), studies=shlex.quote(str(CONFIGS)))
            print(f"\n== odyssey {command}", flush=True)
            if status := call(chosen.workspace, shlex.split(command)):
                return status
    return 0


def run(section: Section, workspace: Path) -> int:
    """Queue the section's experiments and follow them to their end."""
    from odyssey_tui.cli.demo import follow
    from odyssey_tui.services.demo import DemoWatch
    from odyssey_tui.services.launch import compose_whole
    from odyssey_tui.services.starts import find_config
    from store.workspace import Workspace

    configs = [str(CONFIGS / name) for name in section.configs]
    for config in configs:
        if status := call(workspace, ["launch", config]):
            return status
    opened = Workspace.open(workspace)
    composed = [compose_whole(opened, find_config(config), ()).runs for config in configs]
    run_ids = list(dict.fromkeys(run.run_id for runs in composed for run in runs))
    watched = follow(DemoWatch(opened, run_ids), len(run_ids))
    for failure in watched.failed:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if watched.failed else 0


def call(workspace: Path, arguments: Sequence[str]) -> int:
    """``odyssey`` with these arguments on the workspace."""
    command = [sys.executable, "-m", "odyssey_tui", "--workspace", str(workspace), *arguments]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
