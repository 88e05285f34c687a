"""A stand-alone comparison in a process of its own: ``python -m engine.similarity.standalone``.

Reads a ``Resemblance`` as JSON from stdin and answers as ``engine.speaker`` says. Names and files are looked at before
anything slow is imported.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.similarity.cache import SimilarityCache
from engine.similarity.comparison import Comparison, count_steps
from engine.similarity.embedders import Embedder, ModelEmbedder, WindowLosses
from engine.similarity.measures import REGISTRY, ZERO_SHOT, Measure
from engine.similarity.names import find
from engine.similarity.ngrams import NgramEmbedder
from engine.similarity.piece_tokenizer import PieceTokenizer
from engine.similarity.samples import Sample, count_windows, draw_sample, equal_size, sample_seed
from engine.similarity.sentence import Decode, SentenceEmbedder, decoder_of, require_library
from engine.similarity.texts import Excerpt, ExcerptTokens, budget, read_excerpt
from engine.speaker import Say, serve
from engine.spec.resemblance import Resemblance
from store.errors import ConfigError, DataError

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer

MEASURES = {**REGISTRY, ZERO_SHOT.name: ZERO_SHOT}
EMBEDDERS = ("model", "sentence", "ngrams")
USUAL = ("jsd", "cosine", "mmd2", "c2st")
SAMPLE_TOKENS = 64
MEMORY_HINT = "Lower --samples or --sample-tokens."
REPORTED = ("odyssey-tui", "numpy", "scipy", "torch", "transformers", "tokenizers", "sentence-transformers")


def compare(request: Resemblance, say: Say) -> dict[str, Any]:
    """Everything that is printed: a row per domain, measure and embedder, what was left out and why, the settings.

    Raises OdysseyError for whatever is wrong with names, texts, model or tokenizer.
    """
    started = time.perf_counter()
    measures, embedders = choose(request)
    say("reading the texts", 0, 0)
    n_characters = budget(request.samples, request.sample_tokens or SAMPLE_TOKENS)
    sides = (request.reference, *request.domains)
    texts = [read_excerpt(side.files, n_characters, request.seed) for side in sides]
    notes = [f"{side.name}: {note}" for side, text in zip(sides, texts, strict=True) for note in text.notes]
    notes += [f"{name} {told}" for name, told in find_copies(request, texts)]
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="odyssey-")))
        encoders = Encoders(request, scratch)
        say("tokenising", 0, 0)
        length = request.sample_tokens or encoders.usual_length
        reference, *domains = draw_samples(request, texts, encoders, length)
        if request.embedders and all(measure.reads != "embedding" for measure in measures):
            notes.append(f"no vectors of {', '.join(embedders)}: the measures asked for read none")
        if len(reference) < request.samples:
            notes.append(f"{len(reference)} samples of each text, not {request.samples}: the smallest holds no more")
        comparison = Comparison(
            measures,
            tuple(partial(encoders.build, name) for name in embedders),
            reference,
            tuple(domains),
            request.seed,
            request.bootstrap,
            encoders.tokenizer_name,
            losses=encoders.read_losses if request.model is not None else None,
        )
        total = count_steps(measures, len(embedders), len(domains))
        left_out: list[str] = []
        found = comparison.run(SimilarityCache(None), lambda phase, done: say(phase, done, total), left_out.append)
        rows = [asdict(similarity) for similarity in found]
        if not rows:
            raise DataError("no measure could be computed on these samples", " ".join(left_out))
        return {
            "rows": rows,
            "left_out": left_out,
            "notes": notes,
            "texts": [describe(side.name, side.files, text) for side, text in zip(sides, texts, strict=True)],
            "settings": {
                "samples": len(reference),
                "sample_tokens": length,
                "bootstrap": request.bootstrap,
                "seed": request.seed,
                "tokenizer": encoders.tokenizer_name,
                "tokenizer_id": encoders.tokenizer.tokenizer_id,
                "model": None if request.model is None else encoders.model_name,
                "device": encoders.device if encoders.uses_torch else "cpu",
            },
            "versions": dict(list_versions()),
            "seconds": round(time.perf_counter() - started, 3),
        }


def choose(request: Resemblance) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
    """The measures and embedders asked for, or the usual ones. ConfigError for what does not exist or go together."""
    usual = USUAL if request.model is None else (*USUAL, ZERO_SHOT.name)
    measures = tuple(find("measure", name, MEASURES) for name in dict.fromkeys(request.measures or usual))
    known = {name: name for name in EMBEDDERS}
    wanted = request.embedders or (("ngrams",) if request.model is None else ("model",))
    embedders = tuple(find("embedder", name, known) for name in dict.fromkeys(wanted))
    if request.model is None:
        for what in ("embedder model",) * ("model" in embedders) + ("measure zero_shot",) * (ZERO_SHOT in measures):
            raise ConfigError(f"the {what} needs a model", "Add --model ID, a folder or RUN@STATE.")
    if "sentence" in embedders and any(measure.reads == "embedding" for measure in measures):
        require_library()
    return measures, embedders


@dataclass(frozen=True)
class Encoders:
    """The tokenizer, and the model where there is one; loaded when they are first needed, ``scratch`` is for copies."""

    request: Resemblance
    scratch: Path

    @cached_property
    def tokenizer(self) -> LoadedTokenizer | PieceTokenizer:
        """The one asked for, that of the model, or pieces by a rule. DataError when a model is given another's."""
        if self.request.tokenizer is None and self.request.model is None:
            return PieceTokenizer()
        own = None if self.request.model is None else self._own_tokenizer(required=self.request.tokenizer is None)
        if self.request.tokenizer is None:
            assert own is not None
            return own
        given = self._load(self.request.tokenizer, None)
        if own is not None and own.tokenizer_id != given.tokenizer_id:
            raise DataError(
                f"{given.source} is not the tokenizer of {self.model_name}: the model would read other words",
                "Leave --tokenizer out: the model's own is used.",
            )
        return given

    @property
    def tokenizer_name(self) -> str:
        """What is shown: that of a model goes by the model's name."""
        own = self.request.tokenizer is None and self.request.model is not None
        return self.model_name if own else self.tokenizer.source

    @property
    def decode(self) -> Decode:
        """Windows back to texts."""
        tokenizer = self.tokenizer
        return tokenizer.decode if isinstance(tokenizer, PieceTokenizer) else decoder_of(tokenizer)

    @cached_property
    def model(self) -> Any:
        """The loaded model, recognised by the canary if a run saved it."""
        from engine.evaluate.canary import Canary
        from engine.evaluate.standalone import recognise
        from engine.models.decoder import Decoder
        from engine.models.load import load_model

        assert self.request.model is not None
        assert not isinstance(self.tokenizer, PieceTokenizer)
        loaded = load_model(self.request.model, self._workspace, self.device)
        recognise(self._folder, Decoder.of(loaded), Canary.of(self.tokenizer))
        return loaded

    @property
    def model_name(self) -> str:
        """As it was given: a folder, a hub id with its revision, or RUN@STATE."""
        model = self.request.model
        assert model is not None
        return str(self._folder) if model.run is None and self._folder.is_dir() else model.model_id

    @property
    def uses_torch(self) -> bool:
        """Whether anything runs on ``device``."""
        return self.request.model is not None or "sentence" in self.request.embedders

    @cached_property
    def device(self) -> str:
        from engine.evaluate.standalone import find_device

        return find_device(self.request.device)

    @property
    def usual_length(self) -> int:
        """64 tokens, or what the model can read at once where that is less."""
        if self.request.model is None:
            return SAMPLE_TOKENS
        from engine.models.decoder import Decoder

        return min(SAMPLE_TOKENS, Decoder(self.model, plain=True).context or SAMPLE_TOKENS)

    def build(self, name: str) -> Embedder:
        """An embedder by its name."""
        if name == "ngrams":
            return NgramEmbedder(self.tokenizer_name)
        if name == "model":
            return ModelEmbedder(self.model, self.model_name, self.device)
        return SentenceEmbedder(self.request.sentence_model, self.decode, self.tokenizer.tokenizer_id, self.device)

    def read_losses(self) -> Embedder:
        """The model's losses, for zero_shot."""
        return WindowLosses(self.model, self.model_name)

    @property
    def _folder(self) -> Path:
        from engine.evaluate.standalone import locate

        assert self.request.model is not None
        return locate(self.request.model, self._workspace)

    @property
    def _workspace(self) -> Any:
        from store.workspace import Workspace

        return Workspace(Path(self.request.workspace) if self.request.workspace else self.scratch)

    def _own_tokenizer(self, *, required: bool) -> LoadedTokenizer | None:
        """That of the model; None when it has none and another is given."""
        model = self.request.model
        assert model is not None
        folder = self._folder
        try:
            return self._load(str(folder) if folder.is_dir() else str(model.source), model.revision)
        except DataError:
            if required:
                raise
            return None

    def _load(self, name: str, revision: str | None) -> LoadedTokenizer:
        from engine.data.tokenizer import load_tokenizer
        from engine.spec.run import Tokenizer
        from store.workspace import Workspace

        return load_tokenizer(Tokenizer(model=name, revision=revision), Workspace(self.scratch))


def draw_samples(request: Resemblance, texts: list[Excerpt], encoders: Encoders, length: int) -> list[Sample]:
    """One of each side, the reference's first, all of one size."""
    sides = (request.reference, *request.domains)
    streams = [[ExcerptTokens.of(text, encoders.tokenizer)] for text in texts]
    available = [(side.name, count_windows(stream, length)) for side, stream in zip(sides, streams, strict=True)]
    count = equal_size(request.samples, available)
    roles = ("reference", *("domain" for _ in request.domains))
    return [
        draw_sample(side.name, stream, count, length, sample_seed(request.seed, role, side.name))
        for role, side, stream in zip(roles, sides, streams, strict=True)
    ]


def find_copies(request: Resemblance, texts: list[Excerpt]) -> Iterator[tuple[str, str]]:
    """Domains that share documents with the reference: they are closer to it than their kind of text is."""
    reference = texts[0].digests
    for side, text in zip(request.domains, texts[1:], strict=True):
        if shared := len(reference & text.digests):
            yield side.name, f"shares {shared:,} of its {len(text.digests):,} documents with the reference"


def describe(name: str, files: tuple[str, ...], text: Excerpt) -> dict[str, Any]:
    """A text, as JSON shows it."""
    return {"name": name, "files": files, "documents": text.n_documents, "characters": text.n_characters}


def list_versions() -> Iterator[tuple[str, str]]:
    """Versions of what computed, as far as it is installed."""
    for package in REPORTED:
        with contextlib.suppress(PackageNotFoundError):
            yield package, version(package)


def main() -> None:
    """Compare what stdin asks for."""
    serve(lambda asked, say: compare(Resemblance.model_validate_json(asked), say), memory_hint=MEMORY_HINT)


if __name__ == "__main__":
    main()
