"""The prepare job: corpora, tokenizer and evaluation sets, made once for every run of an experiment."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from engine.audit.cache import cache_audit
from engine.audit.texts import TextAuditor
from engine.data.corpus import CorpusSnapshot, is_stale, snapshot, snapshot_folder
from engine.data.eval_sets import tokenise_eval_set
from engine.data.records import record_eval_set, record_tokenizer
from engine.data.sources.registry import is_path
from engine.data.tokenizer import load_tokenizer, tokenizer_folder
from engine.data.tokens import token_stream
from engine.plan.pairs import prepared_pairs
from engine.spec.run import Corpus, EvalSet, PrepareJob
from store.errors import DataError, WorkspaceError

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.report import JobContext, Report
    from engine.spec.auditing import TextPair
    from store.workspace import Workspace

AUDITED_BYTES = 4_000_000
"""Of each text so much is looked through for the format audit; tokens are counted all."""


def execute(job: PrepareJob, context: JobContext) -> None:
    """Snapshot every corpus, make the tokenizer, tokenise training splits and evaluation sets; report each.

    Raises DataError when a training split or an evaluation set holds fewer than ``minimum_tokens``, naming all that do.
    Files that were read for the first time are then forgotten: corrected, they are read anew when it is tried again.
    """
    _limit_threads(context.threads)
    corpora = _distinct(job)
    new = [folder for folder in _made_of_files(job, corpora, context.workspace) if not folder.exists()]
    try:
        _prepare(job, context, corpora)
    except DataError:
        for folder in new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _made_of_files(job: PrepareJob, corpora: list[Corpus], workspace: Workspace) -> list[Path]:
    """The cache entries that hold files as they were when they were read."""
    snapshots = [snapshot_folder(corpus, workspace) for corpus in corpora if is_path(corpus)]
    return snapshots + [tokenizer_folder(job.tokenizer, workspace)] * any(map(is_path, job.tokenizer.train_on))


def _prepare(job: PrepareJob, context: JobContext, corpora: list[Corpus]) -> None:
    report = context.report
    pairs = prepared_pairs(job)
    total = 2 * len(corpora) + 1 + len(job.sets) + len(pairs)
    report.running(total, "steps")
    done = 0
    snapshots: dict[str, CorpusSnapshot] = {}
    for corpus in corpora:
        report.check_stop()
        report.progress(done, f"reading {corpus.name}")
        taken = snapshots[corpus.key()] = snapshot(corpus, context.workspace)
        if is_stale(corpus, taken):
            report.warning(
                f"corpus '{corpus.name}': the files of {corpus.source} have changed since they were read; their text "
                f"of then is used. Delete {taken.path} to read them anew"
            )
        done += 1
    report.progress(done, "tokenizer")
    tokenizer = load_tokenizer(job.tokenizer, context.workspace)
    record_tokenizer(tokenizer, report)
    done += 1
    short: list[str] = []
    for corpus in corpora:
        report.check_stop()
        report.progress(done, f"tokenising {corpus.name}")
        n_tokens = [
            len(token_stream(corpus, "train", tokenizer, context.workspace, separator)) for separator in job.separators
        ]
        report.emit("corpus", **snapshots[corpus.key()].manifest, tokens={"train": n_tokens[0]})
        if min(n_tokens) < job.minimum_tokens:
            short.append(f"the train split of corpus '{corpus.name}' has {min(n_tokens):,} tokens")
        done += 1
    for spec in job.sets:
        report.check_stop()
        report.progress(done, f"evaluation set {spec.name}")
        tokenised = tokenise_eval_set(spec, tokenizer, context.workspace)
        record_eval_set(spec, tokenised, tokenizer, report)
        _warn_of_leaks(spec, corpora, snapshots, report)
        if len(tokenised.tokens) < job.minimum_tokens:
            short.append(f"evaluation set '{spec.name}' has {len(tokenised.tokens):,} tokens")
        done += 1
    if short:
        raise DataError(
            f"shorter than one window of {job.minimum_tokens:,} tokens: {'; '.join(short)}",
            "Give these corpora more text (or a larger `max_bytes` or share), or shorten `sequence` and `window`.",
        )
    _audit(job, pairs, tokenizer, context, done)
    report.progress(total, "done")


def _audit(
    job: PrepareJob, pairs: tuple[TextPair, ...], tokenizer: LoadedTokenizer, context: JobContext, done: int
) -> None:
    """Report the format audit of every training text beside what is scored with it; warn of what is serious."""
    report = context.report
    auditor = TextAuditor(tokenizer, job.tokenizer, context.workspace, AUDITED_BYTES)
    told: set[tuple[str, str]] = set()
    for number, pair in enumerate(pairs):
        report.check_stop()
        report.progress(done + number, f"format audit of {pair.domain}")
        try:
            found = auditor.audit(pair)
        except Exception as error:
            # Advice only: what it stumbles over must not keep an experiment from running.
            report.warning(f"format audit of '{pair.domain}' failed: {type(error).__name__}: {error}")
            continue
        report.emit("audit", **found)
        with contextlib.suppress(WorkspaceError):
            cache_audit(context.workspace, found)
        for finding in found["findings"]:
            if finding["level"] == "serious" and (pair.domain, finding["message"]) not in told:
                told.add((pair.domain, finding["message"]))  # forms of one text share most
                report.warning(
                    f"format audit, '{pair.domain}' scored on '{pair.evaluated.name}': {finding['message']} "
                    f"(odyssey data {pair.domain})"
                )


def _warn_of_leaks(spec: EvalSet, corpora: list[Corpus], snapshots: dict[str, CorpusSnapshot], report: Report) -> None:
    """Warn when held-out documents are some corpus's training text, as happens when one text is cut in two ways."""
    for evaluated in spec.corpora:
        held_out = set(snapshots[evaluated.key()].table(spec.split, ["digest"])["digest"].to_pylist())
        for corpus in corpora:
            trained = snapshots[corpus.key()].table("train", ["digest"])["digest"].to_pylist()
            leaked = held_out.intersection(trained)
            if leaked:
                report.warning(
                    f"evaluation set '{spec.name}': {len(leaked)} of {len(held_out)} documents of '{evaluated.name}' "
                    f"are in the train split of '{corpus.name}'"
                )


def _distinct(job: PrepareJob) -> list[Corpus]:
    evaluated = [corpus for spec in job.sets for corpus in spec.corpora]
    return list({corpus.key(): corpus for corpus in (*job.corpora, *job.tokenizer.train_on, *evaluated)}.values())


def _limit_threads(threads: int) -> None:
    """Have the tokenizers library use this run's threads only; it reads both when it first encodes."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
