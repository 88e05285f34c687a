"""The texts of a workspace and their audits: what is listed, what is measured, what is refused."""

from __future__ import annotations

import json
import math

import pytest

from odyssey_tui.services.audit import Audit, collect_warnings, fact_rows, ppl_factor
from odyssey_tui.services.audit_sources import read_known, with_measured
from odyssey_tui.services.data import list_texts, parse, read_audits
from odyssey_tui.services.filter import FilterError
from store.database import lease
from store.errors import DataError
from store.files import write_json
from store.workspace import Workspace
from tests.support.synthetic import find_run_dir
from tests.support.synthetic_specs import CORPORA, SETS


def test_corpora_come_first_and_know_their_audits(voyage: Workspace) -> None:
    rows = list_texts(voyage)
    assert [row.kind for row in rows] == ["corpus"] * len(CORPORA) + ["set"] * len(SETS)
    docs = next(row for row in rows if row.kind == "corpus" and row.name == "docs")
    assert (docs.level, docs.newlines, docs.duplicates) == ("serious", "keep", 3)
    assert docs.newlines_per_1000 == 0
    assert docs.splits == {"train": 400_000, "valid": 8_000, "test": 40_000}
    assert docs.experiments == ("demo",)
    assert docs.similarity is not None
    assert sum(docs.classes.values()) == pytest.approx(1)
    assert docs.classes["newline"] == 0
    scored = next(row for row in rows if row.kind == "set" and row.name == "docs")
    assert scored.level == "serious"
    assert scored.classes["newline"] > 0
    assert (scored.tokens, scored.tokenizer) == (2_500, "trained on base")
    assert scored.experiments == ("demo",)
    tables = next(row for row in rows if row.kind == "corpus" and row.name == "tables")
    assert (tables.level, tables.audit, tables.n_warnings, tables.classes) == (None, "none", 0, {})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("kind=corpus and audit=serious", ["docs"]),
        ("audit=note", ["headers", "headers"]),
        ("kind=set and ~head", ["headers"]),
        ("kind=corpus and newline<1", ["docs"]),
        ("kind=corpus and warnings>=1 and experiment=demo", ["docs"]),
    ],
)
def test_filters(voyage: Workspace, text: str, names: list[str]) -> None:
    chosen = parse(text)
    assert [row.name for row in list_texts(voyage) if chosen.accepts(row.record())] == names


def test_an_unknown_key_of_a_filter_names_the_nearest() -> None:
    with pytest.raises(FilterError, match="no key 'warning'") as refused:
        parse("warning=1")
    assert "warnings" in refused.value.hint


def test_names_without_audits_are_told_from_unknown_ones(voyage: Workspace, empty: Workspace) -> None:
    with pytest.raises(DataError, match="'tables' has no format audit") as refused:
        read_audits(voyage, "tables")
    assert "odyssey audit" in refused.value.hint
    with pytest.raises(DataError, match="is called 'dcos'") as refused:
        read_audits(voyage, "dcos")
    assert "Did you mean 'docs'?" in refused.value.hint
    with pytest.raises(DataError, match="is called 'docs'") as refused:
        read_audits(empty, "docs")
    assert "Nothing has been prepared yet" in refused.value.hint


def test_shares_and_factors_are_those_of_the_counts(voyage: Workspace) -> None:
    (audit,) = read_audits(voyage, "docs")
    assert sum(row.train_share for row in audit.classes) == pytest.approx(1)
    newline = next(row for row in audit.classes if row.token_class == "newline")
    assert (newline.ratio, newline.train) == (0, 0)
    finding = audit.findings[0]
    assert finding.share == pytest.approx(newline.evaluation_share)
    assert dict(finding.assumed) == {d: pytest.approx(math.exp(newline.evaluation_share * d)) for d in (1, 3, 5)}
    assert "(assumed)" in finding.effect
    assert "measured" not in finding.effect
    assert ppl_factor(0.02, 5) == pytest.approx(1.105, abs=1e-3)
    facts = {row["fact"]: (row["train"], row["evaluation"]) for row in fact_rows(audit)}
    assert facts["lines"] == ("none", "paragraphs")
    assert facts["documents looked through"] == ("40", "20")


def pretend_stripped(workspace: Workspace, domain: str = "docs") -> None:
    """As if the domain's states had been adapted to stripped text."""
    with lease(workspace, write=True) as con:
        con.execute(
            'UPDATE runs SET labels = json_merge_patch(labels, \'{"newlines": "strip"}\') WHERE domain = ?', [domain]
        )


def test_what_was_measured_stands_beside_what_is_assumed(own_voyage: Workspace) -> None:
    pretend_stripped(own_voyage)
    (audit,) = read_audits(own_voyage, "docs")
    measured = audit.findings[0].measured
    assert measured is not None
    assert measured.own
    with lease(own_voyage) as con:
        rows = con.execute(
            """
            SELECT sum(a.sum_loss - b.sum_loss) / sum(a.n) AS delta FROM adaptation_points p
            JOIN type_losses a ON a.evaluation_id = p.evaluation_id AND a.token_id = 0
            JOIN type_losses b ON b.evaluation_id = p.zero_shot_evaluation_id AND b.token_id = 0
            WHERE p.domain = 'docs' AND p.role = 'target' GROUP BY p.model_id ORDER BY delta
            """
        ).fetchall()
    assert sorted(measured.rises) == pytest.approx([delta for (delta,) in rows])
    assert f"× {ppl_factor(audit.findings[0].share, measured.median):.3f} at the measured" in audit.findings[0].effect
    assert "(assumed)" in audit.findings[0].effect


def test_what_was_measured_on_other_texts_says_so(own_voyage: Workspace) -> None:
    pretend_stripped(own_voyage, "stdlib")
    (audit,) = read_audits(own_voyage, "docs")
    measured = audit.findings[0].measured
    assert measured is not None
    assert not measured.own
    assert "other texts" in measured.text
    with lease(own_voyage, write=True) as con:
        con.execute("DELETE FROM type_losses")
    assert read_audits(own_voyage, "docs")[0].findings[0].measured is None


def test_the_table_and_its_view_hold_the_audit(voyage: Workspace) -> None:
    with lease(voyage) as con:
        rows = con.execute(
            "SELECT token_class, train, evaluation_share FROM audit_classes WHERE domain = 'docs' ORDER BY token_class"
        ).fetchall()
        levels = dict(con.execute("SELECT domain, level FROM audits").fetchall())
        (record,) = con.execute("SELECT findings FROM audits WHERE domain = 'docs'").fetchall()
    shares = {name: (train, share) for name, train, share in rows}
    assert shares["newline"][0] == 0
    assert sum(share for _, share in shares.values()) == pytest.approx(1)
    assert levels == {"docs": "serious", "headers": "note"}
    assert json.loads(record[0])[0]["token_class"] == "newline"


def test_audits_in_the_cache_count_too_and_damaged_ones_are_not_there(own_voyage: Workspace) -> None:
    (stored,) = read_audits(own_voyage, "docs")
    cached = {**stored.record, "audit_id": "another", "domain": "tables", "corpus_keys": [CORPORA["tables"].key()]}
    write_json(own_voyage.cache / "audits" / "one.json", cached)
    write_json(own_voyage.cache / "audits" / "same.json", dict(stored.record))
    (own_voyage.cache / "audits" / "torn.json").write_text('{"audit_id": "x", "findings"')
    (own_voyage.cache / "audits" / "other.json").write_text('{"findings": 3}')
    assert [audit.record["audit_id"] for audit in read_audits(own_voyage, "tables")] == ["another"]
    assert len(read_audits(own_voyage, "docs")) == 2  # its set is scored by both
    rows = {row.name: row.level for row in list_texts(own_voyage) if row.kind == "corpus"}
    assert rows["tables"] == "serious"


def test_nothing_is_known_of_no_runs(empty: Workspace) -> None:
    known = read_known(empty, ())
    assert (known.audits, known.missing, known.summary) == ((), 0, "nothing to audit")
    assert with_measured(empty, ()) == []


def test_an_audit_of_files_is_named_by_them(voyage: Workspace) -> None:
    (stored,) = read_audits(voyage, "docs")
    record = {key: value for key, value in stored.record.items() if key != "domain"}
    audit = Audit.of({**record, "train_files": ["a/b.txt", "c.txt"], "evaluation_files": ["texts/"]})
    assert audit.name == "b.txt and 1 more → texts"
    assert find_run_dir(voyage, "prepare").exists()


def test_what_several_audits_warn_of_is_told_once(voyage: Workspace) -> None:
    (audit,) = read_audits(voyage, "docs")
    other = Audit.of({**audit.record, "audit_id": "another", "eval_set": "docs+x"})
    collected = collect_warnings([audit, other])
    assert len(collected) == len(audit.warnings)
    assert collected[0].where == "docs (stripped) → docs, docs (stripped) → docs+x"
    assert [warned.finding.level for warned in collected] == sorted(
        (warned.finding.level for warned in collected), key=("serious", "caution").index
    )
