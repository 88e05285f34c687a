"""The prepare job: what it reports, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.jobs import prepare
from engine.report import JobContext, Report, StopRequested
from engine.spec.run import Corpus, EvalSet, PrepareJob, RunSpec, Tokenizer
from store.errors import DataError
from store.journal import read_events
from store.run_dir import AttemptDir, create_run
from store.workspace import Workspace


def make_job(corpora: tuple[Corpus, Corpus], **changes: Any) -> PrepareJob:
    sets = (
        EvalSet(name="base", role="base", corpora=corpora),
        EvalSet(name="near", role="target", corpora=corpora[:1], max_tokens=500),
    )
    job = PrepareJob(corpora=corpora, tokenizer=Tokenizer(train_on=corpora, vocab_size=300), sets=sets)
    return job.model_copy(update=changes)


def run(job: PrepareJob, workspace: Workspace, stop: bool = False) -> AttemptDir:
    spec = RunSpec(run_id="prepare-1", name="prepare", experiment="e", job=job)
    directory = create_run(workspace, spec.model_dump(mode="json"))
    attempt = directory.new_attempt()
    with Report(attempt) as report:
        if stop:
            report.request_stop("asked to")
        prepare.execute(job, JobContext(workspace, spec, directory, report, "cpu", 1))
    return attempt


def events(attempt: AttemptDir, name: str) -> list[dict[str, Any]]:
    return [event for event in read_events(attempt.events)[0] if event["event"] == name]


def test_everything_is_reported_with_its_shards(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    attempt = run(make_job(corpora), workspace)
    reported = events(attempt, "corpus")
    assert [event["name"] for event in reported] == ["near", "far"]
    for event in reported:
        assert event["tokens"]["train"] > 1000
        assert set(event["bytes"]) == {"train", "valid", "test"}
        assert event["n_documents"] == 40
    (tokenizer,) = events(attempt, "tokenizer")
    assert pq.read_table(attempt.spool / tokenizer["shard"]).num_rows == tokenizer["vocab_size"] == 300
    for event in events(attempt, "eval_set"):
        table = pq.read_table(attempt.spool / event["shard"])
        assert sum(map(len, table["token_ids"].to_pylist())) == event["n_tokens"]
        assert table["eval_set_id"][0].as_py() == event["eval_set_id"]
    assert sorted(path.name.rpartition("-")[0] for path in attempt.spool.glob("*.parquet")) == [
        *("documents", "documents", "eval_set", "eval_set", "vocabulary"),
    ]
    progress = events(attempt, "progress")[-1]
    assert progress["done"] == progress["total"] == 10
    assert events(attempt, "warning") == []


def test_a_second_preparation_finds_the_same(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    first, second = (run(make_job(corpora), workspace) for _ in range(2))
    for name, key in (("corpus", "fingerprint"), ("tokenizer", "tokenizer_id"), ("eval_set", "eval_set_id")):
        assert [e[key] for e in events(first, name)] == [e[key] for e in events(second, name)]


def test_short_text_is_refused_by_one_message_that_names_all(
    workspace: Workspace, corpora: tuple[Corpus, Corpus]
) -> None:
    with pytest.raises(DataError) as error:
        run(make_job(corpora, minimum_tokens=1000), workspace)
    assert "evaluation set 'near' has 500 tokens" in error.value.message
    assert "corpus" not in error.value.message
    with pytest.raises(DataError) as error:
        run(make_job(corpora, minimum_tokens=1_000_000), workspace)
    assert "corpus 'near'" in error.value.message
    assert "corpus 'far'" in error.value.message


def test_refused_files_are_read_anew_once_corrected(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    near = Path(corpora[0].source)
    whole = near.read_text()
    for written in (whole[: whole.index("\n") + 1], ""):
        near.write_text(written)
        with pytest.raises(DataError):
            run(make_job(corpora, minimum_tokens=300), workspace)
        assert list((workspace.cache / "corpora").iterdir()) == []
        assert not list((workspace.cache / "tokenizers").glob("[!.]*"))
    near.write_text(whole)
    attempt = run(make_job(corpora, minimum_tokens=300), workspace)
    assert [event["n_documents"] for event in events(attempt, "corpus")] == [40, 40]


def test_what_others_have_used_outlives_a_refusal(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    first = events(run(make_job(corpora), workspace), "corpus")
    with pytest.raises(DataError):
        run(make_job(corpora, minimum_tokens=1_000_000), workspace)
    Path(corpora[0].source).write_text("")
    second = events(run(make_job(corpora), workspace), "corpus")
    assert [event["fingerprint"] for event in first] == [event["fingerprint"] for event in second]


def test_held_out_text_in_training_text_is_warned_of(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    near, far = corpora
    otherwise = near.model_copy(update={"name": "again", "split_seed": 1})
    job = make_job(corpora).model_copy(update={"corpora": (near, far, otherwise)})
    attempt = run(job, workspace)
    messages = [event["message"] for event in events(attempt, "warning")]
    assert len(messages) == 2
    assert all("'near' are in the train split of 'again'" in message for message in messages)


def test_changed_files_are_warned_of(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    run(make_job(corpora), workspace)
    with Path(corpora[0].source).open("a") as file:
        file.write('{"id": "new", "group": "new", "lang": "en", "text": "new"}\n')
    (warning,) = events(run(make_job(corpora), workspace), "warning")
    assert "corpus 'near'" in warning["message"]
    assert "changed" in warning["message"]


def test_a_request_to_stop_is_honoured(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    with pytest.raises(StopRequested, match="asked to"):
        run(make_job(corpora), workspace, stop=True)


def test_the_format_audit_warns_of_text_without_line_ends(workspace: Workspace, corpora: tuple[Corpus, Corpus]) -> None:
    near, _ = corpora
    stripped = near.model_copy(update={"newlines": "strip"})
    job = make_job(corpora).model_copy(update={"corpora": (near, stripped)})
    attempt = run(job, workspace)
    audits = {(event["newlines"], event["eval_set"], event["own"]): event for event in events(attempt, "audit")}
    own = audits["strip", "near", True]
    assert (own["level"], own["findings"][0]["token_class"]) == ("serious", "newline")
    warned = [event["message"] for event in events(attempt, "warning") if "the line end" in event["message"]]
    assert len(warned) == 1
    assert "'near' scored on 'near'" in warned[0]
    assert (workspace.cache / "audits" / f"{own['pair_key']}.json").is_file()


def test_an_audit_that_fails_is_a_warning_and_nothing_more(
    workspace: Workspace, corpora: tuple[Corpus, Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare.TextAuditor, "audit", lambda self, pair: {}[pair.domain])
    attempt = run(make_job(corpora), workspace)
    told = [event["message"] for event in events(attempt, "warning")]
    assert sorted(told) == [f"format audit of '{name}' failed: KeyError: '{name}'" for name in ("base", "near", "near")]
    assert events(attempt, "audit") == []
