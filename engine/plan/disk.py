"""The disk that runs need, and what their memory is: estimates from a plan, part by part."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.plan.cost import BYTES_PER_TOKEN
from engine.plan.shape import Shape
from engine.plan.work import Work
from engine.spec.run import AdaptJob, Corpus, DriftJob, PrepareJob, PretrainJob, RunSpec

FP32 = 4
LOSS_BYTES = 4.6
"""Of a token's loss in the database, exactly stored (measured)."""
TOKENIZER_BYTES = 50
"""Of each entry of the vocabulary in a state's folder: tokenizer.json holds it with its merge."""
SNAPSHOT_SHARE = 0.4
"""Of a corpus's bytes that its compressed snapshot takes."""
TOKEN_BYTES = 2
"""Size of a token in the token cache (4 above a vocabulary of 65,536)."""


@dataclass(frozen=True)
class Disk:
    """Bytes a run leaves (``states``, ``losses``, ``texts``) and bytes it holds while it runs (``resume``)."""

    states: int = 0
    """Weights of the states that are kept: exact, up to file headers."""
    losses: int = 0
    """Per-token losses in the database."""
    texts: int = 0
    """Snapshots and token caches of corpora whose size is known."""
    resume: int = 0
    """The checkpoint of an unfinished run, old and new at once while it is written."""

    @property
    def kept(self) -> int:
        return self.states + self.losses + self.texts


def estimate_disk(run: RunSpec, work: Work | None) -> Disk:
    """What a run needs."""
    job = run.job
    if isinstance(job, PrepareJob):
        return Disk(texts=sum(_text_bytes(corpus, len(job.separators)) for corpus in job.corpora))
    if isinstance(job, DriftJob):
        return Disk()
    losses = round(LOSS_BYTES * work.evaluated_tokens) if work else 0
    if not isinstance(job, PretrainJob | AdaptJob) or work is None:
        return Disk(losses=losses)
    shape = work.shape
    full = isinstance(job, PretrainJob) or job.method.name == "full"
    trained = work.n_params if full or shape is None else shape.count_trained(job.method)
    copies = 2 if work.states > 1 else 1  # the trunk to return to, and where training is
    return Disk(
        states=_kept_states(job, work) * _state_bytes(job, work.n_params, trained, shape),
        losses=losses,
        resume=2 * copies * 3 * FP32 * trained,
    )


def needed_bytes(disks: Iterable[Disk], slots: int) -> int:
    """What all runs leave, and the checkpoints of as many as run at once."""
    found = list(disks)
    return sum(disk.kept for disk in found) + sum(sorted((disk.resume for disk in found), reverse=True)[:slots])


def _kept_states(job: PretrainJob | AdaptJob, work: Work) -> int:
    if isinstance(job, PretrainJob):
        return work.states
    return {"none": 0, "final": 1, "all": work.states}[job.keep]


def _state_bytes(job: PretrainJob | AdaptJob, n_params: int, trained: int, shape: Shape | None) -> int:
    saved = "merged" if isinstance(job, PretrainJob) or job.method.name == "full" else job.method.save
    weights = {"merged": n_params, "adapter": trained, "both": n_params + trained}[saved]
    return FP32 * weights + (TOKENIZER_BYTES * shape.vocabulary if shape else 0)


def _text_bytes(corpus: Corpus, forms: int) -> int:
    """Snapshot and token caches; 0 where nobody can say how long the text is."""
    size = _source_bytes(corpus)
    size = min(size, corpus.max_bytes) if size is not None and corpus.max_bytes else size or corpus.max_bytes or 0
    return round(size * (SNAPSHOT_SHARE + forms * TOKEN_BYTES / BYTES_PER_TOKEN))


def _source_bytes(corpus: Corpus) -> int | None:
    path = Path(corpus.source)
    try:
        if path.is_file():
            return path.stat().st_size
        if path.is_dir():
            return sum(os.stat(file).st_size for file in path.glob(corpus.glob) if file.is_file())
    except OSError:
        return None
    return None
