"""``odyssey tokens`` on stored evaluations and on files, as text, JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from odyssey_tui.cli.exits import Exit
from odyssey_tui.cli.main import run
from store.database import lease
from store.workspace import Workspace
from tests.support.token_tables import TEXTS, Written, make_text, write_pair

Capture = pytest.CaptureFixture[str]


def call(capsys: Capture, *arguments: str) -> str:
    """Standard output of a call that succeeds."""
    status = run(["tokens", *arguments])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def refuse(capsys: Capture, *arguments: str, status: int) -> str:
    """The one message of a call that fails."""
    assert run(["tokens", *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    return err


@pytest.fixture
def stored(voyage: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    """An adapted run of the workspace that is in use."""
    monkeypatch.setenv("ODYSSEY_WORKSPACE", str(voyage.root))
    return next(name for name in voyage.run_ids() if name.startswith("adapt-docs-r0-p15-s-"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two tables, and no workspace far and wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ODYSSEY_WORKSPACE", str(tmp_path / "none"))
    return write_pair(tmp_path, make_text(), streams=[400])


@pytest.mark.parametrize("more", [(), ("--mask", "newline,#3"), ("--positions",), ("--passages", "3")], ids=str)
@pytest.mark.parametrize("kind", ["stored", "files"])
def test_text_fits_80_columns_without_escapes(request, capsys: Capture, kind: str, more: tuple[str, ...]) -> None:
    names = request.getfixturevalue(kind)
    out = call(capsys, *([names] if isinstance(names, str) else names), *more)
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert "+ is worse" in out
    assert "bits/byte" in out
    assert "documents · blocks, window" in out
    if more[:1] == ("--passages",):
        assert out.count("Δ +") == 3
        assert "⏎" in out
        assert "‹" in out
    if more == ("--positions",):
        assert "By tokens of context" in out


@pytest.mark.parametrize("kind", ["stored", "files"])
def test_json_adds_up(request, capsys: Capture, kind: str) -> None:
    names = request.getfixturevalue(kind)
    more = ("--top", "1000", "--mask", "newline", "--positions", "--passages", "2", "--json")
    found = json.loads(call(capsys, *([names] if isinstance(names, str) else names), *more))
    delta = pytest.approx(found["delta"])
    assert sum(row["contribution"] for row in found["types"]) == delta
    assert sum(row["contribution"] for row in found["classes"]) == delta
    assert found["loss_after"] - found["loss_before"] == delta
    assert all(row["low"] <= row["contribution"] <= row["high"] for row in found["classes"])
    assert found["interval"]["low"] < found["delta"] < found["interval"]["high"]
    masked = found["masked"]
    newline = next(row for row in found["classes"] if row["token_class"] == "newline")
    assert masked["predicted"] == found["predicted"] - newline["count"]
    assert masked["delta"] * masked["predicted"] == pytest.approx(
        (found["delta"] - newline["contribution"]) * found["predicted"]
    )
    assert masked["interval"]["low"] < masked["delta"] < masked["interval"]["high"]
    points = found["positions"]["points"]
    assert sum(point["count"] for point in points) == found["predicted"]
    assert sum(point["delta"] * point["count"] for point in points) == pytest.approx(
        found["delta"] * found["predicted"], rel=1e-3
    )
    assert [passage["delta"] for passage in found["passages"]] == sorted(
        (passage["delta"] for passage in found["passages"]), reverse=True
    )
    assert len(found["passages"][0]["tokens"]) == 64


def test_csv_and_latex_are_the_types_or_the_positions(capsys: Capture, stored: str) -> None:
    rows = list(csv.DictReader(io.StringIO(call(capsys, stored, "--top", "5", "--csv"))))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[0]["text"] == "\\n"
    points = list(csv.DictReader(io.StringIO(call(capsys, stored, "--positions", "--csv"))))
    assert {"position", "count", "before", "after", "delta"} == points[0].keys()
    assert call(capsys, stored, "--latex").startswith(r"\begin{tabular}")


def test_masks_may_be_several_classes_tokens_and_a_comma(capsys: Capture, files: tuple[str, str]) -> None:
    def masked(*options: str) -> list[int]:
        return json.loads(call(capsys, *files, *options, "--json"))["masked"]["token_ids"]

    assert masked("--mask", "newline, digits", "--mask", "wine") == [0, 2, 4]
    assert masked("--mask", "\\n") == [0]
    assert masked("--mask", "\n") == [0]
    assert masked("--mask", ",") == [3]
    assert masked("--mask", "␣the") == [1]
    assert masked("--mask", "عربي,#6") == [5, 6]
    found = json.loads(call(capsys, *files, "--mask", ",".join(f"#{n}" for n in range(len(TEXTS))), "--json"))["masked"]
    assert (found["predicted"], found["ppl_before"]) == (0, None)
    assert "nothing is left" in call(capsys, *files, "--mask", ",".join(f"#{n}" for n in range(len(TEXTS))))


def test_escapes_in_a_file_of_others_are_written_out(capsys: Capture, tmp_path: Path) -> None:
    text = make_text()
    names = write_pair(tmp_path, text)
    words = [{6: "\x1b[2J\x07"}.get(token, TEXTS[token]) for token in text.token_id.tolist()]
    for name in names:
        table = pq.read_table(name)
        pq.write_table(table.set_column(table.column_names.index("token"), "token", [words]), name)
    for form in ((), ("--passages", "5"), ("--latex",)):
        out = call(capsys, *names, *form)
        assert "\x1b" not in out
        assert "\x07" not in out
    assert "\\x1b[2J" in call(capsys, *names)


def test_the_same_losses_twice_are_remarked_on(capsys: Capture, tmp_path: Path) -> None:
    text = make_text()
    names = write_pair(tmp_path, Written(text.token_id, text.document, text.before, text.before))
    assert run(["tokens", *names]) == 0
    out, err = capsys.readouterr()
    assert "No token type rises" in out
    assert "all losses are the same in both" in err


def test_a_pair_of_which_only_sums_are_kept(voyage: Workspace, tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(voyage.root, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints", "cache"))
    with lease(Workspace.open(tmp_path / "copy"), write=True) as con:
        con.execute("DELETE FROM token_losses")
    name = next(name for name in voyage.run_ids() if name.startswith("adapt-docs-r0-p15-s-"))
    place = ("-w", str(tmp_path / "copy"))
    out = call(capsys, name, *place, "--mask", "newline")
    assert "only sums are kept: no interval" in out
    assert json.loads(call(capsys, name, *place, "--json"))["classes"][0]["low"] is None
    assert "store rebuild --from BACKUP" in refuse(capsys, name, *place, "--positions", status=Exit.FAILED)
    refuse(capsys, name, *place, "--passages", "1", status=Exit.FAILED)


def test_mistakes_are_one_message_with_what_to_do(capsys: Capture, stored: str, tmp_path: Path) -> None:
    assert "Did you mean 'newline'" in refuse(capsys, stored, "--mask", "newlin", status=Exit.USAGE)
    assert "exclude each other" in refuse(capsys, stored, "--csv", "--json", status=Exit.USAGE)
    assert "is not evaluated on dosc" in refuse(capsys, stored, "--set", "dosc", status=Exit.USAGE)
    assert "no run is called 'nope'" in refuse(capsys, "nope", status=Exit.FAILED)
    names = write_pair(tmp_path, make_text())
    assert "is no file" in refuse(capsys, names[0], stored, status=Exit.USAGE)
    assert "is one table" in refuse(capsys, names[0], status=Exit.USAGE)
    assert "there is no file" in refuse(capsys, names[0], "nope.parquet", status=Exit.DATA)
    assert "is given twice" in refuse(capsys, names[0], names[0], status=Exit.USAGE)


def test_losses_that_are_no_numbers_end_with_their_place(capsys: Capture, tmp_path: Path) -> None:
    text = make_text()
    after = np.where(np.arange(400) == 37, np.inf, text.after).astype(np.float32)
    names = write_pair(tmp_path, Written(text.token_id, text.document, text.before, after))
    words = refuse(capsys, *names, status=Exit.DATA)
    assert "1 loss is no finite number (NaN or infinite), the first in row 38" in words
