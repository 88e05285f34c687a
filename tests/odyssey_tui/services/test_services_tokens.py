"""Pairs, their ledgers and passages, read from a workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from odyssey_tui.services.runs import list_runs
from odyssey_tui.services.tokens import list_pairs, pair_ids, read_passage, read_tokens, tell_ledger
from store.database import lease
from store.errors import OdysseyError
from store.queries.evaluations import find_evaluation
from store.queries.passages import read_block
from store.queries.tokens import open_pair
from store.workspace import Workspace


def adapted(workspace: Workspace, beginning: str = "adapt-docs-r0-p15-s-") -> str:
    return next(run for run in workspace.run_ids() if run.startswith(beginning) and "lora" not in run)


def test_a_run_alone_is_its_last_state_against_its_base(voyage: Workspace) -> None:
    run = adapted(voyage)
    report = read_tokens(voyage, run)
    assert report.name.after == f"{run}@atpp4"
    assert report.name.before.endswith("@ptpp15")
    with lease(voyage) as con:
        before, after = (find_evaluation(con, one) for one in pair_ids(report.name))
    assert report.ledger.delta == pytest.approx(after.loss - before.loss, abs=1e-6)
    assert report.ledger.loss_before == pytest.approx(before.loss, abs=1e-6)
    assert report.ledger.documents.mean == pytest.approx(report.ledger.delta, abs=1e-9)


def test_states_runs_and_evaluations_name_the_same_pair(voyage: Workspace) -> None:
    run = adapted(voyage)
    report = read_tokens(voyage, run)
    by_state = read_tokens(voyage, report.name.before, report.name.after)
    by_id = read_tokens(voyage, report.name.before_id, report.name.after_id)
    assert by_state.name.after_id == by_id.name.after_id == report.name.after_id
    assert read_tokens(voyage, run, on="base").name.role == "base"
    assert read_tokens(voyage, run, on="docs").name.after_id == report.name.after_id


def test_two_runs_are_compared_on_the_same_text(voyage: Workspace) -> None:
    one, other = adapted(voyage), adapted(voyage, "adapt-docs-r0-p5-s-")
    report = read_tokens(voyage, one, other)
    there_and_back = read_tokens(voyage, other, one)
    assert report.ledger.delta == pytest.approx(-there_and_back.ledger.delta)


def test_what_cannot_be_paired_says_so(voyage: Workspace) -> None:
    with pytest.raises(OdysseyError, match="no run is called 'nope'"):
        read_tokens(voyage, "nope")
    pretrained = next(run for run in voyage.run_ids() if run.startswith("pretrain-s"))
    with pytest.raises(OdysseyError, match="before and after adaptation"):
        read_tokens(voyage, pretrained)
    with pytest.raises(OdysseyError, match="share no evaluation"):
        read_tokens(voyage, adapted(voyage), adapted(voyage), on="licences")


def test_a_pair_of_which_only_sums_are_kept_has_its_ledger(voyage: Workspace, tmp_path: Path) -> None:
    whole = read_tokens(voyage, adapted(voyage))
    shutil.copytree(voyage.root, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints", "cache"))
    copy = Workspace.open(tmp_path / "copy")
    with lease(copy, write=True) as con:
        con.execute("DELETE FROM token_losses")
    report = read_tokens(copy, adapted(copy))
    assert report.places == ()
    np.testing.assert_array_equal(report.ledger.after, whole.ledger.after)
    assert report.ledger.documents == whole.ledger.documents
    assert report.name.after_id in {pair.after_id for pair in list_pairs(copy)}


def test_the_masked_newline_equals_a_plain_mean(voyage: Workspace) -> None:
    report = read_tokens(voyage, adapted(voyage))
    losses, tokens = [], []
    with lease(voyage) as con:
        pair = open_pair(con, report.name.before_id, report.name.after_id)
        for block in range(-(-2_500 // 1024)):
            found = read_block(con, pair, block)
            tokens.append(found.token_class)
            losses.append(found.after)
    classes, after = np.concatenate(tokens), np.concatenate(losses)
    kept = np.isfinite(after) & (classes != "newline")
    masked = report.ledger.masked(report.ledger.types_of("newline"))
    assert masked.ppl_after == pytest.approx(np.exp(after[kept].mean()), rel=1e-5)


def test_passages_come_worst_first_and_add_up(voyage: Workspace) -> None:
    report = read_tokens(voyage, adapted(voyage))
    sums = [place.sum_delta for place in report.places]
    assert sums == sorted(sums, reverse=True)
    assert sum(sums) == pytest.approx(report.ledger.delta * report.ledger.predicted, rel=1e-4)
    passage = read_passage(voyage, report.name, report.places[3])
    inside = [token.delta for token in passage.tokens if token.inside and token.delta is not None]
    assert sum(inside) == pytest.approx(passage.delta, rel=1e-4)
    assert len(inside) == passage.count
    assert any(not token.inside for token in passage.tokens)


def test_pairs_are_listed_last_states_first_and_of_them_the_worst(voyage: Workspace) -> None:
    pairs = list_pairs(voyage)
    last = [pair.after.endswith("@atpp4") for pair in pairs]
    assert last == sorted(last, reverse=True)
    deltas = [pair.delta for pair in pairs[: sum(last)]]
    assert deltas == sorted(deltas, reverse=True)
    assert pairs[0].delta == pytest.approx(read_tokens(voyage, pairs[0].before_id, pairs[0].after_id).ledger.delta)


def test_states_are_told_in_words(voyage: Workspace) -> None:
    run = adapted(voyage)
    name = read_tokens(voyage, run).name
    row = next(row for row in list_runs(voyage) if row.run_id == run)
    assert name.before_words == f"{row.size} at P {row.ptpp:g}"
    assert name.after_words == f"adapted to {row.domain}, ρ {row.replay:g}, A 4"
    other = next(found for found in list_runs(voyage) if found.domain == row.domain and found.replay == 0.5)
    both = read_tokens(voyage, run, other.run_id).name
    assert both.before_words == f"{name.before_words}, {name.after_words}"
    assert "ρ 0.5" in both.after_words


def test_the_finding_is_told_with_its_interval(voyage: Workspace) -> None:
    first, second = tell_ledger(read_tokens(voyage, adapted(voyage)).ledger)
    assert first.startswith("ΔL = +0.")
    assert "documents; PPL" in first
    assert "k* =" in second
