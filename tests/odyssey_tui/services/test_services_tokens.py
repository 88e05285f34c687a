"""Pairs, their ledgers and passages, read from a workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.stats import paired_bootstrap
from odyssey_tui.services.ledger import CLASSES
from odyssey_tui.services.runs import list_runs
from odyssey_tui.services.token_details import (
    bootstrap_classes,
    bootstrap_masked,
    bootstrap_report,
    read_details,
    seek_types,
)
from odyssey_tui.services.token_words import basis_line, change_line, rise_line
from odyssey_tui.services.tokens import StoredPair, find_tokens, ids_of, read_tokens
from store.database import lease
from store.errors import OdysseyError
from store.ingest_losses import LOSS_STEP
from store.queries.evaluations import find_evaluation
from store.queries.passages import read_block
from store.workspace import Workspace


def adapted(workspace: Workspace, beginning: str = "adapt-docs-r0-p15-s-") -> str:
    return next(run for run in workspace.run_ids() if run.startswith(beginning) and "lora" not in run)


def test_a_run_alone_is_its_last_state_against_its_base(voyage: Workspace) -> None:
    run = adapted(voyage)
    report = read_tokens(voyage, run).report
    assert report.name.after == f"{run}@atpp4"
    assert report.name.before.endswith("@ptpp15")
    with lease(voyage) as con:
        before, after = (find_evaluation(con, one) for one in ids_of(report.name))
    assert report.ledger.delta == pytest.approx(after.loss - before.loss, abs=1e-6)
    assert report.ledger.loss_before == pytest.approx(before.loss, abs=1e-6)
    assert bootstrap_report(report).mean == pytest.approx(report.ledger.delta, abs=1e-9)
    assert (report.bits_before, report.bits_after) == (before.bits_per_byte, after.bits_per_byte)


def test_states_runs_and_evaluations_name_the_same_pair(voyage: Workspace) -> None:
    run = adapted(voyage)
    report = read_tokens(voyage, run).report
    by_state = read_tokens(voyage, report.name.before, report.name.after).report
    by_id = read_tokens(voyage, report.name.before_id, report.name.after_id).report
    assert by_state.name.after_id == by_id.name.after_id == report.name.after_id
    assert read_tokens(voyage, run, on="base").report.name.role == "base"
    assert read_tokens(voyage, run, on="docs").report.name.after_id == report.name.after_id


def test_two_runs_are_compared_on_the_same_text(voyage: Workspace) -> None:
    one, other = adapted(voyage), adapted(voyage, "adapt-docs-r0-p5-s-")
    report = read_tokens(voyage, one, other).report
    there_and_back = read_tokens(voyage, other, one).report
    assert report.ledger.delta == pytest.approx(-there_and_back.ledger.delta)


def test_what_cannot_be_paired_says_so(voyage: Workspace) -> None:
    with pytest.raises(OdysseyError, match="no run is called 'nope'"):
        read_tokens(voyage, "nope")
    pretrained = next(run for run in voyage.run_ids() if run.startswith("pretrain-s"))
    with pytest.raises(OdysseyError, match="before and after adaptation"):
        read_tokens(voyage, pretrained)
    with pytest.raises(OdysseyError, match="is not evaluated on licences"):
        read_tokens(voyage, adapted(voyage), adapted(voyage), on="licences")
    with pytest.raises(OdysseyError, match=r"share no evaluation on target: .* is given twice"):
        read_tokens(voyage, adapted(voyage), adapted(voyage))


def test_a_mistyped_set_one_evaluation_twice_and_other_texts_say_which(voyage: Workspace) -> None:
    run = adapted(voyage)
    name = read_tokens(voyage, run).report.name
    with pytest.raises(OdysseyError, match="is not evaluated on dosc") as mistyped:
        read_tokens(voyage, run, on="dosc")
    assert mistyped.value.hint.startswith("Did you mean 'docs'?")
    with pytest.raises(OdysseyError, match="is given twice"):
        read_tokens(voyage, name.after_id, name.after_id)
    headers = read_tokens(voyage, adapted(voyage, "adapt-headers-r0-p15-s-")).report.name
    with pytest.raises(OdysseyError, match="computed on different texts: docs and headers"):
        read_tokens(voyage, name.after_id, headers.after_id)
    with pytest.raises(OdysseyError, match=r"share no evaluation on target: .* different texts"):
        read_tokens(voyage, headers.after, name.after)


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.root, folder, ignore=shutil.ignore_patterns("checkpoints", "cache"))
    return Workspace.open(folder)


def test_two_tokenizers_on_one_text_compare_in_bits_per_byte_only(voyage: Workspace, tmp_path: Path) -> None:
    copy = copy_of(voyage, tmp_path / "copy")
    name = read_tokens(copy, adapted(copy)).report.name
    with lease(copy, write=True) as con:
        bits = find_evaluation(con, name.after_id).bits_per_byte
        con.execute("CREATE TEMP TABLE other AS SELECT * FROM eval_sets WHERE eval_set_id = 'set-docs'")
        con.execute("UPDATE other SET eval_set_id = 'set-docs-2', tokenizer_id = 'bpe-other'")
        con.execute("INSERT INTO eval_sets SELECT * FROM other")
        con.execute("UPDATE eval_sets SET fingerprint = 'text' WHERE name = 'docs'")
        con.execute("UPDATE evaluations SET eval_set_id = 'set-docs-2' WHERE evaluation_id = ?", [name.after_id])
    with pytest.raises(OdysseyError, match="different tokenizers on one text, docs") as refused:
        read_tokens(copy, name.before_id, name.after_id)
    assert "Only bits per byte can be compared" in refused.value.hint
    assert f"{bits:.4f} after" in refused.value.hint


def test_other_schemes_say_what_differs(voyage: Workspace, tmp_path: Path) -> None:
    copy = copy_of(voyage, tmp_path / "copy")
    name = read_tokens(copy, adapted(copy)).report.name
    with lease(copy, write=True) as con:
        con.execute(
            "UPDATE evaluations SET scheme = json_merge_patch(scheme, '{\"window\": 128}') WHERE evaluation_id = ?",
            [name.after_id],
        )
    with pytest.raises(OdysseyError, match="different schemes: window 256 and 128"):
        read_tokens(copy, name.before_id, name.after_id)


def test_a_pair_of_which_only_sums_are_kept_has_its_ledger(voyage: Workspace, tmp_path: Path) -> None:
    whole = read_tokens(voyage, adapted(voyage)).report
    copy = copy_of(voyage, tmp_path / "copy")
    with lease(copy, write=True) as con:
        con.execute("DELETE FROM token_losses")
    source = read_tokens(copy, adapted(copy))
    assert not source.report.has_tokens
    np.testing.assert_array_equal(source.report.ledger.after, whole.ledger.after)
    assert bootstrap_report(source.report) == bootstrap_report(whole)
    assert source.report.name.after_id in {pair.after_id for pair in find_tokens(copy, None).pairs}
    with pytest.raises(OdysseyError, match="only sums by token type and document are stored"):
        read_details(source)


def test_what_is_known_is_read_again_only_when_it_changed(voyage: Workspace, tmp_path: Path) -> None:
    copy = copy_of(voyage, tmp_path / "copy")
    first = find_tokens(copy, None).pair
    ids = ids_of(first.report.name)
    assert find_tokens(copy, ids, known=first).pair is first
    other = find_tokens(copy, (adapted(copy, "adapt-headers-r0-p15-s-"), None), known=first).pair
    assert other.report.name.eval_set == "headers"
    with lease(copy, write=True) as con:
        con.execute("DELETE FROM token_losses WHERE evaluation_id = ?", [ids[1]])
    again = find_tokens(copy, ids, known=first).pair
    assert again is not first
    assert not again.report.has_tokens


class Tokens:
    """Losses, classes, ids and documents of a pair, block by block as the database shows them."""

    def __init__(self, source: StoredPair) -> None:
        with lease(source.workspace) as con:
            blocks = [read_block(con, source.pair, block) for block in range(-(-2_500 // 1024))]
        names = ("token_id", "token_class", "document", "before", "after")
        self.token_id, self.token_class, self.document, self.before, self.after = (
            np.concatenate([getattr(block, name) for block in blocks]) for name in names
        )
        self.there = np.isfinite(self.before) & np.isfinite(self.after)
        self.delta = np.where(self.there, self.after - self.before, 0.0)

    def by_document(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Σ Δ and positions of each document over the ``chosen`` predicted tokens."""
        own = chosen & self.there
        documents = np.unique(self.document[self.there])
        sums = [self.delta[own & (self.document == document)].sum() for document in documents]
        return np.array(sums), np.array([(own & (self.document == document)).sum() for document in documents])


def test_the_masked_newline_equals_a_plain_mean(voyage: Workspace) -> None:
    source = read_tokens(voyage, adapted(voyage))
    plain = Tokens(source)
    kept = plain.there & (plain.token_class != "newline")
    masked = source.report.ledger.masked(source.report.ledger.types_of("newline"))
    assert masked.ppl_after == pytest.approx(np.exp(plain.after[kept].mean()), rel=1e-5)


def test_intervals_of_classes_are_those_of_plain_sums_by_document(voyage: Workspace) -> None:
    source = read_tokens(voyage, adapted(voyage))
    plain = Tokens(source)
    details = read_details(source)
    found = bootstrap_classes(details.classes)
    ledger = source.report.ledger
    assert set(found) == {row.token_class for row in ledger.by_class}
    _, positions = plain.by_document(np.ones(len(plain.delta), bool))
    for row in ledger.by_class:
        sums, _ = plain.by_document(plain.token_class == row.token_class)
        expected = paired_bootstrap(sums / positions, positions)
        one = found[row.token_class]
        assert one.mean == pytest.approx(row.contribution, abs=LOSS_STEP)
        assert (one.mean, one.low, one.high) == pytest.approx((expected.mean, expected.low, expected.high), abs=1e-6)
    assert sum(one.mean for one in found.values()) == pytest.approx(ledger.delta, abs=LOSS_STEP)
    assert found["newline"].low > 0


@pytest.mark.parametrize("masks", [["newline"], ["newline", "#10"], ["#10", "#11"], list(CLASSES)])
def test_the_interval_of_a_masked_change(voyage: Workspace, masks: list[str]) -> None:
    source = read_tokens(voyage, adapted(voyage))
    ledger = source.report.ledger
    types = ledger.resolve_masks(masks)
    plain = Tokens(source)
    sums, positions = plain.by_document(~np.isin(plain.token_id, list(types)))
    expected = paired_bootstrap(sums / np.maximum(positions, 1), positions)
    scanned = bootstrap_masked(source, types)
    assert scanned.n == expected.n
    if not positions.any():
        assert "no document" in scanned.reason
        return
    ends = (scanned.mean, scanned.low, scanned.high)
    assert ends == pytest.approx((expected.mean, expected.low, expected.high), abs=LOSS_STEP)
    assert scanned.mean == pytest.approx(ledger.masked(types).delta, abs=LOSS_STEP)
    by_table = bootstrap_masked(source, types, read_details(source).classes)
    assert (by_table.mean, by_table.low, by_table.high) == pytest.approx(ends, abs=LOSS_STEP)


def test_passages_come_worst_first_and_add_up(voyage: Workspace) -> None:
    source = read_tokens(voyage, adapted(voyage))
    details, ledger = read_details(source), source.report.ledger
    sums = [place.sum_delta for place in details.rising]
    assert sums == sorted(sums, reverse=True)
    assert sum(sums) == pytest.approx(ledger.delta * ledger.predicted, rel=1e-4)
    assert [place.sum_delta for place in details.falling] == pytest.approx(sums[::-1])
    passage = source.read_passage(details.rising[3])
    inside = [token.delta for token in passage.tokens if token.inside and token.delta is not None]
    assert sum(inside) == pytest.approx(passage.delta, rel=1e-4)
    assert len(inside) == passage.count
    assert any(not token.inside for token in passage.tokens)


def test_passages_of_a_type_are_those_where_its_own_tokens_change_most(voyage: Workspace) -> None:
    source = read_tokens(voyage, adapted(voyage))
    newline = source.report.ledger.types_of("newline")
    plain = Tokens(source)
    own = plain.there & np.isin(plain.token_id, list(newline))
    rises = np.bincount(np.arange(len(own)) // 64, weights=np.where(own, plain.delta, 0.0))
    changed = seek_types(source, newline)
    best = sorted(rises[rises > 1e-9], reverse=True)
    assert [place.sum_delta for place in changed.rising] == pytest.approx(best[: len(changed.rising)], abs=1e-4)
    assert all(place.sum_delta < 0 for place in changed.falling)
    assert changed.rising[0].place // 64 == int(rises.argmax())
    assert sum(place.count for place in (*changed.rising, *changed.falling)) == own.sum()


def test_the_curve_over_positions(voyage: Workspace) -> None:
    source = read_tokens(voyage, adapted(voyage))
    plain, curve = Tokens(source), read_details(source).curve
    assert (curve.title, curve.width) == ("tokens of context", 4)
    context = np.arange(len(plain.delta)) % 256
    for position, count, delta in zip(curve.position, curve.count, curve.delta, strict=True):
        own = plain.there & (context // 4 * 4 == position)
        assert count == own.sum()
        assert delta == pytest.approx(plain.delta[own].mean(), abs=1e-5)
    assert curve.count.sum() == source.report.ledger.predicted


def test_pairs_are_listed_last_states_first_and_of_them_the_worst(voyage: Workspace) -> None:
    found = find_tokens(voyage, None)
    last = [pair.after.endswith("@atpp4") for pair in found.pairs]
    assert last == sorted(last, reverse=True)
    deltas = [pair.delta for pair in found.pairs[: sum(last)]]
    assert deltas == sorted(deltas, reverse=True)
    assert found.pair.report.name == found.pairs[0]
    assert found.pairs[0].delta == pytest.approx(found.pair.report.ledger.delta)


def test_states_are_told_in_words(voyage: Workspace) -> None:
    run = adapted(voyage)
    name = read_tokens(voyage, run).report.name
    row = next(row for row in list_runs(voyage) if row.run_id == run)
    assert name.before_words == f"{row.size} at P {row.ptpp:g}"
    assert name.after_words == f"adapted to {row.domain}, ρ {row.replay:g}, A 4"
    other = next(found for found in list_runs(voyage) if found.domain == row.domain and found.replay == 0.5)
    both = read_tokens(voyage, run, other.run_id).report.name
    assert both.before_words == f"{name.before_words}, {name.after_words}"
    assert "ρ 0.5" in both.after_words


def test_the_finding_is_told_with_what_it_rests_on(voyage: Workspace) -> None:
    source = read_tokens(voyage, adapted(voyage))
    report, plain = source.report, Tokens(source)
    documents = len(np.unique(plain.document[plain.there]))
    expected = f"T 2,490 tokens, {documents} documents · blocks, window 256, fp32 · nats/token, + is worse"
    assert basis_line(report) == expected
    line = change_line(report, bootstrap_report(report))
    assert line.startswith("ΔL +0.")
    assert "] · PPL " in line
    assert f"bits/byte {report.bits_before:.3f} → {report.bits_after:.3f}" in line
    assert "[…]" in change_line(report, None)
    assert f"k* = {report.ledger.k_star}" in rise_line(report.ledger)
