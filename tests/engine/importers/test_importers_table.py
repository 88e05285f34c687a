"""Tables of points: columns by their names, units checked, every row that is none listed with its line."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.importers import table
from engine.importers.recorded import Found
from store.errors import ConfigError, DataError


def read(folder: Path, content: str, *, name: str = "law.csv", **mapped: str) -> Found:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return table.read([file], mapped, {})


ADAPTED = "N,P,D,rho,L,L0,role,seed\n1000,8,2000,0.1,3.5,4.0,target,1\n1000,8,4000,0.1,3.25,4.0,target,1\n"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_known_by_the_literature_s_symbols(tmp_path: Path, separator: str) -> None:
    (run,) = read(tmp_path, ADAPTED.replace(",", separator)).runs
    first, second = run.points
    expected = {"n_params": 1000, "ptpp": 8.0, "adapt_tokens": 2000, "atpp": 2.0, "tokens_seen": 8000, "seed": 1}
    expected |= {"replay_ratio": 0.1, "loss": 3.5, "zero_shot_loss": 4.0, "role": "target", "domain": "law"}
    assert expected.items() <= first.items()
    assert (first["place"], second["place"]) == ("line 2", "line 3")
    assert first["trajectory"] == second["trajectory"]


def test_all_formats_give_the_same_points(tmp_path: Path) -> None:
    names = ["N", "P", "D", "rho", "L", "L0", "role", "seed"]
    rows = [line.split(",") for line in ADAPTED.splitlines()[1:]]
    records = [
        {name: value if name == "role" else float(value) for name, value in zip(names, row, strict=True)}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "law.parquet")
    lines = "".join(f"{record}\n".replace("'", '"') for record in records)
    found = [
        read(tmp_path, ADAPTED).runs[0],
        read(tmp_path, lines, name="law.jsonl").runs[0],
        table.read([tmp_path / "law.parquet"], {}, {}).runs[0],
    ]
    points = [[{k: v for k, v in point.items() if k != "place"} for point in run.points] for run in found]
    assert points[0] == points[1] == points[2]


def test_rows_that_are_no_points_are_listed_with_their_lines_and_reasons(tmp_path: Path) -> None:
    rows = {
        "1000,8,2000,0.1,3.5,4,target,1": "",
        "1000,8,2000,0.1,3.5,4,target,1.0": "the same as line 2",
        "1000,8,2000,0.1,,4,target,1": "it has no loss",
        "1000,8,2000,0.1,-1,4,target,1": "its loss is not positive",
        "1000,8,2000,0.1,35,4,target,1": "nats per token",
        "1000,8,2000,0.1,nan,4,target,1": "no number",
        "1000,8,2000,0.1,inf,4,target,1": "no number",
        "125M,8,2000,0.1,3.5,4,target,1": "'125M', which is no number",
        "0.5,8,2000,0.1,3.5,4,target,1": "N is not a whole number",
        "1000,-8,2000,0.1,3.5,4,target,1": "P is not positive",
        "1000,8,0,0.1,3.5,4,target,1": "D is 0",
        "1000,8,-5,0.1,3.5,4,target,1": "D is negative",
        "1000,8,2000,-0.1,3.5,4,target,1": "replay ratio is negative",
        "1000,8,2000,0.1,3.5,4,law,1": "its role is none of",
        "1000,,,0.1,3.5,4,target,1": "neither tokens of adaptation",
        "1000,8,2000,0.1,3.5": "5 values under 8 columns",
    }
    found = read(tmp_path, "N,P,D,rho,L,L0,role,seed\n" + "".join(f"{row}\n" for row in rows))
    assert len(found.runs[0].points) == 1
    assert sorted(item.place for item in found.unread) == sorted(f"line {n}" for n in range(3, len(rows) + 2))
    reasons = {int(item.place.split()[1]): item.reason for item in found.unread}
    for line, expected in enumerate(rows.values(), 2):
        assert expected in reasons.get(line, "")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("N,D,P\n1,2,3\n", "no column is the loss"),
        ("loss,D\n1,2\n", "no column is the number of parameters"),
        ("N,D,P,replay_percent,loss\n1000,2000,8,10,3\n", "is a percentage"),
        ("N,D,P,rho,loss\n1000,2000,8,10,3\n1000,2000,8,0,3\n", "goes up to 10"),
        ("N,D,loss\n1000,2000,3\n", "pretraining or of adaptation"),
        ("N,D,P,loss\n1000,20000,20,3\n2000,80000,40,3\n", "N·P in every row"),
        ("N,D,P,loss,params,nll\n1,2,3,4,5,6\n", "may both be n_params"),
    ],
)
def test_a_table_that_would_mislead_is_refused_whole(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        read(tmp_path, content)
    assert error.value.hint
    assert "law.csv" in error.value.message


def test_a_mapping_decides_and_its_mistakes_are_told(tmp_path: Path) -> None:
    content = "N,D,P,loss_a,loss_b\n1000,20000,20,3,4\n2000,80000,40,2,3\n"
    (run,) = read(tmp_path, content, loss="loss_b", tokens_seen="D").runs
    assert [(p["loss"], p["tokens_seen"], p["adapt_tokens"], p["domain"]) for p in run.points] == [
        (4.0, 20000, None, "law.loss_b"),
        (3.0, 80000, None, "law.loss_b"),
    ]
    with pytest.raises(ConfigError, match="there is no column 'loss_c'") as error:
        read(tmp_path, content, loss="loss_c")
    assert "loss_" in error.value.hint
    with pytest.raises(ConfigError, match="a point has no 'lost'") as error:
        read(tmp_path, content, lost="loss_a")
    assert "'loss'" in error.value.hint


def test_only_wanted_rows(tmp_path: Path) -> None:
    file = tmp_path / "law.csv"
    file.write_text(ADAPTED.replace("target,1\n", "target,2\n", 1))
    assert [p["seed"] for p in table.read([file], {}, {"seed": "2"}).runs[0].points] == [2]
    assert table.read([file], {}, {"seed": "3"}).runs == ()
    with pytest.raises(DataError, match="no column 'sead'"):
        table.read([file], {}, {"sead": "2"})


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "law.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match="cannot read"):
        table.read([tmp_path / "law.parquet"], {}, {})
    (tmp_path / "law.csv").write_bytes(b"N,L\n\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        table.read([tmp_path / "law.csv"], {}, {})
    broken = read(tmp_path, '{"N": 1000, "loss": 3, "P": 8}\n{"N": \n[1]\n', name="law.jsonl")
    assert len(broken.runs[0].points) == 1
    assert [item.place for item in broken.unread] == ["line 2", "line 3"]
