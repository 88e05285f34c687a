"""Ledgers of per-token files: numbers of plain loops, whatever the form; what is no pair is refused with why."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from engine.stats import paired_bootstrap
from odyssey_tui.services.exporting import export_all
from odyssey_tui.services.token_details import bootstrap_classes, bootstrap_report, read_details, seek_types
from odyssey_tui.services.token_files import FilePair, open_files
from odyssey_tui.services.token_words import basis_line
from odyssey_tui.services.tokens import read_tokens
from store.errors import OdysseyError
from store.exchange import token_tables
from store.ingest_losses import LOSS_STEP
from store.workspace import Workspace
from tests.support.token_tables import CLASSES, SCHEME, TEXTS, Written, make_text, write_pair, write_table


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small table is read in several parts."""
    monkeypatch.setattr(token_tables, "ROWS", 128)


def check_ledger(found: FilePair, text: Written) -> None:
    """Against sums token by token."""
    ledger, there = found.report.ledger, text.there
    delta = text.after.astype(np.float64) - text.before
    assert ledger.predicted == there.sum()
    assert ledger.delta == pytest.approx(delta[there].mean())
    assert ledger.loss_before == pytest.approx(text.before[there].astype(np.float64).mean())
    for row in ledger.rows():
        own = there & (text.token_id == row.token_id)
        assert (row.text, row.token_class, row.count) == (TEXTS[row.token_id], CLASSES[row.token_id], own.sum())
        assert row.contribution == pytest.approx(delta[own].sum() / there.sum())
    contributions = [row.contribution for row in ledger.rows()]
    assert contributions == sorted(contributions, reverse=True)
    assert found.report.n_documents == len(np.unique(text.document[there]))


def test_by_hand(tmp_path: Path) -> None:
    text = Written(
        np.array([0, 2, 0, 1, 2, 0]),
        np.array([0, 0, 0, 1, 1, 1]),
        np.array([np.nan, 1.0, 2.0, 3.0, 0.5, 1.0], np.float32),
        np.array([np.nan, 2.0, 2.5, 2.0, 0.5, 4.0], np.float32),
    )
    found = open_files(*write_pair(tmp_path, text))
    ledger = found.report.ledger
    # Newlines rise by .5 and 3, the word by 1 and 0, the function word falls by 1; five were predicted.
    assert {row.text: row.contribution for row in ledger.rows()} == pytest.approx(
        {"\\n": 3.5 / 5, "wine": 1 / 5, " the": -1 / 5}
    )
    assert ledger.delta == pytest.approx(3.5 / 5)
    assert ledger.k_star == 1
    assert ledger.share(1) == pytest.approx(3.5 / 4.5)
    masked = ledger.masked(ledger.resolve_masks(["newline"]))
    assert (masked.predicted, masked.delta) == (3, pytest.approx(0.0))
    assert masked.ppl_after == pytest.approx(np.exp(4.5 / 3))
    # Five tokens of three bytes.
    assert found.report.bits_before == pytest.approx(7.5 / np.log(2) / 15)
    assert basis_line(found.report) == "T 5 tokens, 2 documents · scheme not recorded · nats/token, + is worse"


@pytest.mark.parametrize("form", ["parquet", "csv", "csv.gz"])
def test_the_ledger_is_that_of_plain_sums(tmp_path: Path, form: str) -> None:
    text = make_text()
    names = write_pair(tmp_path, text)
    if form != "parquet":
        names = tuple(as_csv(Path(name), compressed=form == "csv.gz") for name in names)
    found = open_files(*names)
    check_ledger(found, text)
    assert found.report.bits_after == pytest.approx(
        np.nansum(text.after) / np.log(2) / (3 * text.there.sum()), rel=1e-6
    )
    there = text.there
    documents = np.unique(text.document[there])
    delta = np.where(there, text.after - text.before, 0.0)
    counts = np.array([(there & (text.document == one)).sum() for one in documents])
    sums = np.array([delta[text.document == one].sum() for one in documents])
    expected = paired_bootstrap(sums / counts, counts)
    interval = bootstrap_report(found.report)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert sum(one.mean for one in bootstrap_classes(read_details(found).classes).values()) == pytest.approx(
        found.report.ledger.delta
    )


def as_csv(path: Path, *, compressed: bool = False) -> str:
    target = path.with_suffix(".csv")
    pa_csv.write_csv(pa.parquet.read_table(path), target)
    if not compressed:
        return str(target)
    zipped = Path(f"{target}.gz")
    zipped.write_bytes(gzip.compress(target.read_bytes()))
    return str(zipped)


def test_passages_are_the_same_as_in_a_stored_text(tmp_path: Path) -> None:
    text = make_text(1_500)
    found = open_files(*write_pair(tmp_path, text))
    delta = np.where(text.there, text.after - text.before, 0.0)
    rises = np.add.reduceat(delta, np.arange(0, 1_500, 64))
    details = read_details(found)
    assert details.rising[0].place == 64 * int(rises.argmax())
    assert [place.sum_delta for place in details.rising] == pytest.approx(sorted(rises, reverse=True), abs=1e-4)
    for place in (details.rising[0], details.falling[0]):
        passage = found.read_passage(place)
        inside = [token for token in passage.tokens if token.inside]
        rows = slice(place.place, place.place + 64)
        assert [token.token_id for token in inside] == text.token_id[rows].tolist()
        assert [token.text for token in inside] == [TEXTS[token] for token in text.token_id[rows]]
        assert sum(token.delta or 0.0 for token in inside) == pytest.approx(place.sum_delta, abs=1e-4)
    own = text.token_id == 2
    sought = seek_types(found, frozenset({2})).rising[0]
    assert sought.sum_delta == pytest.approx(
        np.add.reduceat(np.where(own, delta, 0), np.arange(0, 1_500, 64)).max(), abs=1e-4
    )


def test_positions_are_those_in_the_window_of_each_text_file(tmp_path: Path) -> None:
    text = make_text(400)
    found = open_files(*write_pair(tmp_path, text, streams=[250, 150]))
    assert found.report.scheme == "blocks, window 16, fp32"
    assert (found.report.name.before, found.report.name.after) == ("model-before", "model-after")
    curve = read_details(found).curve
    assert curve.title == "tokens of context"
    context = np.concatenate([np.arange(250), np.arange(150)]) % 16
    for position, count, delta in zip(curve.position, curve.count, curve.delta, strict=True):
        own = text.there & (context == position)
        assert count == own.sum()
        assert delta == pytest.approx((text.after - text.before)[own].mean(), abs=1e-5)


def test_without_a_recorded_scheme_positions_are_those_in_the_document(tmp_path: Path) -> None:
    text = make_text(400)
    curve = read_details(open_files(*write_pair(tmp_path, text))).curve
    assert curve.title == "tokens of its document before a token"
    position = text.table(text.before)["position"].to_numpy()
    for start, count in zip(curve.position, curve.count, strict=True):
        assert count == (text.there & (position // curve.width * curve.width == start)).sum()


def test_an_export_of_the_store_gives_the_ledger_of_the_stored_pair(voyage: Workspace, tmp_path: Path) -> None:
    run = next(name for name in voyage.run_ids() if name.startswith("adapt-docs-r0-p15-s-"))
    stored = read_tokens(voyage, run)
    name, ledger = stored.report.name, stored.report.ledger
    for form in ("parquet", "csv"):
        (done,) = export_all(voyage, ["token_losses"], tmp_path / f"losses.{form}", None, force=False)
        found = open_files(f"{done.file}#{name.before_id[:9]}", f"{done.file}#{name.after_id}")
        own = found.report.ledger
        assert sorted(zip(own.token_ids, own.texts, own.classes, own.counts, strict=True)) == sorted(
            zip(ledger.token_ids, ledger.texts, ledger.classes, ledger.counts, strict=True)
        )
        assert own.delta == pytest.approx(ledger.delta, abs=LOSS_STEP)
        assert found.report.n_documents == stored.report.n_documents
        with pytest.raises(OdysseyError, match=r"holds \d+ evaluations") as refused:
            open_files(str(done.file), f"{done.file}#{name.after_id}")
        assert "Name one as" in refused.value.hint
        with pytest.raises(OdysseyError, match="holds no evaluation nosuch"):
            open_files(f"{done.file}#nosuch", str(done.file))
        with pytest.raises(OdysseyError, match="is given twice"):
            open_files(f"{done.file}#{name.after_id}", f"{done.file}#{name.after_id}")


class TestRefused:
    """Each with its place and what to do."""

    @pytest.fixture
    def text(self) -> Written:
        return make_text()

    def refuse(self, *names: object, words: str) -> str:
        with pytest.raises(OdysseyError) as refused:
            open_files(*map(str, names))
        assert words in refused.value.message
        return refused.value.hint

    def changed(self, tmp_path: Path, text: Written, **columns: object) -> tuple[str, str]:
        """The pair with other columns in the second table; None takes one away."""
        before, after = write_pair(tmp_path, text)
        table = text.table(text.after)
        for name, values in columns.items():
            at = table.column_names.index(name)
            table = table.remove_column(at)
            if values is not None:
                table = table.add_column(at, name, values if isinstance(values, pa.Array) else pa.array(values))
        write_table(Path(after), table)
        return before, after

    def test_not_a_number(self, tmp_path: Path, text: Written) -> None:
        losses = np.where(np.isin(np.arange(400), (201, 303)), np.nan, text.after)
        names = self.changed(tmp_path, text, loss=pa.array(losses, mask=~text.there))
        words = "after.parquet: 2 losses are no finite numbers (NaN or infinite), the first in row 202"
        hint = self.refuse(*names, words=words)
        assert "diverged" in hint
        infinite = np.where(np.arange(400) == 5, np.inf, text.after)
        names = self.changed(tmp_path, text, loss=pa.array(infinite, pa.float32(), from_pandas=True))
        self.refuse(*names, words="1 loss is no finite number")

    def test_nan_in_csv(self, tmp_path: Path, text: Written) -> None:
        names = [as_csv(Path(name)) for name in write_pair(tmp_path, text)]
        lines = Path(names[1]).read_text().splitlines()
        lines[3] = lines[3].rsplit(",", 1)[0] + ",nan"
        Path(names[1]).write_text("\n".join(lines) + "\n")
        self.refuse(*names, words="after.csv: 1 loss is no finite number (NaN or infinite), the first in row 3")

    def test_other_tokens(self, tmp_path: Path, text: Written) -> None:
        other = text.token_id.copy()
        other[150] = (other[150] + 1) % len(TEXTS)
        names = self.changed(tmp_path, text, token_id=pa.array(other, pa.int32()))
        self.refuse(*names, words=f"hold other tokens: in row 151 token_id {text.token_id[150]} and {other[150]}")
        names = self.changed(tmp_path, text, document=pa.array(np.maximum(text.document, 1), pa.int32()))
        self.refuse(*names, words="in row 1 document 0 and 1")

    def test_one_text_by_two_tokenizers_has_bits_per_byte(self, tmp_path: Path, text: Written) -> None:
        before, after = write_pair(tmp_path, text)
        table = text.table(text.after)
        # Every two tokens of a document are one: the same bytes.
        first = np.flatnonzero(table["position"].to_numpy() % 2 == 0)
        ends = np.append(first[1:], len(text.document)) - 1
        merged = table.take(first).set_column(2, "byte_end", table["byte_end"].take(ends))
        write_table(Path(after), merged)
        hint = self.refuse(before, after, words="one text, by the bytes of its documents, cut by two tokenizers")
        assert "only bits per byte can be compared" in hint
        losses = text.before[text.there].astype(np.float64).sum()
        assert f"{losses / np.log(2) / (3 * text.there.sum()):.4f} before" in hint

    def test_a_tokenizer_that_is_recorded_tells_texts_apart(self, tmp_path: Path, text: Written) -> None:
        other = make_text(seed=1)
        before, _ = write_pair(tmp_path, text, streams=[400])
        facts = {"model": "m", "tokenizer_id": "t", "scheme": SCHEME, "streams": [400]}
        after = write_table(tmp_path / "other.parquet", other.table(other.after), facts)
        assert "one tokenizer, so the texts differ" in self.refuse(before, after, words="hold other tokens: in row")

    def test_another_length(self, tmp_path: Path, text: Written) -> None:
        before, after = write_pair(tmp_path, text)
        for rows in (399, 256, 100):
            write_table(Path(after), text.table(text.after).slice(0, rows))
            self.refuse(before, after, words=f"in row {rows + 1} one of them ends")
            self.refuse(after, before, words=f"in row {rows + 1} one of them ends")

    def test_other_predictions_and_schemes(self, tmp_path: Path, text: Written) -> None:
        losses = text.after.copy()
        losses[[140, 170, 390]] = np.nan
        names = self.changed(tmp_path, text, loss=pa.array(losses, pa.float32(), from_pandas=True))
        hint = self.refuse(
            *names, words="predict other tokens: 3 have a loss in one of them only, the first in row 141"
        )
        assert "scheme" in hint
        names = write_pair(tmp_path, text, streams=[400], after={"scheme": {**SCHEME, "window": 32}})
        self.refuse(*names, words="by different schemes: window 16 and 32")

    def test_nothing_predicted(self, tmp_path: Path, text: Written) -> None:
        nothing = np.full(400, np.nan, np.float32)
        self.refuse(
            *write_pair(tmp_path, Written(text.token_id, text.document, nothing, nothing)), words="predict no token"
        )

    def test_what_is_no_such_table(self, tmp_path: Path, text: Written) -> None:
        before, after = write_pair(tmp_path, text)
        self.refuse(before, before, words="is given twice")
        link = tmp_path / "link.parquet"
        link.symlink_to(before)
        self.refuse(before, link, words="is given twice")
        hint = self.refuse(before, *self.changed(tmp_path, text, loss=None)[1:], words="it has no column loss")
        assert "Its columns: document, byte_start" in hint
        renamed = text.table(text.after).rename_columns(
            ["document", "byte_start", "byte_end", "position", "token_id", "token", "losses"]
        )
        assert "Did you mean 'losses'?" in self.refuse(
            before, write_table(Path(after), renamed), words="no column loss"
        )
        names = self.changed(tmp_path, text, loss=pa.array(["a"] * 400))
        self.refuse(*names, words="the column loss holds string, not numbers")
        names = self.changed(tmp_path, text, token_id=pa.array(text.token_id * 0.5))
        self.refuse(*names, words="the column token_id holds double, not whole numbers")
        names = self.changed(tmp_path, text, token_id=pa.array([None, *text.token_id[1:].tolist()], pa.int32()))
        self.refuse(*names, words="after.parquet: token_id is missing in row 1")
        names = self.changed(tmp_path, text, token_id=pa.array(np.full(400, -1), pa.int32()))
        self.refuse(*names, words="token_id is -1 in row 1")
        assert "Did you mean 'after.parquet'?" in self.refuse(
            before, tmp_path / "aftr.parquet", words="there is no file"
        )
        self.refuse(before, tmp_path, words="is no file")
        for name, content in (
            ("x.parquet", b""),
            ("x.parquet", b"PAR1 and nothing"),
            ("x.csv", b""),
            ("x.bin", b"abc"),
        ):
            (tmp_path / name).write_bytes(content)
            self.refuse(before, tmp_path / name, words=f"{name}")
        (tmp_path / "x.csv").write_text("document,token_id,loss\n0,1,0.5\n0,x,0.5\n")
        self.refuse(before, tmp_path / "x.csv", words="x.csv cannot be read: ")
        damaged = Path(before).read_bytes()
        (tmp_path / "damaged.parquet").write_bytes(damaged[:300] + bytes(200) + damaged[500:])
        self.refuse(before, tmp_path / "damaged.parquet", words="damaged.parquet")

    def test_one_table_or_a_table_and_a_run(self, tmp_path: Path, text: Written) -> None:
        before, _ = write_pair(tmp_path, text)
        with pytest.raises(OdysseyError, match="is one table"):
            open_files(before, None)
        self.refuse(before, "adapt-docs", words="adapt-docs is no file")


def test_the_same_losses_twice_are_noticed(tmp_path: Path) -> None:
    text = make_text()
    same = Written(text.token_id, text.document, text.before, text.before)
    assert open_files(*write_pair(tmp_path, same)).identical
    assert not open_files(*write_pair(tmp_path, text)).identical
