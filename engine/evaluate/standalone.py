"""A stand-alone evaluation in a process of its own: ``python -m engine.evaluate.standalone``.

Reads a ``Scoring`` as JSON from stdin and answers as ``engine.speaker`` says. Texts are read before anything slow is
imported.
"""

from __future__ import annotations

import contextlib
import math
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.evaluate.texts import read_texts
from engine.speaker import Say, serve
from engine.spec.run import Model, Scheme, Tokenizer
from engine.spec.scoring import Scoring
from store.errors import OdysseyError
from store.files import read_json
from store.workspace import Workspace

if TYPE_CHECKING:
    from engine.data.tokenizer import LoadedTokenizer
    from engine.evaluate.canary import Canary
    from engine.evaluate.summary import Summary
    from engine.evaluate.token_table import TokenTable
    from engine.models.decoder import Decoder

MEMORY_HINT = "Lower --batch-tokens or --window, or use --precision bf16."


def score(scoring: Scoring, say: Say) -> dict[str, Any]:
    """Evaluate and return what is printed: model, scheme, and the numbers of each file and of all.

    ``say(phase, done, total)`` hears of progress, in tokens while the model evaluates.
    Raises OdysseyError for whatever is wrong with texts, model, tokenizer, scheme or the table's place.
    """
    say("reading the texts", 0, 0)
    texts = [read_texts(Path(file).expanduser()) for file in scoring.files]
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="odyssey-")))
        table = None
        if scoring.per_token is not None:
            from engine.evaluate.token_table import TokenTable

            table = stack.enter_context(TokenTable(Path(scoring.per_token).expanduser()))
        say("loading the model", 0, 0)
        return Scorer.prepare(scoring, scratch).score(texts, table, say)


@dataclass(frozen=True)
class Scorer:
    """A model and its tokenizer, checked by the canary."""

    scoring: Scoring
    name: str
    scheme: Scheme
    decoder: Decoder
    tokenizer: LoadedTokenizer
    bos_id: int | None
    canary_loss: float

    @classmethod
    def prepare(cls, scoring: Scoring, scratch: Path) -> Scorer:
        """Load both. ``scratch`` is an empty folder that lasts as long as this."""
        from engine.data.tokenizer import load_tokenizer
        from engine.evaluate.canary import Canary
        from engine.evaluate.record import find_bos
        from engine.models.decoder import Decoder
        from engine.models.load import load_model

        workspace = Workspace(Path(scoring.workspace) if scoring.workspace else scratch)
        decoder = Decoder.of(load_model(scoring.model, workspace, find_device(scoring.device)))
        folder = locate(scoring.model, workspace)
        spec = Tokenizer(
            model=str(folder) if folder.is_dir() else scoring.model.source, revision=scoring.model.revision
        )
        tokenizer = load_tokenizer(spec, Workspace(scratch))
        scheme = scoring.scheme
        if scoring.shorten and decoder.context is not None:
            scheme = scheme.model_copy(update={"window": min(scheme.window, decoder.context)})
        bos_id = find_bos(scheme, tokenizer)
        canary = Canary.of(tokenizer)
        recognise(folder, decoder, canary)
        canary.check_losses(decoder, scheme, bos_id, scoring.batch_tokens)
        name = str(folder) if scoring.model.run is None and folder.is_dir() else scoring.model.model_id
        return cls(scoring, name, scheme, decoder, tokenizer, bos_id, canary.loss(decoder))

    def score(self, texts: list[list[str]], table: TokenTable | None, say: Say) -> dict[str, Any]:
        """Evaluate the documents of each file; rows go into ``table`` if there is one."""
        from engine.data.encoding import ByteEncoder
        from engine.evaluate.losses import per_token_losses
        from engine.evaluate.stream import Stream
        from engine.evaluate.summary import Summary

        started, started_cpu, done = time.perf_counter(), time.process_time(), 0
        say("tokenising", 0, 0)
        encoder = ByteEncoder.of(self.tokenizer)
        streams = [Stream.of(documents, encoder) for documents in texts]
        total = sum(len(stream.tokens) for stream in streams)

        def pulse(tokens: int) -> None:
            nonlocal done
            done += tokens
            say("evaluating", done, total)

        batch_tokens = self.scoring.batch_tokens
        files: list[dict[str, Any]] = []
        summaries: list[Summary] = []
        for file, stream in zip(self.scoring.files, streams, strict=True):
            losses = per_token_losses(
                self.decoder, stream.tokens, self.scheme, bos_id=self.bos_id, batch_tokens=batch_tokens, pulse=pulse
            )
            summary = Summary.of(losses, stream.token_sizes, self.scheme)
            summaries.append(summary)
            files.append({"file": file, "documents": stream.n_documents, **describe(summary)})
            if table is not None:
                table.append(stream, losses, self.tokenizer)
        if table is not None:
            table.describe(self.name, self.tokenizer.tokenizer_id, self.scheme.content())
        documents = sum(stream.n_documents for stream in streams)
        return {
            "model": self.name,
            "tokenizer_id": self.tokenizer.tokenizer_id,
            "scheme": self.scheme.content(),
            "device": str(self.decoder.device),
            "canary_loss": self.canary_loss,
            "seconds": round(time.perf_counter() - started, 4),
            "cpu_seconds": round(time.process_time() - started_cpu, 4),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "files": files,
            "total": {"documents": documents, **describe(sum(summaries[1:], start=summaries[0]))},
            "per_token": self.scoring.per_token,
        }


def describe(summary: Summary) -> dict[str, Any]:
    """A summary under the names that are printed; what a scheme does not have is None."""
    values = {
        "tokens": summary.tokens,
        "predicted": summary.predicted,
        "bytes": summary.n_bytes,
        "sum_loss": summary.sum_loss,
        "loss": summary.loss,
        "ppl": summary.perplexity,
        "bits_per_byte": summary.bits_per_byte,
        "m2d2_script_loss": summary.script_loss,
        "m2d2_script_ppl": summary.script_perplexity,
    }
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def find_device(wanted: str) -> str:
    """``cpu`` or ``cuda`` of what is wanted: one of these, or ``auto``."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise OdysseyError(
            "there is no GPU that this build of torch can use", "Leave --device out, or install torch for CUDA."
        )
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def locate(model: Model, workspace: Workspace) -> Path:
    """Where the model lies, if it is no hub id."""
    if model.run is not None:
        return workspace.run(model.run).checkpoint(model.state or "")
    return Path(model.source or "").expanduser()


def recognise(folder: Path, decoder: Decoder, canary: Canary) -> None:
    """Have the canary compare a state that a run saved with what was written beside it."""
    from engine.models.load import FACTS_FILE, ModelFacts

    if (folder / FACTS_FILE).is_file():
        facts = ModelFacts(**read_json(folder / FACTS_FILE))
        canary.check_tokenizer_id(facts.tokenizer_id, facts.model_id)
        canary.check_weights(decoder, facts.canary_loss, facts.model_id)


def main() -> None:
    """Evaluate what stdin asks for."""
    serve(lambda asked, say: score(Scoring.model_validate_json(asked), say), memory_hint=MEMORY_HINT)


if __name__ == "__main__":
    main()
