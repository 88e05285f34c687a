"""Tokens seen of public checkpoints: as their authors state them, never guessed."""

from __future__ import annotations

import pytest

from engine.plan.ladders import tokens_seen, unread_revision

SEEN = [
    ("EleutherAI/pythia-70m", "step1000", 2_097_152_000),
    ("EleutherAI/pythia-70m", "step0", 0),
    ("EleutherAI/pythia-1.4b-deduped", "step143000", 299_892_736_000),
    ("EleutherAI/pythia-1.4b-deduped", None, 299_892_736_000),
    ("EleutherAI/pythia-12b", "main", 299_892_736_000),
    ("allenai/OLMo-1B", "step20000-tokens84B", 84_000_000_000),
    ("allenai/OLMo-1B-hf", None, 3_000_000_000_000),
    ("allenai/OLMo-7B", "main", 2_500_000_000_000),
    ("allenai/OLMo-7B-0424-hf", "step1000-tokens4B", 4_000_000_000),
    ("allenai/OLMo-2-1124-7B", "stage1-step928646-tokens3896B", 3_896_000_000_000),
    ("allenai/OLMo-2-1124-7B", "stage2-ingredient1-step11931-tokens50B", 3_946_000_000_000),
    ("allenai/OLMo-2-1124-13B", "main", 5_000_000_000_000),
    ("huggyllama/llama-65b", None, 1_400_000_000_000),
    ("meta-llama/Llama-2-7b-hf", None, 2_000_000_000_000),
]
UNKNOWN = [
    ("gpt2", None),
    ("openai-community/gpt2-xl", "main"),
    ("/models/pythia-70m", "step1000"),
    ("EleutherAI/pythia-70m-v0", "step1000"),
    ("allenai/OLMo-2-1124-7B-Instruct", "main"),
    ("someone/OLMo-1B", "step20000-tokens84B"),
]
UNREAD = [
    ("EleutherAI/pythia-70m", "step143001"),
    ("EleutherAI/pythia-70m", "a1b2c3d"),
    ("allenai/OLMo-7B", "step1000"),
    ("allenai/OLMo-2-9999-3B", "main"),
    ("meta-llama/Llama-2-7b-hf", "refs/pr/5"),
]


@pytest.mark.parametrize(("source", "revision", "tokens"), SEEN)
def test_a_revision_of_a_known_family(source: str, revision: str | None, tokens: int) -> None:
    assert tokens_seen(source, revision) == tokens
    assert unread_revision(source, revision) is None


@pytest.mark.parametrize(("source", "revision"), UNKNOWN)
def test_unknown_models_and_folders_are_not_guessed(source: str, revision: str | None) -> None:
    assert tokens_seen(source, revision) is None
    assert unread_revision(source, revision) is None


@pytest.mark.parametrize(("source", "revision"), UNREAD)
def test_a_revision_that_is_no_rung_is_said_so(source: str, revision: str) -> None:
    assert tokens_seen(source, revision) is None
    assert f"revision {revision}" in (unread_revision(source, revision) or "")
