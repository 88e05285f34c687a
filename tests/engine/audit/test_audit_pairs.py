"""The texts of an experiment as they are trained on and scored, and the keys by which their audits are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.audit.standalone import audit, explain_foreign
from engine.data.tokenizer import load_tokenizer
from engine.plan.expand import expand
from engine.plan.pairs import base_of, list_pairs, prepared_pairs, tokenizer_of
from engine.spec.auditing import Auditing
from engine.spec.load import load_experiment
from engine.spec.run import Model, PrepareJob, RunSpec, Tokenizer
from store.workspace import Workspace
from tests.support.tiny import write_experiment

BLOCK = "  - {domain: poems, replay_ratio: 0, atpp: [0.5, 1]}"
CROSSED = "  - {domain: poems, newlines: [keep, strip], replay_ratio: [0, 0.5], atpp: [0.5, 1]}"


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunSpec, ...]:
    path = write_experiment(tmp_path)
    text = path.read_text().replace(BLOCK, CROSSED).replace("max_tokens: 2000", "join: [newline, space]")
    path.write_text(text)
    return expand(load_experiment(path)).runs


def test_every_training_text_meets_its_own_set_and_the_base(runs: tuple[RunSpec, ...]) -> None:
    pairs = list_pairs(runs)
    found = {(pair.domain, pair.corpora[0].newlines, pair.evaluated.name, pair.own) for pair in pairs}
    assert len(pairs) == len(found) == 7
    assert found == {
        ("base", "keep", "base", True),
        *(("poems", newlines, name, True) for newlines in ("keep", "strip") for name in ("poems", "poems+space")),
        *(("poems", newlines, "base", False) for newlines in ("keep", "strip")),
    }
    assert [pair.own for pair in pairs] == sorted((pair.own for pair in pairs), reverse=True)


def test_preparation_audits_what_runs_will_ask_for(runs: tuple[RunSpec, ...]) -> None:
    tokenizer = tokenizer_of(runs)
    assert tokenizer is not None
    (job,) = [run.job for run in runs if isinstance(run.job, PrepareJob)]
    prepared = {pair.pair_key(tokenizer) for pair in prepared_pairs(job)}
    assert {pair.pair_key(tokenizer) for pair in list_pairs(runs)} <= prepared


def test_a_key_follows_the_texts_and_not_their_names(runs: tuple[RunSpec, ...]) -> None:
    pair = next(pair for pair in list_pairs(runs) if pair.own and pair.domain == "poems")
    tokenizer = Tokenizer(model="gpt2")
    renamed = pair.evaluated.model_copy(update={"name": "other", "role": "other"})
    assert pair.model_copy(update={"evaluated": renamed}).pair_key(tokenizer) == pair.pair_key(tokenizer)
    for change in ({"separator": "none"}, {"own": False}):
        assert pair.model_copy(update=change).pair_key(tokenizer) != pair.pair_key(tokenizer)
    assert pair.pair_key(Tokenizer(model="gpt2-xl")) != pair.pair_key(tokenizer)


def test_only_stripped_text_scored_with_its_line_ends_is_serious(runs: tuple[RunSpec, ...], tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    asked = Auditing(pairs=list_pairs(runs), tokenizer=tokenizer_of(runs), workspace=str(workspace.root))
    audits = audit(asked, lambda phase, done, total: None)["audits"]
    levels = {(found["newlines"], found["eval_set"]): found["level"] for found in audits}
    assert {pair for pair, level in levels.items() if level == "serious"} == {("strip", "poems")}
    assert levels["strip", "base"] == "caution"
    (found,) = [found for found in audits if (found["newlines"], found["eval_set"]) == ("strip", "poems")]
    assert "`newlines: keep`" in found["findings"][0]["advice"]
    assert found["overlap"]["contained"] == 0
    names = {path.stem for path in (workspace.cache / "audits").iterdir()}
    assert names == {found["pair_key"] for found in audits}
    assert audit(asked, lambda phase, done, total: None)["audits"] == audits


def test_counts_are_of_what_is_trained_on_and_scored(runs: tuple[RunSpec, ...]) -> None:
    asked = Auditing(pairs=list_pairs(runs), tokenizer=tokenizer_of(runs))
    audits = audit(asked, lambda phase, done, total: None)["audits"]
    (kept,) = [found for found in audits if (found["newlines"], found["eval_set"]) == ("keep", "poems")]
    special = next(row for row in kept["classes"] if row["token_class"] == "special")
    assert (special["train"], special["evaluation"]) == (kept["train"]["documents"], 0)
    (space,) = [found for found in audits if (found["newlines"], found["eval_set"]) == ("keep", "poems+space")]
    assert space["evaluation"]["characters"]["newlines"] == 0
    assert space["evaluation"]["documents"] == kept["evaluation"]["documents"]


def test_tokens_are_counted_all_where_only_a_part_is_looked_through(runs: tuple[RunSpec, ...]) -> None:
    asked = Auditing(pairs=list_pairs(runs), tokenizer=tokenizer_of(runs))
    whole = audit(asked, lambda phase, done, total: None)["audits"]
    part = audit(asked.model_copy(update={"max_bytes": 4_000}), lambda phase, done, total: None)["audits"]
    for one, other in zip(whole, part, strict=True):
        assert one["classes"] == other["classes"]
        assert one["train"]["tokens_per_byte"] == other["train"]["tokens_per_byte"]
        assert other["train"]["n_bytes"] < 6_000 < one["train"]["n_bytes"]
        assert {"part", "small"} <= {found["code"] for found in other["findings"]}
        assert one["train"]["tokens_per_byte"] == pytest.approx(one["train"]["n_tokens"] / one["train"]["n_bytes"])


def test_another_models_tokenizer_is_told(tmp_path: Path, runs: tuple[RunSpec, ...]) -> None:
    assert base_of(runs) is None
    workspace = Workspace.create(tmp_path / "w")
    chosen = tokenizer_of(runs)
    assert chosen is not None
    own, other = (load_tokenizer(chosen.model_copy(update={"vocab_size": size}), workspace) for size in (300, 320))
    model = Model(source=str(own.path))
    assert explain_foreign(own, model, workspace) == ""
    assert own.tokenizer_id in explain_foreign(other, model, workspace)
    assert explain_foreign(own, Model(source=str(tmp_path)), workspace) == ""
