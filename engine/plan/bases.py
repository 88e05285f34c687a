"""What an existing base is, read from its configuration and the headers of its weights: nothing is loaded.

A folder is read from disk; a hub id from the Hugging Face cache, else from the hub (a few kilobytes of headers).
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

CONFIG = "config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
HEADER_LIMIT = 100_000_000
"""Bytes of a safetensors header; the format allows no more."""
RETRY_S = 60.0
"""How long a look-up that failed is not repeated: planning follows every key that is typed."""
ANSWER_S = 5.0
_BUFFER = re.compile(r"(\.masked_bias|\.rotary_emb\.inv_freq|\.rotary_emb\.(cos|sin)_cached)$")
_CAUSAL_MASK = re.compile(r"\.(attn|attention)\.bias$")
_OUTPUT = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")
_INPUT = re.compile(r"(^|\.)(wte|embed_tokens|embed_in|word_embeddings|tok_embeddings)\.weight$")

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""Type and shape of the tensors of a model, by name."""


@dataclass(frozen=True)
class BaseFacts:
    """An existing base as far as it could be looked up; None (or 0) is what is not known, ``unknown`` says why."""

    n_params: int | None = None
    """N: every parameter, embeddings included, shared ones once."""
    weight_bytes: int | None = None
    """Size of the weights as they are stored."""
    family: str | None = None
    vocabulary: int | None = None
    context: int | None = None
    n_layer: int | None = None
    width: int | None = None
    inner: int | None = None
    """Width of a layer's MLP."""
    n_head: int | None = None
    unknown: str = ""


def describe_base(model: str, revision: str | None = None) -> BaseFacts:
    """The facts of a folder or hub id. Fast when asked again: files are identified by their size and time.

    What cannot be looked up (offline, no access, no safetensors weights) is unknown, never an error.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _describe_folder(folder)
    if model.startswith((".", "/", "~")):
        return BaseFacts(unknown=f"there is no folder {model}")
    cached = _cached_snapshot(model, revision)
    return _describe_folder(cached) if cached else _describe_remote(model, revision or "main", _failed_lately(model))


def _describe_folder(folder: Path) -> BaseFacts:
    try:
        files = [folder / CONFIG, *_weight_files(folder)]
        identity = tuple((str(file), found.st_size, found.st_mtime_ns) for file in files for found in [os.stat(file)])
        return _read_folder(identity)
    except (OSError, ValueError) as error:
        reason = f"no {Path(error.filename).name} there" if isinstance(error, FileNotFoundError) else str(error)
        return replace(_read_config_only(folder), unknown=f"{folder}: {reason}")


def _weight_files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.exists():
        return [folder / WEIGHTS]
    shards = _json_object(index.read_bytes(), INDEX).get("weight_map")
    if not isinstance(shards, dict):
        raise ValueError(f"{INDEX} names no shards")
    return [folder / name for name in sorted(set(shards.values()))]


@functools.lru_cache(maxsize=64)
def _read_folder(identity: tuple[tuple[str, int, int], ...]) -> BaseFacts:
    config_path, *weights = (Path(path) for path, _, _ in identity)
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for path in weights:
        tensors.update(read_header(path))
    return _facts(_json_object(config_path.read_bytes(), CONFIG), tensors, sum(size for _, size, _ in identity[1:]))


def _read_config_only(folder: Path) -> BaseFacts:
    try:
        return _shape(_json_object((folder / CONFIG).read_bytes(), CONFIG))
    except (OSError, ValueError):
        return BaseFacts()


def read_header(path: Path) -> Tensors:
    """The tensors of a safetensors file, from its header. ``ValueError`` when it is none."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT, os.fstat(file.fileno()).st_size):
            raise ValueError(f"{path.name} is no safetensors file")
        header = _json_object(file.read(length), path.name)
    try:
        return {
            name: (str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is no safetensors file") from error


def _json_object(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{name} is no valid JSON") from error
    if not isinstance(found, dict):
        raise ValueError(f"{name} holds no mapping")
    return found


def _facts(config: Mapping[str, Any], tensors: Tensors, weight_bytes: int) -> BaseFacts:
    shape = replace(_shape(config), weight_bytes=weight_bytes)
    if config.get("quantization_config"):
        return replace(shape, unknown="its weights are stored quantised, which hides their number")
    return replace(shape, n_params=count_tensors(tensors, tied=bool(config.get("tie_word_embeddings", True))))


def count_tensors(tensors: Tensors, *, tied: bool) -> int:
    """Parameters among stored tensors: without buffers, and an output layer that is the embedding only once."""
    parameters = {name: shape for name, (dtype, shape) in tensors.items() if not _is_buffer(name, dtype, shape)}
    tables = {shape for name, shape in parameters.items() if _INPUT.search(name)}
    twice = [name for name, shape in parameters.items() if tied and _OUTPUT.search(name) and shape in tables]
    return sum(math.prod(shape) for name, shape in parameters.items() if name not in twice)


def _is_buffer(name: str, dtype: str, shape: tuple[int, ...]) -> bool:
    """Causal masks and rotary frequencies, which older files hold."""
    return bool(_BUFFER.search(name)) or dtype in ("BOOL", "U8") or bool(_CAUSAL_MASK.search(name) and len(shape) == 4)


_NAMES = {
    "family": ("model_type",),
    "vocabulary": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "max_sequence_length"),
    "n_layer": ("num_hidden_layers", "n_layer", "n_layers"),
    "width": ("hidden_size", "n_embd", "d_model"),
    "inner": ("intermediate_size", "n_inner", "ffn_dim"),
    "n_head": ("num_attention_heads", "n_head", "n_heads"),
}


def _shape(config: Mapping[str, Any]) -> BaseFacts:
    """The architecture under the names that configurations give it; a multimodal one's text part."""
    inner = config.get("text_config")
    config = inner if isinstance(inner, dict) else config
    found = {field: next((config[name] for name in names if name in config), None) for field, names in _NAMES.items()}
    kinds = {field: str if field == "family" else int for field in found}
    return BaseFacts(**{field: value for field, value in found.items() if isinstance(value, kinds[field])})


def _cached_snapshot(model: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the local cache, if its configuration and all its weights are there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, CONFIG, revision=revision)
    except (HFValidationError, OSError):
        return None
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    try:
        return folder if all(file.exists() for file in _weight_files(folder)) else None
    except (OSError, ValueError):
        return None


_failures: dict[str, tuple[float, BaseFacts]] = {}


def _failed_lately(model: str) -> BaseFacts | None:
    at, facts = _failures.get(model, (-math.inf, None))
    return facts if time.monotonic() - at < RETRY_S else None


def _describe_remote(model: str, revision: str, failed: BaseFacts | None) -> BaseFacts:
    if failed is not None:
        return failed
    try:
        return _read_remote(model, revision)
    except Exception as error:  # the hub's client raises types of several libraries
        reason = next((text for kind, text in _REASONS if any(kind in name for name in _names(error))), None)
        facts = BaseFacts(unknown=reason or " ".join(str(error).split())[:160] or type(error).__name__)
        _failures[model] = (time.monotonic(), facts)
        return facts


@functools.lru_cache(maxsize=64)
def _read_remote(model: str, revision: str) -> BaseFacts:
    from huggingface_hub import HfApi, hf_hub_download

    # Asked first, once: downloads retry for half a minute before they say that nobody answers.
    HfApi().model_info(model, revision=revision, timeout=ANSWER_S)
    config = _json_object(Path(hf_hub_download(model, CONFIG, revision=revision)).read_bytes(), CONFIG)
    metadata = HfApi().get_safetensors_metadata(model, revision=revision)
    tensors = {
        name: (str(tensor.dtype), tuple(tensor.shape))
        for file in metadata.files_metadata.values()
        for name, tensor in file.tensors.items()
    }
    stored = sum(
        end - start
        for file in metadata.files_metadata.values()
        for tensor in file.tensors.values()
        for start, end in [tensor.data_offsets]
    )
    return _facts(config, tensors, stored)


def _names(error: BaseException) -> Iterator[str]:
    current: BaseException | None = error
    while current is not None:
        yield type(current).__name__
        current = current.__cause__ or current.__context__


_REASONS = (
    ("GatedRepo", "access to it is restricted: ask for it on its page and log in with `hf auth login`"),
    ("RevisionNotFound", "it has no such revision"),
    ("RepositoryNotFound", "there is no such repository, or it is private"),
    ("NotASafetensorsRepo", "it has no safetensors weights to count"),
    ("OfflineModeIsEnabled", "it is not in the local cache, and offline mode is on"),
    ("LocalEntryNotFound", "it is not in the local cache, and the hub cannot be reached"),
    ("HFValidationError", "it is neither a folder nor a hub id"),
    ("Connect", "it is not in the local cache, and the hub cannot be reached"),
    ("Timeout", "the hub did not answer in time"),
)
