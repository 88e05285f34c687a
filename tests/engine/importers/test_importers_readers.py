"""Readers of other tools' files give what was logged, from real files of several versions; damage is told."""

from __future__ import annotations

import math
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from engine.importers import tensorboard, trackio, wandb
from engine.importers.detect import read_all, recognise
from engine.importers.protobuf import WireError, fields, signed, zigzag
from engine.importers.recorded import Recorded
from engine.importers.tfrecord import masked_crc32c
from tests.support.recordings import DATA, TENSORBOARD, TRACKIO, WANDB, tfrecord, unpack_trackio, wandb_file


def series(run: Recorded, name: str) -> list[tuple[int | None, float]]:
    return [(m.step, m.values[name]) for m in run.measurements if name in m.values]


@pytest.mark.parametrize("version", TENSORBOARD)
def test_tensorboard_gives_what_was_logged(version: str) -> None:
    found = tensorboard.read([DATA / version])
    run = next(run for run in found.runs if run.name == "run1")
    assert found.unread == ()
    steps = [(index * 10, 4 - 0.1 * index) for index in range(30)]
    assert [step for step, _ in series(run, "train/loss")] == [step for step, _ in steps]
    # Written as float32.
    assert [v for _, v in series(run, "train/loss")] == pytest.approx([v for _, v in steps], rel=1e-6)
    assert [v for _, v in series(run, "lr")] == pytest.approx([1e-3 / (i + 1) for i in range(30)], rel=1e-6)
    assert math.isnan(series(run, "nan")[0][1])
    assert run.config == {"lr": 0.1, "bs": 4, "name": "x", "flag": True, "config": "lr=1"}
    assert series(run, "hparam/acc") == [(0, 0.5)]
    assert run.started <= run.measurements[0].t <= run.ended


def test_tensors_of_one_number_are_scalars_and_folders_are_runs() -> None:
    runs = {run.name: run for run in tensorboard.read([DATA / "tensorboard-torch-2.13"]).runs}
    tensors, doubles = series(runs["run1"], "eval/loss"), series(runs["run1"], "dbl")
    assert [step for step, _ in tensors] == [0, 100, 200]
    assert [v for _, v in tensors] == pytest.approx([3, 2.9, 2.8], rel=1e-6)
    assert doubles == [(index * 100, 3 - 0.1 * index) for index in range(3)]
    assert {name: series(run, "both") for name, run in runs.items() if name != "run1"} == {
        "run1/both_a": [(5, 1.0)],
        "run1/both_b": [(5, 2.0)],
    }


def test_the_checksum_is_crc32c() -> None:
    # The check value of CRC-32C, 0xE3069283 for "123456789", masked as TFRecord does.
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_a_torn_end_and_a_damaged_record_cost_only_themselves(tmp_path: Path) -> None:
    shutil.copytree(DATA / "tensorboardX-2.6.5" / "run1", tmp_path / "run1")
    file = next(path for path in (tmp_path / "run1").iterdir() if path.is_file())
    content = bytearray(file.read_bytes())
    whole = tensorboard.read([tmp_path])
    offsets = record_offsets(bytes(content))
    content[offsets[5] + 12 + 20] ^= 0xFF
    file.write_bytes(content[:-3])
    found = tensorboard.read([tmp_path])
    assert [(u.place, u.file) for u in found.unread] == [
        (f"byte {offsets[5]}", file),
        (f"byte {offsets[-1]}", file),
    ]
    assert "checksum" in found.unread[0].reason
    assert "cut off" in found.unread[1].reason
    values = [sum(len(m.values) for m in runs.runs[0].measurements) for runs in (whole, found)]
    assert values[1] == values[0] - 1  # the last record was a text
    assert found.runs[0].source_id == whole.runs[0].source_id


def record_offsets(content: bytes) -> list[int]:
    offsets, position = [], 0
    while position < len(content):
        offsets.append(position)
        position += 16 + struct.unpack_from("<Q", content, position)[0]
    return offsets


def test_a_record_that_is_no_event_is_told(tmp_path: Path) -> None:
    file = tmp_path / "events.out.tfevents.1.host"
    file.write_bytes(tfrecord(b"\x09" + struct.pack("<d", 12.0)) + tfrecord(b"\xff\xff"))
    found = tensorboard.read([tmp_path])
    assert [run.started for run in found.runs] == [12.0]
    assert "no event" in found.unread[0].reason
    file.write_bytes(b"no records at all, but long enough for a header")
    found = tensorboard.read([file])
    assert found.runs == ()
    assert "damaged" in found.unread[0].reason


@pytest.mark.parametrize("version", WANDB)
def test_wandb_gives_what_was_logged(version: str) -> None:
    found = wandb.read([DATA / version])
    runs = {run.name: run for run in found.runs}
    run = runs["lora r8"]
    assert series(run, "train/loss") == [(i, 4.0 - 0.1 * i) for i in range(20)]
    assert series(run, "num_tokens") == [(i, (i + 1) * 1024) for i in range(20)]
    assert series(run, "eval/loss") == [(25, 2.5)]
    assert series(run, "eval.ppl") == [(25, math.exp(2.5))]
    last = run.measurements[-1].values
    assert math.isnan(last["bad"])
    assert last["big"] == math.inf
    model = {"name": "gpt2", "layers": [1, 2]}
    told = {"lr": 5e-4, "rank": 8, "model": model, "domain": "law", "summary": {"best": 1.25, "text": "hello"}}
    assert run.config == told
    assert (run.state, run.project, run.host, run.version.split("+")[0]) == ("done", "legal", "vm", version[6:])
    assert (runs["failed"].state, runs["failed"].reason) == ("failed", "exit code 3")
    assert series(runs["failed"], "loss") == [(0, 1.0), (1, 0.5)]
    assert [u.reason for u in found.unread] == ["values that are no numbers: hist, text"]


@pytest.mark.parametrize("version", WANDB)
def test_a_wandb_log_cut_off_anywhere_gives_what_stands_before(version: str, tmp_path: Path) -> None:
    content = wandb_file(version, "lora r8").read_bytes()
    whole = wandb.read([wandb_file(version, "lora r8")]).runs[0]
    cut = tmp_path / "run-x.wandb"
    counts = []
    for length in range(0, len(content), 97):
        cut.write_bytes(content[:length])
        found = wandb.read([cut])
        counts += [len(run.measurements) for run in found.runs]
        for run in found.runs:
            assert run.state == "lost"
            assert run.source_id == whole.source_id
            assert list(map(repr, run.measurements)) == list(map(repr, whole.measurements[: len(run.measurements)]))
        assert found.runs or found.unread
    assert counts == sorted(counts)
    assert counts[-1] == len(whole.measurements)


def test_a_damaged_block_of_a_wandb_log_costs_that_block(tmp_path: Path) -> None:
    content = bytearray(wandb_file("wandb-0.31.0", "lora r8").read_bytes())
    content[900] ^= 0xFF
    (tmp_path / "run-x.wandb").write_bytes(content)
    found = wandb.read([tmp_path])
    assert len(found.runs) == 1
    assert any("damaged" in u.reason and u.place.startswith("byte ") for u in found.unread)
    (tmp_path / "run-x.wandb").write_bytes(b":W&B\xe1\xbe\x07" + bytes(content[7:]))
    assert "version that is not known" in wandb.read([tmp_path]).unread[0].reason


@pytest.mark.parametrize("version", TRACKIO)
def test_trackio_gives_what_was_logged(version: str, tmp_path: Path) -> None:
    file = unpack_trackio(version, tmp_path)
    before = file.read_bytes()
    found = trackio.read([tmp_path])
    run, second = found.runs
    assert [v for _, v in series(run, "train/loss")] == pytest.approx([3 - 0.1 * i for i in range(12)])
    assert series(run, "num_tokens") == [(i, 1024 * (i + 1)) for i in range(12)]
    assert math.isnan(series(run, "v")[3][1])
    assert run.config == {"lr": 5e-5, "domain": "law", "rank": 8}
    assert (run.name, run.project, second.name, second.config) == ("base-run", "legal", "second", {"lr": 1e-4})
    assert [v for _, v in series(second, "loss")] == [1.5, 1.25]
    assert [(u.place, u.reason) for u in found.unread] == [("run base-run", "values that are no numbers: note")]
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_trackio_database_in_use_is_read_with_its_newest_rows(tmp_path: Path) -> None:
    file = unpack_trackio("trackio-0.5.3", tmp_path)
    writer = sqlite3.connect(file)
    try:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute(
            "INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES "
            "('2026-11-21T00:00:00+00:00', 'second', 9, '{\"loss\": 0.75}'), "
            "('2026-11-21T00:00:00+00:00', 'second', 10, '{broken'), ('yesterday', 'second', 11, '{}')"
        )
        writer.commit()
        names = sorted(path.name for path in tmp_path.iterdir())
        found = trackio.read([file])
        assert series(found.runs[1], "loss")[-1] == (9, 0.75)
        assert [u.place for u in found.unread if "no measurement" in u.reason] == ["metrics row 16", "metrics row 17"]
        assert sorted(path.name for path in tmp_path.iterdir()) == names
    finally:
        writer.close()


def test_other_databases_and_damaged_ones_are_told(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE metrics (key TEXT)")
    other.commit()
    other.close()
    damaged = unpack_trackio("trackio-0.5.3", tmp_path / "d")
    damaged.write_bytes(damaged.read_bytes()[:5000])
    found = trackio.read([tmp_path])
    assert found.runs == ()
    assert {u.file: u.reason.partition(":")[0] for u in found.unread} == {
        tmp_path / "other.db": "a SQLite file, but not Trackio's",
        damaged: "cannot be read",
    }


def test_a_path_is_recognised_by_its_content(tmp_path: Path) -> None:
    file = unpack_trackio("trackio-0.5.3", tmp_path).rename(tmp_path / "anything")
    assert recognise(file) == {"trackio"}
    renamed = tmp_path / "nameless"
    renamed.write_bytes(wandb_file("wandb-0.31.0", "failed").read_bytes())
    assert recognise(renamed) == {"wandb"}
    assert recognise(DATA / "tensorboardX-2.6.5") == {"tensorboard"}
    assert recognise(DATA) == {"tensorboard", "wandb"}
    (tmp_path / "notes.txt").write_text("loss went down")
    found = read_all([tmp_path / "notes.txt", tmp_path / "absent"], None, {}, {})
    assert found.runs == ()
    assert ["neither Trackio's" in found.unread[0].reason, found.unread[1].reason] == [
        True,
        "there is no such file or folder",
    ]


def test_the_wire_format() -> None:
    assert list(fields(b"\x08\x96\x01\x12\x02hi")) == [(1, 150), (2, b"hi")]
    assert signed(2**64 - 1) == -1
    assert [zigzag(value) for value in (0, 1, 2, 3)] == [0, -1, 1, -2]
    for broken in (b"\x08", b"\x12\x05hi", b"\x0b"):
        with pytest.raises(WireError):
            list(fields(broken))
