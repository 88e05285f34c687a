"""A damaged run, or something that is none, among others: the commands show the rest."""

from __future__ import annotations

import json
import shutil

import pytest

from odyssey_tui.cli.main import run
from odyssey_tui.services.runs import find_run_ids
from store.workspace import Workspace


@pytest.mark.parametrize("damage", ["no specification", "no JSON", "a file", "an empty folder", "no attempts"])
@pytest.mark.parametrize("database", ["kept", "gone"])
def test_the_others_are_shown(own_voyage: Workspace, capsys, damage: str, database: str) -> None:
    done, waiting = find_run_ids(own_voyage, ["adapt-docs-r0-p5-xs", "adapt-tests-r0-p5-xs"])
    before = len(own_voyage.run_ids())
    if database == "gone":
        own_voyage.database_path.unlink()
    for run_id in done, waiting:
        directory = own_voyage.run(run_id)
        match damage:
            case "no specification":
                directory.spec_path.unlink()
            case "no JSON":
                directory.spec_path.write_text('{"run_id')
            case "a file":
                (own_voyage.runs / f"stray-{run_id}").touch()
            case "an empty folder":
                (own_voyage.runs / f"stray-{run_id}").mkdir()
            case "no attempts":
                shutil.rmtree(directory.path / "attempts", ignore_errors=True)
    for arguments in (["runs", "--json"], ["queue", "--json"], ["launch", "demo", "--dry-run", "--json"]):
        status = run([*arguments, "-w", str(own_voyage.root)])
        out, err = capsys.readouterr()
        assert status == 0, err
        assert json.loads(out)
    run(["runs", "--json", "-w", str(own_voyage.root)])
    lost = 2 if (damage, database) == ("no specification", "gone") else 0
    assert len(json.loads(capsys.readouterr().out)) == before - lost
