"""``odyssey similarity`` on a study in groups: sentences, files, and mistakes."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as tree
from pathlib import Path

import pytest

from odyssey_tui.cli.main import run
from odyssey_tui.services.scatter import Look
from odyssey_tui.services.similarity import scatter
from store.workspace import Workspace


def call(workspace: Workspace, *arguments: str) -> int:
    return run(["--workspace", str(workspace.root), "similarity", *arguments])


def test_prints_what_the_points_say_in_80_columns(study: Workspace, capsys) -> None:
    assert call(study) == 0
    out, err = capsys.readouterr()
    assert max(map(len, [*out.splitlines(), *err.splitlines()])) <= 80
    text = " ".join(out.split())
    found = scatter(study)
    assert found.sentence in text
    assert found.within in text
    for finding in found.findings:
        if finding.key != "all":
            assert f"{finding.name} {finding.sentence}" in text
    assert "● s2orc ■ wiki" in text
    assert "Other models (domains): size s (20)." in text


def test_pools_models_and_says_what_n_is(study: Workspace, capsys) -> None:
    assert call(study, "--all-models") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "n = 20;" in text
    assert "(40 points of 2 models, each with its own mean)" in text
    assert "resampled and permuted whole" in text


def test_json_has_everything_the_screen_has(study: Workspace, capsys) -> None:
    assert call(study, "--all-models", "--unit", "bits", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    found = scatter(study, Look(pooled=True, unit="bits"))
    assert content["sentence"] == found.sentence
    assert len(content["points"]) == 40
    assert {"change_low", "similarity_high", "r_without", "newline_share", "train_tokens"} <= content["points"][
        0
    ].keys()
    assert [group["name"] for group in content["groups"]] == ["s2orc", "wiki"]
    keys = [finding["key"] for finding in content["findings"]]
    assert keys[0] == "all"
    assert {"within", "apart", "model:size s", "given:group, tokens, newlines"} <= set(keys)


def test_csv_and_latex(study: Workspace, capsys) -> None:
    assert call(study, "--size", "s", "--unit", "ratio", "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 20
    assert float(rows[0]["change"]) == pytest.approx(float(rows[0]["ratio"]))
    assert rows[0]["model"] == "size s"
    assert call(study, "--latex") == 0
    out = capsys.readouterr().out
    assert r"$\Delta$L" in out
    assert out.count(r"\\") == 21


def test_the_figure_is_written_beside_what_is_printed(study: Workspace, tmp_path: Path, capsys) -> None:
    target = tmp_path / "figure.svg"
    assert call(study, "--svg", str(target), "--json") == 0
    out, err = capsys.readouterr()
    assert f"wrote {target}" in err
    json.loads(out)
    texts = ["".join(node.itertext()) for node in tree.parse(target).iter("{http://www.w3.org/2000/svg}text")]
    assert {"wiki", "s2orc", "wiki04"} <= set(texts)
    (tmp_path / "mine.svg").write_text("<svg/>")
    assert call(study, "--svg", str(tmp_path / "mine.svg")) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "mine.svg").read_text() == "<svg/>"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--group", "A=wiki00,wikki01"), 2, "there is no domain 'wikki01'"),
        (("--group", "A"), 2, "is no group"),
        (("--group", "A=wiki00", "--group", "B=wiki00"), 2, "wiki00 is in the group A, too"),
        (("--measure", "frechet"), 4, "no similarity by 'frechet'"),
        (("--unit", "furlongs"), 2, "furlongs"),
        (("--size", "xl"), 4, "no adapted state has size xl"),
        (("--experiment", "odysey"), 2, "Did you mean 'odyssey'?"),
    ],
)
def test_mistakes_say_what_is_wrong(study: Workspace, capsys, arguments, status, words) -> None:
    assert call(study, *arguments) == status
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_a_misspelt_domain_of_a_group_gets_the_nearest_name(study: Workspace, capsys) -> None:
    call(study, "--group", "A=wiki00,wikki01")
    assert "wiki01" in capsys.readouterr().err


def test_a_figure_of_nothing_is_not_written(empty: Workspace, tmp_path: Path, capsys) -> None:
    assert call(empty, "--svg", str(tmp_path / "a.svg")) == 4
    assert "No similarity has been computed" in capsys.readouterr().err
    assert not (tmp_path / "a.svg").exists()
