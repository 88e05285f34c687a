"""Pretraining tokens that public checkpoints have seen, as their authors state them; nothing else is guessed.

A family says how a revision is read. Sources:

* Pythia (EleutherAI; 2304.01373, section 2): 1,024 sequences of 2,048 tokens a step, 143,000 steps, whatever the size;
  the same for the deduplicated suite. Revisions ``stepN``; ``main`` is ``step143000``.
* OLMo (allenai; 2402.00838 and the model cards): revisions ``stepN-tokensMB``; ``main`` as the cards' tables of
  training tokens say, rounded as they are.
* OLMo 2 (allenai; 2501.00656 and the model cards): revisions ``stage1-stepN-tokensMB``; those of stage 2 count from
  its beginning, so what stage 1 ended with (its last revision) is added. ``main``, an average of runs of stage 2, as
  the cards say.
* LLaMA (2302.13971, table 2) and Llama 2 (2307.09288, table 1): one final checkpoint a size.

GPT-2's tokens were never published.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

BILLION = 10**9
PYTHIA_STEP = 1024 * 2048
PYTHIA_STEPS = 143_000
_STEP = re.compile(r"step(\d+)")
_OLMO = re.compile(r"(?:stage(?P<stage>[12])-(?:ingredient\d+-)?)?step\d+-tokens(?P<billions>\d+)B")

Reading = Callable[[str, str], "int | None"]
"""Tokens seen of (repository, revision), both as matched; None where the revision cannot be read."""


@dataclass(frozen=True)
class Ladder:
    """The checkpoints of a family of models."""

    repository: re.Pattern[str]
    """Of the hub; its groups are what ``read`` looks up."""
    read: Reading
    revisions: str
    """How revisions are named, for a message."""


def tokens_seen(source: str, revision: str | None) -> int | None:
    """Pretraining tokens of a hub model at a revision (default ``main``); None where no public source says.

    Folders are never recognised, whatever their name: give the number.
    """
    found = _find(source)
    return found.read(source, revision or "main") if found else None


def unread_revision(source: str, revision: str | None) -> str | None:
    """What to tell the user when ``source`` has a known ladder on which ``revision`` is no rung; None otherwise."""
    found = _find(source)
    if found is None or found.read(source, revision or "main") is not None:
        return None
    return f"{source}: revision {revision or 'main'} says nothing of its tokens seen (known: {found.revisions})"


def _find(source: str) -> Ladder | None:
    return next((ladder for ladder in LADDERS if ladder.repository.fullmatch(source)), None)


def _read_pythia(repository: str, revision: str) -> int | None:
    if revision == "main":
        return PYTHIA_STEPS * PYTHIA_STEP
    step = _STEP.fullmatch(revision)
    return int(step[1]) * PYTHIA_STEP if step and int(step[1]) <= PYTHIA_STEPS else None


def _read_olmo(repository: str, revision: str) -> int | None:
    name = repository.partition("/")[2].removesuffix("-hf")
    if revision == "main":
        billions = OLMO_FINAL.get(name)
        return None if billions is None else billions * BILLION
    parsed = _OLMO.fullmatch(revision)
    if parsed is None:
        return None
    before = OLMO_STAGE1.get(name) if parsed["stage"] == "2" else 0
    return None if before is None else (before + int(parsed["billions"])) * BILLION


def _read_final(table: dict[str, int]) -> Reading:
    """One checkpoint a repository: ``main``."""

    def read(repository: str, revision: str) -> int | None:
        billions = table.get(repository)
        return billions * BILLION if billions is not None and revision == "main" else None

    return read


OLMO_FINAL = {
    "OLMo-1B": 3000,
    "OLMo-7B": 2500,
    "OLMo-7B-Twin-2T": 2000,
    "OLMo-1.7-7B": 2050,
    "OLMo-7B-0424": 2050,
    "OLMo-1B-0724": 3050,
    "OLMo-7B-0724": 2750,
    "OLMo-2-0425-1B": 4000,
    "OLMo-2-1124-7B": 4000,
    "OLMo-2-1124-13B": 5000,
    "OLMo-2-0325-32B": 6000,
}
"""Billions of tokens at ``main``, from the model cards."""
OLMO_STAGE1 = {"OLMo-2-0425-1B": 4001, "OLMo-2-1124-7B": 3896, "OLMo-2-1124-13B": 5001, "OLMo-2-0325-32B": 6056}
"""Billions of tokens at the last revision of stage 1, from its name."""
LLAMA = {"7b": 1000, "13b": 1000, "30b": 1400, "65b": 1400}
LLAMA2 = {"7b": 2000, "13b": 2000, "70b": 2000}

LADDERS = (
    Ladder(
        re.compile(r"EleutherAI/pythia-(70m|160m|410m|1b|1\.4b|2\.8b|6\.9b|12b)(-deduped)?"),
        _read_pythia,
        "stepN up to step143000, main",
    ),
    Ladder(
        re.compile(r"allenai/OLMo-(1B|7B|1\.7-7B|7B-Twin-2T|7B-0424|1B-0724|7B-0724|2-\d{4}-\d+B)(-hf)?"),
        _read_olmo,
        "stepN-tokensMB, stage1-stepN-tokensMB, stage2-ingredientK-stepN-tokensMB, main",
    ),
    Ladder(
        re.compile(r"huggyllama/llama-(7|13|30|65)b"),
        _read_final({f"huggyllama/llama-{size}": billions for size, billions in LLAMA.items()}),
        "main",
    ),
    Ladder(
        re.compile(r"meta-llama/Llama-2-(7|13|70)b-hf"),
        _read_final({f"meta-llama/Llama-2-{size}-hf": billions for size, billions in LLAMA2.items()}),
        "main",
    ),
)
