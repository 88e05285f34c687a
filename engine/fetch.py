"""Download what runs will read. ``python -m engine.fetch WORKSPACE``: specifications in, one JSON object a line out.

Access to everything is looked at before anything is downloaded, so that what is missing is said at once.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.data.corpus import snapshot, snapshot_folder
from engine.data.sources import m2d2, paths
from engine.data.sources.base import ReadLog
from engine.data.sources.registry import is_path, open_source
from engine.hub import explain_hub
from engine.similarity.sentence import hub_name
from engine.spec.run import Corpus, Model, RunSpec, SimilarityJob, Tokenizer
from store.errors import DataError, OdysseyError
from store.files import read_json
from store.space import is_full, look_at
from store.workspace import Workspace

_SETTINGS = (".json", ".txt", ".model", ".tiktoken", ".jinja")
_WEIGHTS = (("model.safetensors", "model-", ".safetensors"), ("pytorch_model.bin", "pytorch_model-", ".bin"))
"""A whole file, or the beginnings and ends of its parts, as ``save_pretrained`` names them."""

_WITHIN = re.compile(r"\d+_\w+/[^/]+\.(json|txt|safetensors)")
"""Files in the folders of a sentence encoder's layers after its transformer, such as ``1_Pooling/config.json``."""

_SURE = ("config.json", "tokenizer.json", "tokenizer_config.json")
"""One of these is in every repository that is of use."""


@dataclass(frozen=True)
class Item:
    """One thing a run reads. ``state``: ``cached``, ``fetched``, ``checked`` (local), ``fetching`` or ``failed``."""

    kind: str
    name: str
    state: str
    revision: str | None = None
    commit: str | None = None
    n_bytes: int | None = None
    reason: str = ""
    hint: str = ""


@dataclass
class Repository:
    """A model repository, for its weights, its tokenizer or both."""

    name: str
    revision: str | None
    parts: set[str] = field(default_factory=set)
    allow_pickle: bool = False
    with_code: bool = False

    @property
    def kind(self) -> str:
        return " and ".join(sorted(self.parts))

    @property
    def has_weights(self) -> bool:
        return not self.parts.isdisjoint(("model", "sentence encoder"))

    @property
    def noun(self) -> str:
        return "causal language model" if "model" in self.parts else "sentence encoder"


Task = Callable[[], Iterator[Item]]


def fetch(specs: Sequence[RunSpec], workspace: Workspace) -> Iterator[Item]:
    """Every item's outcome; where something cannot be had, only what that is."""
    repositories, corpora = collect(specs)
    problems = [*map(_look_at, repositories), *(_reach(corpus, workspace) for corpus in corpora)]
    failed = list({problem.reason: problem for problem in problems if problem is not None}.values())
    yield from failed
    if failed:
        return
    for repository in repositories:
        yield from _guarded(repository.kind, repository.name, lambda r=repository: _fetch_repository(r))
    for corpus in corpora:
        yield from _guarded("corpus", corpus.name, lambda c=corpus: _fetch_corpus(c, workspace))


def collect(specs: Sequence[RunSpec]) -> tuple[list[Repository], list[Corpus]]:
    """What the runs read, each once."""
    repositories: dict[tuple[str, str | None], Repository] = {}
    corpora: dict[str, Corpus] = {}

    def repository(name: str, revision: str | None, part: str) -> Repository:
        found = repositories.setdefault((name, revision), Repository(name, revision))
        found.parts.add(part)
        return found

    for value in (found for spec in specs for found in _walk(spec.job)):
        if isinstance(value, Model) and value.source is not None:
            found = repository(value.source, value.revision, "model")
            found.allow_pickle |= value.allow_pickle
            found.with_code |= value.trust_remote_code
        elif isinstance(value, Tokenizer) and value.model is not None:
            repository(value.model, value.revision, "tokenizer")
        elif isinstance(value, SimilarityJob) and "sentence" in value.embedders:
            repository(hub_name(value.sentence_model), None, "sentence encoder")
        elif isinstance(value, Corpus):
            corpora.setdefault(value.key(), value)
    return list(repositories.values()), list(corpora.values())


def _walk(value: Any) -> Iterator[Any]:
    """Every part of a specification."""
    yield value
    if isinstance(value, tuple):
        for item in value:
            yield from _walk(item)
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name))


def _guarded(kind: str, name: str, task: Task) -> Iterator[Item]:
    try:
        yield from task()
    except Exception as error:  # the libraries below raise some twenty unrelated types
        yield _failure(kind, name, None, error)


def _failure(kind: str, name: str, revision: str | None, error: Exception) -> Item:
    at = f"{name}@{revision}" if revision else name
    if is_full(error):
        from huggingface_hub import constants

        room = look_at(Path(constants.HF_HOME))
        hint = "Free some space, or set HF_HOME to a folder with more."
        return Item(kind, name, "failed", revision, reason=f"{room}: {kind} {at}", hint=hint)
    if isinstance(error, OdysseyError):
        return Item(kind, name, "failed", revision, reason=error.message, hint=error.hint)
    unknown = (" ".join(str(error).split())[:300] or type(error).__name__, "Check its name and the connection.")
    reason, hint = explain_hub(error, name) or unknown
    return Item(kind, name, "failed", revision, reason=f"{kind} {at}: {reason}", hint=hint)


# Models and tokenizers


def _is_local(name: str) -> bool:
    return Path(name).expanduser().exists() or name.startswith((".", "/", "~"))


def _look_at(repository: Repository) -> Item | None:
    """Why a repository cannot be had, if it cannot."""
    try:
        if _is_local(repository.name):
            _check_folder(repository)
        elif any(not file.is_cached for file in _files(repository)):
            from huggingface_hub import HfApi

            HfApi().auth_check(repository.name)
    except Exception as error:
        return _failure(repository.kind, repository.name, repository.revision, error)
    return None


def _check_folder(repository: Repository) -> int:
    """Bytes of the files that would be read; DataError when some are missing."""
    folder = Path(repository.name).expanduser()
    if not folder.is_dir():
        raise DataError(f"{repository.kind} {repository.name}: there is no such folder", "Give a folder, or a hub id.")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    return sum(sizes[name] for name in _wanted(repository, sizes))


def _files(repository: Repository) -> list[Any]:
    """The hub's account of the files to read: name, size, commit, whether they are in the cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import DryRunError
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        listed = snapshot_download(repository.name, revision=repository.revision, dry_run=True)
    except DryRunError:
        # The hub cannot be asked: what an earlier download left in the cache will do, if it is whole.
        listed = _list_cached(repository)
        if not listed:
            raise
    finally:
        if sys.stderr.isatty():
            enable_progress_bars()
    wanted = _wanted(repository, {file.filename: file.file_size for file in listed})
    return [file for file in listed if file.filename in wanted]


@dataclass(frozen=True)
class Cached:
    """A file in the hub's cache, described as the hub does."""

    filename: str
    file_size: int
    commit_hash: str
    is_cached: bool = True


def _list_cached(repository: Repository) -> list[Cached]:
    """The files of the cached snapshot; none when there is none, or weights are missing from it."""
    from huggingface_hub import try_to_load_from_cache

    asked = (try_to_load_from_cache(repository.name, name, revision=repository.revision) for name in _SURE)
    folder = next((Path(found).parent for found in asked if isinstance(found, str)), None)
    if folder is None:
        return []
    files = [Cached(path.name, path.stat().st_size, folder.name) for path in folder.iterdir() if path.is_file()]
    names = {file.filename for file in files}
    for index in folder.glob("*.index.json"):
        if not names.issuperset(read_json(index)["weight_map"].values()):
            return []
    has_weights = bool(_weights(names, repository.allow_pickle))
    return files if has_weights or not repository.has_weights else []


def _wanted(repository: Repository, sizes: dict[str, Any]) -> set[str]:
    """The names of the files that loading reads. DataError when there are no weights, configuration or tokenizer."""
    top = {name for name in sizes if "/" not in name}
    wanted = {name for name in top if name.endswith(_SETTINGS) or (repository.with_code and name.endswith(".py"))}
    problem = None
    if "sentence encoder" in repository.parts:
        wanted |= {name for name in sizes if _WITHIN.fullmatch(name)}
    if repository.has_weights:
        weights = _weights(top, repository.allow_pickle)
        wanted |= weights
        if "config.json" not in top:
            problem = ("it holds no model (no config.json)", f"Give the id of a {repository.noun}.")
        elif not weights:
            problem = (
                "it has no safetensors weights",
                "Set `allow_pickle: true` if you trust its author: pickled weights can run any code.",
            )
    if "tokenizer" in repository.parts and not any("token" in name or "vocab" in name for name in wanted):
        problem = problem or ("it holds no tokenizer", "Name one with `tokenizer: {model: …}`.")
    if problem is not None:
        raise DataError(f"{repository.kind} {repository.name}: {problem[0]}", problem[1])
    return wanted


def _weights(names: set[str], allow_pickle: bool) -> set[str]:
    for whole, start, end in _WEIGHTS if allow_pickle else _WEIGHTS[:1]:
        found = {whole} & names or {name for name in names if name.startswith(start) and name.endswith(end)}
        if found:
            return found
    return set()


def _fetch_repository(repository: Repository) -> Iterator[Item]:
    from huggingface_hub import snapshot_download

    kind, name, revision = repository.kind, repository.name, repository.revision
    if _is_local(name):
        yield Item(kind, name, "checked", n_bytes=_check_folder(repository))
        return
    files = _files(repository)
    n_bytes, commit = sum(file.file_size or 0 for file in files), files[0].commit_hash
    if all(file.is_cached for file in files):
        yield Item(kind, name, "cached", revision, commit, n_bytes)
        return
    yield Item(kind, name, "fetching", revision, commit, n_bytes)
    snapshot_download(name, revision=revision, allow_patterns=[file.filename for file in files])
    yield Item(kind, name, "fetched", revision, commit, n_bytes)


# Corpora


def _dataset(corpus: Corpus) -> str | None:
    """The hub's dataset behind a corpus; None for any other source."""
    prefix, _, name = corpus.source.partition(":")
    if is_path(corpus) or (prefix == "hf" and Path(name).is_dir()):
        return None
    return {"hf": name, "m2d2": m2d2.REPOSITORY}.get(prefix)


def _reach(corpus: Corpus, workspace: Workspace) -> Item | None:
    """Why a corpus cannot be had, if it cannot; local files are looked for, nothing is read."""
    try:
        dataset = _dataset(corpus)
        if snapshot_folder(corpus, workspace).is_dir():
            return None
        if dataset is None:
            open_source(corpus, ReadLog())
            return None
        from huggingface_hub import HfApi

        HfApi().auth_check(dataset, repo_type="dataset")
        HfApi().dataset_info(dataset, revision=corpus.revision)
        if dataset == m2d2.REPOSITORY:
            m2d2.require(corpus, corpus.source.partition(":")[2])
    except Exception as error:
        name = _dataset(corpus) or corpus.name
        return _failure("corpus", name, corpus.revision, error)
    return None


def _fetch_corpus(corpus: Corpus, workspace: Workspace) -> Iterator[Item]:
    """A corpus of the hub is read into the workspace's cache, where the preparation will find it."""
    dataset = _dataset(corpus)
    cached = snapshot_folder(corpus, workspace).is_dir()
    if dataset is None and not cached:
        size = paths.size(corpus) if is_path(corpus) else None
        yield Item("corpus", corpus.name, "checked", n_bytes=size)
        return
    commit = None
    if not cached:
        from huggingface_hub import HfApi

        commit = HfApi().dataset_info(dataset, revision=corpus.revision).sha
        yield Item("corpus", corpus.name, "fetching", corpus.revision, commit)
    taken = snapshot(corpus, workspace)
    n_bytes = sum(taken.manifest["bytes"].values())
    yield Item("corpus", corpus.name, "cached" if cached else "fetched", corpus.revision, commit, n_bytes)


def main() -> None:
    """Print every item as it comes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    specs = [RunSpec.model_validate(spec) for spec in json.load(sys.stdin)]
    for item in fetch(specs, Workspace.open(sys.argv[1])):
        print(json.dumps(asdict(item)), flush=True)


if __name__ == "__main__":
    main()
