from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.stats import pearson
from odyssey_tui.services.resemblance import (
    COUPLING,
    correlate,
    expand,
    read_deltas,
    read_domains,
    read_reference,
    sort_rows,
)
from store.errors import ConfigError, DataError, OdysseyError


def row(domain: str, value: float, measure: str = "jsd", *, closer: bool = False) -> dict[str, Any]:
    return {
        "domain": domain,
        "measure": measure,
        "embedder": "tokens",
        "value": value,
        "higher_is_closer": closer,
    }


def test_domains_are_names_and_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).touch()
    law, news = read_domains([f"law={tmp_path}/*.txt", "news=x=y.jsonl"])
    assert (law.name, law.files) == ("law", (f"{tmp_path}/a.txt", f"{tmp_path}/b.txt"))
    assert (news.name, news.files) == ("news", ("x=y.jsonl",))
    assert expand(f"{tmp_path}/*.md") == [f"{tmp_path}/*.md"]
    (tmp_path / "[1].txt").touch()
    assert expand(f"{tmp_path}/[1].txt") == [f"{tmp_path}/[1].txt"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["law.jsonl.xz"], ("--domain law.jsonl.xz: no NAME", "--domain law=law.jsonl.xz")),
        (["=law.txt"], ("no NAME", "--domain law=law.txt")),
        (["./a/x=y.txt"], ("no NAME", "--domain x=y=./a/x=y.txt")),
        (["law="], ("--domain law=: no FILE",)),
        (["law=a", "news=b", "law=c"], ("law is given twice", "a name of its own")),
    ],
)
def test_a_domain_written_wrongly_is_told_how_to_write_it(values: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_domains(values)
    for word in words:
        assert word in str(caught.value)


def test_the_reference_is_named_after_its_files() -> None:
    assert read_reference(["/x/wiki.jsonl.xz", "novels.txt", "y/novels.txt"]).name == "wiki+novels"
    assert len(read_reference([f"shard{number}.txt" for number in range(99)]).name) == 40


def test_deltas_are_means_over_seeds(tmp_path: Path) -> None:
    path = tmp_path / "delta.csv"
    path.write_text("\ufeffdomain, delta ,seed\nlaw,0.2,0\nlaw,0.4,1\nnews,-0.1,0\nodd,1,0\nnews,nan,1\nfar,nan,0\n")
    deltas = read_deltas(str(path), ["law", "news", "far", "sea"])
    assert deltas.values == pytest.approx({"law": 0.3, "news": -0.1})
    assert [note.partition(": ")[2] for note in deltas.notes] == [
        "ΔL of news is nan, left out",
        "ΔL of far is nan, left out",
        "also of odd, which is no --domain",
        "no ΔL of far, sea",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("cannot read", "No such file")),
        (b"", ("no column 'domain'", "It is empty")),
        (b"domain,dleta\nlaw,1\n", ("no column 'delta'", "Did you mean 'dleta'?")),
        (b"domain;delta\nlaw;1\n", ("no column 'domain'",)),
        (b"domain,delta\nlaw,high\n", ("delta.csv:2: delta = 'high' is no number",)),
        (b"domain,delta\nlaw\n", ("delta.csv:2: delta = '' is no number",)),
        (b"domain,delta\n", ("no ΔL of law or news", "no rows")),
        (b"domain,delta\nlaws,1\n", ("no ΔL of law or news", "Did you mean 'laws'?")),
        ("domain,delta\nlaw,é\n".encode("latin-1"), ("no CSV file in UTF-8",)),
    ],
)
def test_a_table_of_deltas_that_cannot_be_used(tmp_path: Path, content: bytes | None, words: tuple[str, ...]) -> None:
    path = tmp_path / "delta.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_deltas(str(path), ["law", "news"])
    assert isinstance(caught.value, OdysseyError)
    for word in words:
        assert word in str(caught.value)


def test_distances_are_negated_before_they_are_correlated() -> None:
    rows = [row(name, value) for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.4), ("no ΔL", 9.0))]
    rows += [row(name, value, "cosine", closer=True) for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.6))]
    deltas = {"a": 0.3, "b": 0.1, "c": -0.2}
    by_jsd, by_cosine = correlate(rows, deltas)
    assert by_jsd.pearson == pearson([-0.1, -0.2, -0.4], [0.3, 0.1, -0.2])
    assert by_jsd.pearson.r == pytest.approx(by_cosine.pearson.r)
    assert by_jsd.pearson.n == 3
    assert by_jsd.content()["sentence"] == by_jsd.sentence
    assert by_jsd.sentence.startswith("r = ")
    assert "; ρ = 1.00" in by_jsd.sentence
    assert correlate([row("a", 1.0, "zero_shot")], deltas)[0].content()["note"] == COUPLING


@pytest.mark.parametrize(
    ("deltas", "sentence"),
    [
        ({"a": 0.1}, "no correlation: 1 point, three are the fewest"),
        ({"a": 0.1, "b": 0.1, "c": 0.1}, "no correlation: y is the same at every point"),
    ],
)
def test_what_has_no_correlation_says_why(deltas: dict[str, float], sentence: str) -> None:
    (found,) = correlate([row(name, number) for number, name in enumerate("abc")], deltas)
    assert found.sentence == sentence


def test_the_closest_domain_comes_first() -> None:
    rows = [row("a", 0.3), row("b", 0.1), row("a", 0.3, "cosine", closer=True), row("b", 0.1, "cosine", closer=True)]
    assert [(r["measure"], r["domain"]) for r in sort_rows(rows)] == [
        ("jsd", "b"),
        ("jsd", "a"),
        ("cosine", "a"),
        ("cosine", "b"),
    ]
