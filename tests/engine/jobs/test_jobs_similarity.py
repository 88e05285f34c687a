from __future__ import annotations

import json
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.data.tokenizer import load_tokenizer
from engine.jobs.similarity import execute
from engine.report import JobContext, Report, StopRequested
from engine.spec.run import Corpus, Model, RunSpec, SimilarityJob, Tokenizer
from store.errors import ConfigError, DataError
from store.journal import read_events
from store.run_dir import create_run
from store.workspace import Workspace
from tests.support.sentences import install_fake_encoder
from tests.support.states import save_tiny_state

TEXT = {
    "base": "the cat sat on a mat and saw the dog run home past every old house near our river",
    "near": "the cat ran on a road and saw the fox run home past every old barn near our lake",
    "far": "SELECT 4711 FROM tbl_x9 WHERE qty<>17 GROUP BY zip99 HAVING cnt>=23 ORDER BY z_k0",
}


def write_corpus(folder: Path, name: str, like: str, documents: int = 40) -> Corpus:
    rng = random.Random(name)
    path = folder / f"{name}.jsonl"
    texts = (" ".join(rng.choices(TEXT[like].split(), k=120)) for _ in range(documents))
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return Corpus(name=name, source=str(path), test_share=0.1, valid_share=0.05)


@pytest.fixture
def corpora(tmp_path) -> dict[str, Corpus]:
    return {name: write_corpus(tmp_path, name, like=name) for name in TEXT}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.create(tmp_path / "workspace")


def make_job(corpora: dict[str, Corpus], **changes) -> SimilarityJob:
    options = {
        "reference": (corpora["base"],),
        "domains": (corpora["near"], corpora["far"]),
        "tokenizer": Tokenizer(train_on=(corpora["base"], corpora["far"]), vocab_size=300),
        "measures": ("jsd", "cosine", "mmd2", "c2st"),
        "embedders": ("ngrams",),
        "samples": 64,
        "sample_tokens": 16,
        "bootstrap": 40,
    }
    return SimilarityJob(**{**options, **changes})


def run_job(job: SimilarityJob, workspace: Workspace, stop: str = "") -> list[dict]:
    spec = RunSpec(run_id=f"sim-{job.key()}", name="similarity", experiment="test", job=job)
    run = create_run(workspace, spec.model_dump(mode="json"))
    attempt = run.new_attempt()
    try:
        with Report(attempt, heartbeat_s=60) as report:
            if stop:
                report.request_stop(stop)
            execute(job, JobContext(workspace, spec, run, report, "cpu", 1))
    finally:
        events, _ = read_events(attempt.events)
    return events


def values(events: list[dict]) -> dict[tuple[str, str, str], dict]:
    return {(e["measure"], e["embedder"], e["domain"]): e for e in events if e["event"] == "similarity"}


def test_every_domain_gets_every_measure_and_the_near_one_is_nearer(corpora, workspace) -> None:
    events = run_job(make_job(corpora), workspace)
    found = values(events)
    assert len(found) == 8
    assert {e for _, e, _ in found} == {"tokens", "ngrams"}
    for measure, embedder, domain in found:
        event = found[measure, embedder, domain]
        assert event["low"] <= event["value"] <= event["high"]
        assert (event["reference"], event["n_samples"], event["seed"]) == ("base", 64, 0)
        assert event["encoder"]
        sign = 1 if event["higher_is_closer"] else -1
        assert sign * found[measure, embedder, "near"]["value"] > sign * found[measure, embedder, "far"]["value"]
    progress = [e for e in events if e["event"] == "progress"]
    assert [e["total"] for e in events if e["event"] == "running"] == [11]
    assert progress[-1]["done"] == 11
    assert [e["done"] for e in progress] == sorted(e["done"] for e in progress)
    assert {"tokenising", "embedding · ngrams", "mmd2 · ngrams", "jsd · tokens"} <= {e["phase"] for e in progress}


def test_same_seed_same_values_and_cached_vectors(corpora, workspace, tmp_path) -> None:
    first = values(run_job(make_job(corpora), workspace))
    cached = sorted((workspace.cache / "embeddings").glob("*.npy"))
    stamps = [path.stat().st_mtime_ns for path in cached]
    assert len(cached) == 3
    again = values(run_job(make_job(corpora, bootstrap=41), workspace))
    assert {key: e["value"] for key, e in first.items()} == {key: e["value"] for key, e in again.items()}
    assert [path.stat().st_mtime_ns for path in cached] == stamps
    elsewhere = values(run_job(make_job(corpora), Workspace.create(tmp_path / "other")))
    assert {key: e["low"] for key, e in first.items()} == {key: e["low"] for key, e in elsewhere.items()}


def test_only_what_is_new_is_computed(corpora, workspace, tmp_path) -> None:
    def count() -> int:
        return len(list((workspace.cache / "similarities").glob("*.json")))

    first = values(run_job(make_job(corpora), workspace))
    assert count() == 8
    run_job(make_job(corpora, measures=("jsd", "cosine", "mmd2", "c2st", "l2")), workspace)
    assert count() == 10
    mid = write_corpus(tmp_path, "mid", like="near")
    wider = make_job(corpora, domains=(mid, corpora["far"], corpora["near"]))
    found = values(run_job(wider, workspace))
    # Four of the new domain; the bandwidth of MMD², one for all domains, is another one with it.
    assert count() == 16
    assert {key for key, event in first.items() if found[key]["value"] != event["value"]} == {
        ("mmd2", "ngrams", "near"),
        ("mmd2", "ngrams", "far"),
    }
    run_job(make_job(corpora, bootstrap=41), workspace)
    assert count() == 24


def test_a_damaged_value_is_computed_again(corpora, workspace) -> None:
    first = values(run_job(make_job(corpora), workspace))
    for path in (workspace.cache / "similarities").glob("*.json"):
        path.write_text('{"value": 1')
    again = values(run_job(make_job(corpora), workspace))
    assert {key: e["value"] for key, e in first.items()} == {key: e["value"] for key, e in again.items()}


def test_sentence_encoders_read_the_text_of_the_samples(corpora, workspace, monkeypatch) -> None:
    seen = install_fake_encoder(monkeypatch)
    job = make_job(corpora, embedders=("sentence",), measures=("mmd2", "l2"), sentence_model="tiny")
    found = values(run_job(job, workspace))
    assert {(m, e) for m, e, _ in found} == {("mmd2", "sentence"), ("l2", "sentence")}
    assert {event["encoder"] for event in found.values()} == {"tiny"}
    assert found["mmd2", "sentence", "near"]["value"] < found["mmd2", "sentence", "far"]["value"]
    assert len(seen) == 3 * 64
    assert any("SELECT" in text or "cnt>=23" in text for text in seen)
    run_job(make_job(corpora, embedders=("sentence",), measures=("cosine",), sentence_model="tiny"), workspace)
    assert len(seen) == 3 * 64


def test_an_encoder_of_another_tokenizer_is_refused(corpora, workspace) -> None:
    theirs = load_tokenizer(Tokenizer(train_on=(corpora["far"],), vocab_size=270), workspace)
    save_tiny_state(workspace, theirs, "pretrain-x", "ptpp2")
    job = make_job(corpora, encoder=Model(run="pretrain-x", state="ptpp2"), embedders=("model",))
    with pytest.raises(DataError, match="pretrain-x@ptpp2 was trained with tokenizer"):
        run_job(job, workspace)


def test_the_key_of_an_older_job_is_the_same(corpora) -> None:
    """Options that came later change no identifier at their defaults."""
    job = make_job(corpora)
    assert "sentence_model" not in job.essence()
    assert SimilarityJob.model_validate(job.essence()).key() == job.key()
    assert make_job(corpora, sentence_model="tiny").key() != job.key()


def test_model_embedder_reads_a_checkpoint(corpora, workspace, tmp_path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    folder = tmp_path / "model"
    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=32, n_embd=16, n_layer=1, n_head=2)).save_pretrained(folder)
    job = make_job(
        corpora, encoder=Model(source=str(folder)), embedders=("model",), measures=("frechet", "l2", "jsd"), samples=40
    )
    found = values(run_job(job, workspace))
    assert {e for _, e, _ in found} == {"model", "tokens"}
    assert found["l2", "model", "near"]["encoder"] == f"{folder}@main"
    assert found["l2", "model", "near"]["value"] < found["l2", "model", "far"]["value"]
    assert found["frechet", "model", "near"]["value"] < found["frechet", "model", "far"]["value"]


def test_a_measure_that_refuses_is_a_warning_and_the_rest_goes_on(corpora, workspace) -> None:
    events = run_job(make_job(corpora, measures=("frechet", "jsd")), workspace)
    assert {m for m, _, _ in values(events)} == {"jsd"}
    warnings = [e["message"] for e in events if e["event"] == "warning"]
    assert any("frechet with ngrams left out" in text and "2048" in text for text in warnings)
    with pytest.raises(DataError, match="no measure could be computed"):
        run_job(make_job(corpora, measures=("frechet",)), workspace)


def test_samples_shrink_to_the_smallest_corpus_for_all(corpora, workspace, tmp_path) -> None:
    small = write_corpus(tmp_path, "small", like="near", documents=4)
    events = run_job(make_job(corpora, domains=(corpora["far"], small), samples=5000), workspace)
    sizes = {e["n_samples"] for e in values(events).values()}
    assert len(sizes) == 1
    assert 8 <= sizes.pop() < 5000
    assert any("samples reduced from 5000" in e["message"] for e in events if e["event"] == "warning")


def test_several_reference_corpora_are_named_and_shared(corpora, workspace) -> None:
    found = values(run_job(make_job(corpora, reference=(corpora["base"], corpora["far"])), workspace))
    assert {e["reference"] for e in found.values()} == {"base+far"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"measures": ("cosin",)}, ConfigError, "no measure 'cosin'"),
        ({"embedders": ("ngram",)}, ConfigError, "no embedder 'ngram'"),
        ({"embedders": ("model",)}, ConfigError, "`model` without an encoder"),
        ({"embedders": ("sentense",)}, ConfigError, "no embedder 'sentense'"),
        ({"sample_tokens": 5000}, DataError, "too little text: .* similarity needs 8"),
    ],
)
def test_what_cannot_work_is_said_once(corpora, workspace, changes, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        run_job(make_job(corpora, **changes), workspace)
    assert caught.value.hint


def test_vectors_that_are_not_finite_are_refused(corpora, workspace, monkeypatch) -> None:
    install_fake_encoder(monkeypatch)
    with pytest.raises(DataError, match="broken: embeddings are not finite"):
        run_job(make_job(corpora, embedders=("sentence",), sentence_model="broken"), workspace)


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="it is installed")
def test_a_missing_library_is_said_before_anything_is_computed(corpora, workspace) -> None:
    with pytest.raises(ConfigError, match="not installed") as caught:
        run_job(make_job(corpora, embedders=("ngrams", "sentence")), workspace)
    assert "odyssey-tui[sentence]" in caught.value.hint
    assert not (workspace.cache / "embeddings").exists()


def test_a_request_to_stop_is_heard(corpora, workspace) -> None:
    with pytest.raises(StopRequested, match="enough"):
        run_job(make_job(corpora), workspace, stop="enough")
