"""``odyssey evaluate --per-token`` on two real models, then ``odyssey tokens``: the numbers of plain numpy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.data.tokenizer import load_tokenizer
from engine.spec.run import Corpus, Tokenizer
from engine.stats import paired_bootstrap
from store.workspace import Workspace
from tests.support.states import save_tiny_state

pytestmark = pytest.mark.slow

WINDOW = 32
VERSES = "the ship left the island,\nand the wind of 12 days had turned.\n\n"
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def odyssey(*arguments: str | Path) -> dict[str, Any]:
    """What a command prints as JSON."""
    command = (sys.executable, "-m", "odyssey_tui", *map(str, arguments), "--json")
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Evaluated:
    """Two models on one text: files, what ``evaluate`` said of them, and their rows."""

    files: tuple[Path, Path]
    said: tuple[dict[str, Any], dict[str, Any]]
    rows: dict[str, np.ndarray]
    """Columns of the first file, and ``before`` and ``after``: losses, NaN where nothing was predicted."""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "train.txt").write_text(VERSES * 400)
    documents = [VERSES * count + f"ship {count}" for count in range(1, 13)]
    (folder / "test.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    (folder / "more.txt").write_text(VERSES * 5)
    spec = Tokenizer(train_on=(Corpus(name="text", source=str(folder / "train.txt"), test_share=0),), vocab_size=300)
    workspace = Workspace.create(folder / "workspace")
    tokenizer = load_tokenizer(spec, workspace)
    files, said = [], []
    for seed, name in enumerate(("before", "after")):
        state = save_tiny_state(workspace, tokenizer, name, "ptpp2", seed=seed)
        files.append(folder / f"{name}.parquet")
        options = ("--model", state, "--window", WINDOW, "--per-token", files[-1])
        said.append(odyssey("evaluate", *options, "--text", folder / "test.jsonl", folder / "more.txt"))
    tables = [pq.read_table(file).to_pandas() for file in files]
    rows = {name: tables[0][name].to_numpy() for name in tables[0].columns if name != "loss"}
    losses = (table["loss"].to_numpy().astype(np.float64) for table in tables)
    return Evaluated(tuple(files), tuple(said), rows | dict(zip(("before", "after"), losses, strict=True)))


def test_the_ledger_of_two_evaluations(evaluated: Evaluated) -> None:
    found = odyssey("tokens", *evaluated.files, "--top", "1000", "--mask", "newline")
    rows = evaluated.rows
    there = ~np.isnan(rows["before"])
    delta = rows["after"] - rows["before"]
    assert found["predicted"] == there.sum() == evaluated.said[0]["total"]["predicted"]
    for side, said in zip(("before", "after"), evaluated.said, strict=True):
        assert found[f"loss_{side}"] == pytest.approx(said["total"]["loss"], rel=1e-9)
        assert found[f"ppl_{side}"] == pytest.approx(said["total"]["ppl"], rel=1e-9)
        assert found[f"bits_per_byte_{side}"] == pytest.approx(said["total"]["bits_per_byte"], rel=1e-9)
    assert found["delta"] == pytest.approx(delta[there].mean(), abs=1e-12)
    assert sum(row["contribution"] for row in found["types"]) == pytest.approx(found["delta"], abs=1e-12)
    for row in found["types"]:
        own = there & (rows["token_id"] == row["token_id"])
        assert row["count"] == own.sum()
        assert row["text"] == rows["token"][own][0]
        assert row["contribution"] == pytest.approx(delta[own].sum() / there.sum(), abs=1e-12)
        assert row["loss_after"] == pytest.approx(rows["after"][own].mean(), rel=1e-12)
    newline = np.array(["\\n" in text and not any(map(str.isalnum, text.replace("\\n", ""))) for text in rows["token"]])
    assert (there & newline).any()
    kept = there & ~newline
    assert found["masked"]["predicted"] == kept.sum()
    assert found["masked"]["ppl_after"] == pytest.approx(np.exp(rows["after"][kept].mean()), rel=1e-12)
    documents = np.unique(rows["document"][there])
    counts = np.array([(there & (rows["document"] == one)).sum() for one in documents])
    means = np.array([delta[there & (rows["document"] == one)].mean() for one in documents])
    expected = paired_bootstrap(means, counts)
    assert (found["n_documents"], found["interval"]["n"]) == (13, 13)
    assert (found["interval"]["low"], found["interval"]["high"]) == pytest.approx((expected.low, expected.high))


def test_positions_are_those_in_the_window_of_each_text(evaluated: Evaluated) -> None:
    found = odyssey("tokens", *evaluated.files, "--positions")["positions"]
    assert found["unit"] == "tokens of context"
    tokens = [file["tokens"] for file in evaluated.said[0]["files"]]
    context = np.concatenate([np.arange(count) for count in tokens]) % WINDOW
    there = ~np.isnan(evaluated.rows["before"])
    assert [point["position"] for point in found["points"]] == list(range(1, WINDOW))
    for point in found["points"]:
        own = there & (context == point["position"])
        assert point["count"] == own.sum()
        assert point["before"] == pytest.approx(evaluated.rows["before"][own].mean(), rel=1e-12)
        assert point["after"] == pytest.approx(evaluated.rows["after"][own].mean(), rel=1e-12)


def test_another_window_is_refused(evaluated: Evaluated, tmp_path: Path) -> None:
    model = evaluated.said[1]["model"]
    text = evaluated.files[0].parent
    odyssey(
        "evaluate", "--model", model, "--window", 16, "--per-token", tmp_path / "other.parquet",
        "--text", text / "test.jsonl", text / "more.txt",
    )  # fmt: skip
    command = (sys.executable, "-m", "odyssey_tui", "tokens", evaluated.files[0], tmp_path / "other.parquet")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert "by different schemes: window 32 and 16" in done.stderr
    assert done.stdout == ""
