"""Tables that laws are fitted to directly: columns, what is completed, what is refused, what is left out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.importers.law_points import PointTable, read_points
from store.errors import ConfigError, DataError


def read(folder: Path, content: str, **mapped: str) -> PointTable:
    file = folder / "law.csv"
    file.write_text(content, encoding="utf-8")
    return read_points([file], mapped)


def test_columns_by_symbol_by_name_and_mapped(tmp_path: Path) -> None:
    table = read(tmp_path, "N,pretrain_tokens,A,r,val,run_id\n1000,8000,2,0.75,3.5,a\n", loss="val")
    (row,) = table.rows
    expected = {"n_params": 1000.0, "ptpp": 8.0, "adapt_tokens": 2000.0, "share": 0.75, "loss": 3.5, "group": "a"}
    assert expected.items() <= row.items()
    assert table.chosen["loss"] == "val"
    assert {"n_params", "N", "val", "loss", "ptpp"} <= table.numeric
    assert {"group", "run_id"} <= table.texts


def test_parquet_and_several_files(tmp_path: Path) -> None:
    for name, loss in (("a", 3.5), ("b", 3.25)):
        pq.write_table(
            pa.table({"n_params": [1e3], "adapt_tokens": [2e3], "loss": [loss]}), tmp_path / f"{name}.parquet"
        )
    table = read_points([tmp_path / "a.parquet", tmp_path / "b.parquet"], {})
    assert [(row["place"], row["loss"]) for row in table.rows] == [
        ("a.parquet, row 1", 3.5),
        ("b.parquet, row 1", 3.25),
    ]


def test_rows_that_are_no_points_are_left_out_with_their_reasons(tmp_path: Path) -> None:
    rows = {
        "1000,8,2000,0.1,3.5": "",
        "1000,8,2000,0.10,3.50": "the same as line 2",
        "1000,8,2000,0.1,3.6": "",
        "1000,8,2000,0.1,": "it has no loss",
        "1000,8,2000,0.1,nan": "no number",
        "1000,8,2000,0.1,0": "its loss is not positive",
        "1000,8,2000,0.1,-2": "its loss is not positive",
        "1000,8,2000,0.1,40": "nats per token",
        ",8,2000,0.1,3.5": "no number of parameters",
        "1000,0,2000,0.1,3.5": "P is not positive",
        "1000,8,-1,0.1,3.5": "D is negative",
        "1000,8,2000": "3 values under 5 columns",
    }
    table = read(tmp_path, "N,P,D,rho,L\n" + "".join(f"{row}\n" for row in rows))
    reasons = {item.place: item.reason for item in table.left_out}
    for line, expected in enumerate(rows.values(), 2):
        assert expected in reasons.get(f"line {line}", ""), line
    assert [row["place"] for row in table.rows] == ["line 2", "line 4"]


def test_a_share_outside_0_to_1_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"law.csv, line 3: rho is 25; a share lies between 0 and 1") as caught:
        read(tmp_path, "N,D,rho,L\n1000,2000,0.5,3.5\n1000,2000,25,3.5\n")
    assert "percentage" in caught.value.hint


def test_a_d_of_pretraining_is_told_from_one_of_adaptation(tmp_path: Path) -> None:
    content = "N,D,tok_per_param,L\n1000,20000,20,3.5\n2000,40000,20,3.4\n"
    row = read(tmp_path, content).rows[0]
    assert (row["adapt_tokens"], row["pretrain_tokens"]) == (None, 20000)
    assert read(tmp_path, content, adapt_tokens="D").rows[0]["adapt_tokens"] == 20000


def test_a_file_without_rows_and_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 0 rows is a point"):
        read(tmp_path, "N,D,L\n")
    with pytest.raises(
        DataError, match=r"none of 1 rows is a point; the first, line 2: N is '1,000', which is no number"
    ):
        read(tmp_path, 'N,D,L\n"1,000",2000,3\n')
    with pytest.raises(DataError, match=r"laws.csv: no such file") as caught:
        read_points([tmp_path / "laws.csv"], {})
    assert "law.csv" in caught.value.hint
    with pytest.raises(ConfigError, match="there is no column 'los'"):
        read(tmp_path, "N,D,loss\n1,2,3\n", loss="los")
