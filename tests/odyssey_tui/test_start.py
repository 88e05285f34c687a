"""What the processes of the interface import, and what they refuse to start on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "datasets", "peft", "scipy", "pandas", "accelerate", "sklearn")
VISIT = """
import asyncio, json, sys
from odyssey_tui.app import OdysseyApp
from odyssey_tui.screens.registry import SCREENS
from store.workspace import Workspace

async def visit(root):
    app = OdysseyApp(Workspace.open(root))
    async with app.run_test(size=(120, 40)) as pilot:
        for entry in SCREENS:
            await pilot.press("escape", entry.key)
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert app.base_screen.SCOPE == entry.name, (app.base_screen, entry)

asyncio.run(visit(sys.argv[1]))
print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""
COMMAND = """
import json, sys
from odyssey_tui.cli.main import run

status = run(sys.argv[1:])
assert status == 0, status
print(json.dumps(list(sys.modules)))
"""


def imported(code: str, *arguments: str) -> set[str]:
    """Top-level modules in a fresh interpreter after ``code``, whose last line of output lists them."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_tui_process_never_imports_training_libraries(voyage) -> None:
    assert imported(VISIT, str(voyage.root)).isdisjoint(HEAVY)


def test_the_first_frame_waits_for_no_library_but_textual() -> None:
    code = "import json, sys, odyssey_tui.app, odyssey_tui.screens.runs; print(json.dumps(list(sys.modules)))"
    assert imported(code).isdisjoint({*HEAVY, "duckdb", "pyarrow", "numpy", "pydantic", "plotext", "yaml"})


def test_help_imports_neither_textual_nor_numbers() -> None:
    assert imported(COMMAND, "--help").isdisjoint({*HEAVY, "textual", "numpy", "duckdb", "pydantic", "pyarrow", "rich"})


@pytest.mark.parametrize(
    "command",
    [["runs"], ["show", "adapt-docs-r0-p5-s"], ["queue"], ["launch", "demo", "--dry-run"]],
    ids=lambda command: command[0],
)
def test_commands_never_import_training_libraries(voyage, command: list[str]) -> None:
    assert imported(COMMAND, "-w", str(voyage.root), *command).isdisjoint({*HEAVY, "textual"})


def test_listing_runs_reads_no_configuration(voyage) -> None:
    assert imported(COMMAND, "-w", str(voyage.root), "runs", "--json").isdisjoint({*HEAVY, "pydantic", "yaml", "numpy"})


def test_the_module_is_a_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "odyssey_tui", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("odyssey")
