"""Each warning fires on the damage it is for, and none on two clean samples of one text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engine.audit.compare import describe, find
from engine.audit.findings import Compared, Finding, Setting, TokenVocabulary
from engine.audit.pieces import count_pieces
from engine.audit.scan import Scan
from engine.audit.tokens import CLASSES, TokenCounts
from tests.support.audit_texts import DAMAGES, make_documents, strip_lines

PLAIN = Setting()


def compare(train: Sequence[str], evaluation: Sequence[str], setting: Setting = PLAIN) -> Compared:
    scored = Scan(keep=True).add_all(evaluation)
    wanted = scored.wanted
    trained = Scan(wanted=wanted).add_all(train)
    tokens = TokenCounts.of_pieces(count_pieces(train), count_pieces(evaluation))
    return Compared(trained.facts(), scored.facts(), tokens, scored.overlap(trained, wanted), setting)


def findings(train: Sequence[str], evaluation: Sequence[str], setting: Setting = PLAIN) -> dict[str, Finding]:
    return {finding.code: finding for finding in find(compare(train, evaluation, setting))}


TRAIN, EVALUATION = make_documents(1), make_documents(2, 20)


def test_two_clean_samples_raise_nothing() -> None:
    found = findings(TRAIN, EVALUATION)
    assert {code: finding.level for code, finding in found.items()} == {"small": "note"}


@pytest.mark.parametrize("code", DAMAGES)
def test_damaged_training_text_is_told_of(code: str) -> None:
    found = findings([DAMAGES[code](text) for text in TRAIN], EVALUATION)
    assert code in found
    assert found[code].evidence
    assert found[code].level == "note" if code == "bom" else found[code].level in ("serious", "caution")


@pytest.mark.parametrize("code", ["replacement", "mojibake", "nul", "control", "crlf", "lone-cr", "normal-form", "bom"])
def test_damaged_evaluation_text_is_told_of(code: str) -> None:
    found = findings(TRAIN, [DAMAGES[code](text) for text in EVALUATION])
    assert code in found
    assert found[code].side in ("evaluation", "both")


@pytest.mark.parametrize("code", [code for code in DAMAGES if code not in ("class-absent", "glued")])
def test_the_same_damage_in_both_is_no_difference(code: str) -> None:
    both = [[DAMAGES[code](text) for text in texts] for texts in (TRAIN, EVALUATION)]
    differences = {"class-absent", "class-rare", "types-absent", "crlf", "lone-cr", "wrapping", "blank-lines", "glued"}
    assert not differences & findings(*both).keys()


def test_absent_line_ends_are_serious_and_say_how_many_tokens() -> None:
    compared = compare([strip_lines(text) for text in TRAIN], EVALUATION)
    finding = find(compared)[0]
    assert (finding.code, finding.level, finding.token_class) == ("class-absent", "serious", "newline")
    row = next(row for row in compared.tokens.class_rows() if row.token_class == "newline")
    assert row.train == 0
    assert row.evaluation == sum(text.count("\n") for text in EVALUATION)
    assert finding.share == pytest.approx(row.evaluation / compared.tokens.n_evaluation)
    assert f"{row.evaluation:,} of" in finding.evidence


def test_the_advice_names_the_option_that_is_the_cause() -> None:
    stripped = [strip_lines(text) for text in TRAIN]
    found = findings(stripped, EVALUATION, Setting(newlines="strip", join="newline", separator="eos"))
    assert "`newlines: keep`" in found["class-absent"].advice
    assert "join: space" in found["class-absent"].advice
    assert "glued" not in found


def test_a_rare_class_is_told_from_an_absent_one() -> None:
    mostly = [strip_lines(text) if number % 20 else text for number, text in enumerate(TRAIN)]
    found = findings(mostly, EVALUATION)
    assert found["class-rare"].token_class == "newline"
    assert "× rarer in training" in found["class-rare"].message
    assert "class-absent" not in found


def test_of_another_text_only_what_is_absent_is_told() -> None:
    stripped = [strip_lines(text) for text in TRAIN]
    found = findings(stripped, EVALUATION, Setting(own=False))
    assert found["class-absent"].level == "caution"
    assert findings([text.replace(",", " —") for text in TRAIN], EVALUATION, Setting(own=False)).keys() <= {"small"}


@pytest.mark.parametrize(("separator", "told"), [("eos", False), ("newline", True), ("none", True)])
def test_separators_that_scored_text_lacks_are_noted(separator: str, told: bool) -> None:
    found = findings(TRAIN, EVALUATION, Setting(separator=separator))
    assert ("separator" in found) is told
    assert "separator" not in findings(TRAIN, EVALUATION, Setting(separator=separator, joined=True))


class TestDuplicates:
    def test_the_same_text(self) -> None:
        found = findings(TRAIN, TRAIN)
        assert found["same-text"].level == "serious"
        assert "100 % duplicates" in found["same-text"].message
        assert not {"leak", "contamination"} & found.keys()

    def test_documents_that_were_trained_on_whatever_case_and_line_ends(self) -> None:
        leaked = [strip_lines(text).upper() for text in EVALUATION[:5]]
        found = findings([*TRAIN, *leaked], EVALUATION)
        assert found["leak"].message.startswith("5 of 20 evaluation documents")
        assert found["leak"].evidence.startswith("5 word for word, 0 more")
        assert found["leak"].level == "serious"

    def test_documents_that_were_nearly_trained_on(self) -> None:
        near = [text.replace("Naïve", "Otherwise") + "And so on.\n" for text in EVALUATION[:4]]
        found = findings([*TRAIN, *near], EVALUATION)
        assert found["leak"].evidence.startswith("0 word for word, 4 more")

    def test_the_share_of_8_grams_is_exact(self) -> None:
        half = [text[: len(text) // 2].rsplit(" ", 1)[0] for text in EVALUATION]
        found = compare([*TRAIN, *half], EVALUATION).overlap
        words = [len(text.split()) for text in EVALUATION]
        assert found.shingles == sum(n - 7 for n in words)
        assert found.shingles_seen == sum(len(text.split()) - 7 for text in half)
        assert found.contained == 0

    def test_repeats_within_a_text(self) -> None:
        repeated = [text.replace("Élan", "x") + "The end.\n" for text in TRAIN[:6]]
        facts = compare([*TRAIN, *TRAIN[:3], *repeated], EVALUATION).train
        assert (facts.repeats.exact, facts.repeats.near, facts.repeats.compared) == (3, 9, 69)
        assert findings([*TRAIN, *repeated], EVALUATION)["repeats"].side == "train"


class TestTokenizer:
    VOCABULARY = TokenVocabulary((b"the", b" ship", b"s", b"\xd9", b"\x81", b"?"), None)

    def check(self, text: str, counts: Sequence[int], vocabulary: TokenVocabulary = VOCABULARY) -> dict[str, Finding]:
        base = compare([text] * 40, [text] * 40)
        tokens = TokenCounts(
            vocabulary.content, np.array(["word"] * 6, object), np.array(counts, np.int64), np.array(counts, np.int64)
        )
        found = Compared(base.train, base.evaluation, tokens, None, vocabulary=vocabulary, reference=(100, 800))
        return {finding.code: finding for finding in find(found)}

    def test_a_script_that_the_vocabulary_lacks(self) -> None:
        found = self.check("سفينة الى الجزيرة ", [0, 0, 0, 600, 600, 0])
        assert found["script"].level == "serious"
        assert "Arabic, 100 % of the letters" in found["script"].message
        assert "script" not in self.check("the ships ", [40, 40, 40, 0, 0, 0])

    def test_more_tokens_a_byte_than_the_base_text(self) -> None:
        found = self.check("the ships ", [400, 400, 400, 0, 0, 0])
        assert "2.7× as many tokens a byte as the base text" in found["tokens-per-byte"].message

    def test_unknown_tokens(self) -> None:
        vocabulary = TokenVocabulary(self.VOCABULARY.content, 5)
        found = self.check("the ships ", [40, 40, 40, 0, 0, 10], vocabulary)
        assert found["unknown-tokens"].level == "serious"
        assert "are '?'" in found["unknown-tokens"].message


def test_scripts_and_lengths_that_differ_are_told() -> None:
    greek = [text.translate(str.maketrans("abcdefghilmnoprstu", "αβγδεζηθικλμνξοπρσ")) for text in EVALUATION]
    found = findings(TRAIN, greek)
    assert "Latin" in found["scripts"].evidence
    assert "Greek" in found["scripts"].evidence
    long = ["".join(TRAIN[start : start + 12]) for start in range(0, 48, 4)]
    assert "12× longer in training" in findings(long, EVALUATION)["lengths"].message


def test_the_record_holds_every_class_and_the_worst_level() -> None:
    record = describe(compare([strip_lines(text) for text in TRAIN], EVALUATION))
    assert [row["token_class"] for row in record["classes"]] == list(CLASSES)
    assert record["level"] == "serious"
    assert record["types"][0]["text"] == "\\n"
    assert record["types"][0]["excess"] > 0
    assert record["train"]["newlines_per_1000"] == 0
    assert record["train"]["layout"] == "none"
    assert sum(row["train"] for row in record["classes"]) == record["train"]["n_tokens"]
