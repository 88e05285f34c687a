"""Tokenizers: a byte-level BPE trained on corpora, or a pretrained one; cached as a Hugging Face folder."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.cache import cached_folder, reading
from engine.data.corpus import snapshot
from engine.data.token_bytes import token_bytes
from engine.data.token_classes import classify, readable
from engine.hub import explain_hub
from engine.spec.run import TokenClass, Tokenizer
from engine.spec.strict import content_key
from store.errors import DataError
from store.files import read_json, write_json

if TYPE_CHECKING:
    import pyarrow as pa
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    from store.workspace import Workspace

END_OF_TEXT = "<|endoftext|>"
MANIFEST = "odyssey.json"
BATCH_BYTES = 2_000_000
PIECE_BYTES = 500_000
"""Encodings hold some 150 bytes a token: texts are encoded in pieces and batches of these sizes to bound memory."""


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer in the cache. ``tokenizer_id`` identifies its content, ``source`` says where it came from."""

    path: Path
    tokenizer_id: str
    vocab_size: int
    """Token ids run from 0 to ``vocab_size - 1``, added tokens included."""
    eos_id: int
    eos_token: str
    source: str
    byte_level: bool
    """Every token is a fixed string of bytes, and a text's tokens concatenate to exactly its bytes."""

    @functools.cached_property
    def hf(self) -> PreTrainedTokenizerFast:
        """The tokenizer as ``transformers`` knows it (imports transformers)."""
        from transformers import AutoTokenizer

        with reading(self.path):
            return AutoTokenizer.from_pretrained(self.path)

    @functools.cached_property
    def fast(self) -> tokenizers.Tokenizer:
        """The tokenizer itself. The end-of-text token is never made out of text that merely spells it."""
        import tokenizers

        with reading(self.path):
            try:
                fast = tokenizers.Tokenizer.from_file(str(self.path / "tokenizer.json"))
            except Exception as error:  # the library has no narrower one
                raise DataError(f"tokenizer.json: {error}") from error
        fast.no_truncation()
        fast.no_padding()
        fast.encode_special_tokens = True
        return fast

    @functools.cached_property
    def token_bytes(self) -> tuple[bytes, ...]:
        """The bytes each token id stands for; special tokens spell their name, ids that are not used are empty."""
        return token_bytes(self.fast, self.vocab_size, byte_level=self.byte_level)

    @functools.cached_property
    def token_classes(self) -> tuple[TokenClass, ...]:
        """The class of each token id."""
        special = {index for index, token in self.fast.get_added_tokens_decoder().items() if token.special}
        return tuple(classify(text, special=index in special) for index, text in enumerate(self.token_bytes))

    @property
    def dtype(self) -> type[np.uint16] | type[np.uint32]:
        """The smallest type that holds every id."""
        return np.uint16 if self.vocab_size <= 1 << 16 else np.uint32

    def encode(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        """Token ids of each text, 1-D, without special tokens."""
        for batch in _batches(texts):
            pieces = [list(_pieces(text)) if self.byte_level else [text] for text in batch]
            flat = [piece for text_pieces in pieces for piece in text_pieces]
            encodings = iter(self.fast.encode_batch_fast(flat, add_special_tokens=False))
            for text_pieces in pieces:
                ids = [np.asarray(next(encodings).ids, dtype=self.dtype) for _ in text_pieces]
                yield np.concatenate(ids) if ids else np.empty(0, self.dtype)

    def vocabulary(self) -> pa.Table:
        """Every token with its text (control characters escaped) and class: the ``vocabulary`` shard."""
        import pyarrow as pa

        return pa.table(
            {
                "tokenizer_id": pa.array([self.tokenizer_id] * self.vocab_size),
                "token_id": pa.array(range(self.vocab_size), pa.int32()),
                "text": [readable(text) for text in self.token_bytes],
                "token_class": self.token_classes,
            }
        )


def load_tokenizer(spec: Tokenizer, workspace: Workspace) -> LoadedTokenizer:
    """The cached tokenizer of ``spec``, trained or fetched first when there is none.

    Raises DataError when the pretrained one cannot be had, is no fast tokenizer or has no end-of-text token.
    """
    folder = tokenizer_folder(spec, workspace)
    cached_folder(folder, lambda temporary: _build(spec, workspace, temporary))
    with reading(folder):
        if not (folder / "tokenizer.json").stat().st_size:
            raise DataError("tokenizer.json is empty")
        return LoadedTokenizer(path=folder, **read_json(folder / MANIFEST))


def tokenizer_folder(spec: Tokenizer, workspace: Workspace) -> Path:
    """Where the tokenizer of ``spec`` is cached, or will be."""
    return workspace.cache / "tokenizers" / spec.key()


def _build(spec: Tokenizer, workspace: Workspace, folder: Path) -> None:
    import tokenizers

    source = _train(spec, workspace, folder) if spec.model is None else _fetch(spec, folder)
    content = read_json(folder / "tokenizer.json")
    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    eos = _eos(folder, source)
    eos_id = fast.token_to_id(eos)
    if eos_id is None:
        raise DataError(f"tokenizer '{source}': its end-of-text token '{eos}' is not in its vocabulary")
    manifest = {
        "tokenizer_id": content_key([*_essence(content), eos_id]),
        "vocab_size": 1 + max(fast.get_vocab(with_added_tokens=True).values()),
        "eos_id": eos_id,
        "eos_token": eos,
        "source": source,
        "byte_level": _is_byte_level(content),
    }
    write_json(folder / MANIFEST, manifest)


def _train(spec: Tokenizer, workspace: Workspace, folder: Path) -> str:
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers, trainers

    if not spec.train_on:
        raise DataError("the tokenizer names neither a pretrained model nor corpora to train on")
    smallest = 1 + len(pre_tokenizers.ByteLevel.alphabet())
    if spec.vocab_size < smallest:
        raise DataError(
            f"the tokenizer's vocab_size is {spec.vocab_size}, fewer than the {smallest} a byte-level BPE starts from",
            f"Set vocab_size to {smallest} or more.",
        )
    fast = Fast(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(_training_texts(spec, workspace), trainer)
    fast.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT),
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e30),
    }
    write_json(folder / "tokenizer_config.json", config)
    return f"byte-level BPE trained on {', '.join(corpus.name for corpus in spec.train_on)}"


def _training_texts(spec: Tokenizer, workspace: Workspace) -> Iterator[str]:
    """The training splits, at most ``train_bytes`` together, each corpus an equal share of them."""
    share = spec.train_bytes // len(spec.train_on)
    for corpus in spec.train_on:
        left = share
        for document in snapshot(corpus, workspace).documents("train"):
            content = document.text.encode()
            yield document.text if len(content) <= left else content[:left].decode(errors="ignore")
            left -= len(content)
            if left <= 0:
                break


def _fetch(spec: Tokenizer, folder: Path) -> str:
    from transformers import AutoTokenizer

    name = str(spec.model)
    revision = {"revision": spec.revision} if spec.revision else {}
    try:
        loaded = AutoTokenizer.from_pretrained(name, **revision)
    except Exception as error:  # a missing folder, no connection, damaged files: types differ by library version
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        advice = "Check its id and the connection; or give a folder that holds its tokenizer.json."
        known = explain_hub(error, name) or (reason, advice)
        raise DataError(f"tokenizer '{name}' could not be loaded: {known[0]}", known[1]) from error
    loaded.save_pretrained(folder)
    if not (folder / "tokenizer.json").is_file():
        raise DataError(
            f"tokenizer '{name}' has no fast (tokenizer.json) form",
            "Byte offsets need one: convert it, or use another.",
        )
    for left in folder.iterdir():  # some tokenizers save model files with code of their own: not needed to encode
        if left.is_dir():
            shutil.rmtree(left)
    return f"{name}@{spec.revision}" if spec.revision else name


def _eos(folder: Path, source: str) -> str:
    path = folder / "tokenizer_config.json"
    token = (read_json(path) if path.is_file() else {}).get("eos_token")
    text = token.get("content") if isinstance(token, dict) else token
    if not text:
        raise DataError(
            f"tokenizer '{source}' has no end-of-text token (eos_token)", "It must be one of a causal language model."
        )
    return str(text)


def _essence(content: dict[str, Any]) -> list[Any]:
    """What decides which tokens a text has. Libraries rewrite the rest of tokenizer.json when they save it."""
    added = [(token["id"], token["content"]) for token in content.get("added_tokens") or []]
    return [content.get(part) for part in ("model", "normalizer", "pre_tokenizer")] + [added]


def _is_byte_level(content: dict[str, Any]) -> bool:
    pre = json.dumps(content.get("pre_tokenizer"))
    plain = '"add_prefix_space": true' not in pre and content.get("normalizer") is None
    return plain and '"ByteLevel"' in pre and (content.get("decoder") or {}).get("type") == "ByteLevel"


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[str]:
    """Pieces of a long text whose tokens are those of the whole: cut at a line end between two visible characters,
    where byte-level pre-tokenizers cut too."""
    start = 0
    while len(text) - start > PIECE_BYTES:
        end = _safe_cut(text, start + PIECE_BYTES)
        if end < 0:
            break
        yield text[start:end]
        start = end
    yield text[start:]


def _safe_cut(text: str, position: int) -> int:
    end = text.find("\n", position)
    while 0 <= end < len(text) - 1:
        if not text[end - 1].isspace() and not text[end + 1].isspace():
            return end + 1
        end = text.find("\n", end + 1)
    return -1
