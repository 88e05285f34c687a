"""A tokenizer that does not belong to the text, or to the model."""

from __future__ import annotations

from collections.abc import Iterator

from engine.audit.characters import SCRIPTS_WITHOUT_SPACES
from engine.audit.findings import Compared, Finding, TokenVocabulary, percent

SCRIPT_SHARE = 0.05
"""A script with fewer of the letters is passed over."""
IN_VOCABULARY = 0.01
"""Least share of a vocabulary's tokens of several letters that a script must have to count as covered."""
LETTERS_A_TOKEN = 1.7
WHOLE_LETTERS = 0.5
UNKNOWN_SHARE = 0.001
TIMES_TOKENS = 1.5


def check_tokenizer(found: Compared) -> Iterator[Finding]:
    """Unknown tokens, scripts that the vocabulary lacks, more tokens a byte than elsewhere, another's tokenizer."""
    if found.foreign_tokenizer:
        yield Finding(
            "foreign-tokenizer",
            "serious",
            "the tokenizer is not the one the model was trained with",
            found.foreign_tokenizer,
            "Use the model's own: leave `tokenizer` out.",
        )
    if found.vocabulary is None or not found.setting.own:
        return
    yield from _check_unknown(found, found.vocabulary)
    yield from _check_scripts(found, found.vocabulary)
    yield from _check_density(found)


def _check_unknown(found: Compared, vocabulary: TokenVocabulary) -> Iterator[Finding]:
    if vocabulary.unknown is None:
        return
    tokens = found.tokens
    for name, counts, total in (
        ("evaluation", tokens.evaluation, tokens.n_evaluation),
        ("training", tokens.train, tokens.n_train),
    ):
        share = int(counts[vocabulary.unknown]) / total if total else 0.0
        if share >= UNKNOWN_SHARE:
            yield Finding(
                "unknown-tokens",
                "serious",
                f"{percent(share)} of the tokens in {name} are '{_text(vocabulary, vocabulary.unknown)}': the "
                "tokenizer cannot write this text",
                f"{int(counts[vocabulary.unknown]):,} of {total:,} tokens",
                "Use a tokenizer with byte fallback, or one for this language.",
                side="evaluation" if name == "evaluation" else "train",
                share=share if name == "evaluation" else None,
            )


def _check_scripts(found: Compared, vocabulary: TokenVocabulary) -> Iterator[Finding]:
    known = vocabulary.letters
    of_vocabulary = known.vocabulary_shares()
    tokens = found.tokens
    for text, counts, n_bytes, name in (
        (found.evaluation, tokens.evaluation, tokens.evaluation_bytes, "evaluation"),
        (found.train, tokens.train, tokens.train_bytes, "training"),
    ):
        times = n_bytes / max(text.n_bytes, 1)
        lacking = [
            (script, letters, known.written(script, counts, text.characters, times))
            for script, letters in text.characters.scripts.items()
            if letters >= SCRIPT_SHARE * text.characters.letters
            and of_vocabulary.get(script, 0.0) < IN_VOCABULARY
            and _is_lacking(script, known.written(script, counts, text.characters, times))
        ]
        for script, letters, (whole, letters_a_token) in lacking:
            share, of_tokens = letters / text.characters.letters, of_vocabulary.get(script, 0.0)
            yield Finding(
                "script",
                "serious",
                f"the tokenizer lacks {script.title()}, {percent(share)} of the letters in {name}",
                f"{percent(of_tokens)} of the vocabulary's longer tokens are of that script; it is written with "
                f"{letters_a_token:.2f} letters a token, {percent(whole)} of the letters whole",
                "Use a tokenizer for this language; compare in bits per byte, never in perplexity.",
                side="evaluation" if name == "evaluation" else "train",
            )
        if lacking:
            return


def _check_density(found: Compared) -> Iterator[Finding]:
    tokens = found.tokens
    rates = {
        "training": _rate(tokens.n_train, tokens.train_bytes),
        "the base text": _rate(*found.reference) if found.reference else 0.0,
    }
    here = _rate(tokens.n_evaluation, tokens.evaluation_bytes)
    for name, rate in rates.items():
        if rate and here >= TIMES_TOKENS * rate:
            yield Finding(
                "tokens-per-byte",
                "caution",
                f"the evaluation text takes {here / rate:.1f}× as many tokens a byte as {name}",
                f"{here:.3f} tokens a byte in evaluation, {rate:.3f} in {name}",
                "A loss per token means another thing there: compare bits per byte.",
                side="evaluation",
            )


def _is_lacking(script: str, written: tuple[float, float]) -> bool:
    whole, letters_a_token = written
    return whole < WHOLE_LETTERS or (script not in SCRIPTS_WITHOUT_SPACES and letters_a_token < LETTERS_A_TOKEN)


def _rate(tokens: int, n_bytes: int) -> float:
    return tokens / n_bytes if n_bytes else 0.0


def _text(vocabulary: TokenVocabulary, token: int) -> str:
    return vocabulary.content[token].decode(errors="replace")
