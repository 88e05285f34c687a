"""The reproduction card: one run or fit as Markdown, with all that it takes to make it again and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odyssey_tui.services.format import number, signed
from odyssey_tui.services.recipe import Recipe, find_recipe, read_spec
from odyssey_tui.services.tables import Column, Row, values_of

if TYPE_CHECKING:
    from engine.spec.run import Corpus
    from odyssey_tui.services.run_detail import RunDetail
    from store.queries.corpora import CorpusRow
    from store.queries.fits import FitRow
    from store.queries.provenance import Outside, Scored
    from store.run_dir import RunDir
    from store.workspace import Workspace

SCORES = (
    Column("state", "at"),
    Column("eval_set", "on"),
    Column("role", "role"),
    Column("before", "loss before", number),
    Column("loss", "loss", number),
    Column("delta", "ΔL", signed),
    Column("ppl", "PPL", lambda value: number(value, 2)),
    Column("bits", "bits/byte", number),
    Column("predicted", "tokens scored", ",d"),
)
FITS = (
    Column("form", "law"),
    Column("role", "loss of"),
    Column("n_points", "points"),
    Column("mape", "error held out (%)", ".2f"),
    Column("params", "parameters"),
)
TEXTS = (
    Column("name", "corpus"),
    Column("source", "source"),
    Column("corpus_key", "key"),
    Column("fingerprint", "hash of the text"),
    Column("n_documents", "documents", ",d"),
    Column("bytes", "bytes train / valid / test"),
)
SETS = (
    Column("name", "evaluation set"),
    Column("split", "split"),
    Column("eval_set_id", "id"),
    Column("fingerprint", "hash of the text"),
    Column("n_tokens", "tokens", ",d"),
    Column("tokenizer_id", "tokenizer"),
)
SAME = (
    "The identifier ends in a key of the work and its seed: a run that has it is this run, wherever it is made. On a "
    "CPU its losses are the same bit for bit with the same versions and threads; on a GPU up to the order of sums."
)


@dataclass(frozen=True)
class Card:
    """All that a card says."""

    detail: RunDetail
    spec: dict[str, Any]
    seed: int
    began: dict[str, Any]
    """What the newest attempt said of itself when it started: code, versions, device."""
    texts: tuple[CorpusRow, ...]
    sets: tuple[Scored, ...]
    outside: tuple[Outside, ...]
    fits: tuple[FitRow, ...]
    recipe: Recipe


def write_card(workspace: Workspace, run_id: str) -> str:
    """The card of a run as Markdown. Raises OdysseyError when there is no such run."""
    return render(read_card(workspace, run_id))


def read_card(workspace: Workspace, run_id: str) -> Card:
    """What is stored of a run, and the commands that make it again."""
    from odyssey_tui.services.run_detail import read_detail
    from store.database import lease
    from store.queries.corpora import list_corpora
    from store.queries.fits import list_fits
    from store.queries.provenance import list_outside, list_scored
    from store.queries.runs import read_spec as stored_spec

    detail = read_detail(workspace, run_id, log_lines=0)
    with lease(workspace) as con:
        stored = stored_spec(con, run_id)
        texts, sets = list_corpora(con), list_scored(con, run_id)
        fits = [fit for fit in list_fits(con) if fit.run_id == run_id]
        outside = list_outside(con, [*detail.lineage, *(_model_ids(stored.get("job", {})))])
    spec = read_spec(workspace, run_id)
    keys = {corpus.key() for corpus in _corpora(spec.job)} if spec is not None else set()
    gone = Recipe(note="Its directory is gone, or of another version of odyssey.")
    return Card(
        detail=detail,
        spec=stored,
        seed=int(stored.get("seed") or 0),
        began=_read_beginning(workspace.run(run_id)),
        texts=tuple(text for text in texts if text.corpus_key in keys),
        sets=tuple(sets),
        outside=tuple(outside),
        fits=tuple(fits),
        recipe=find_recipe(workspace, spec) if spec is not None else gone,
    )


def _corpora(value: Any) -> Iterator[Corpus]:
    """Every corpus named within a job."""
    from pydantic import BaseModel

    from engine.spec.run import Corpus

    if isinstance(value, Corpus):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _corpora(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _corpora(item)


def _model_ids(job: dict[str, Any]) -> Iterator[str]:
    for name in ("base", "model", "encoder"):
        model = job.get(name)
        if isinstance(model, dict) and model.get("source"):
            yield f"{model['source']}@{model.get('revision') or 'main'}"


def _read_beginning(run: RunDir) -> dict[str, Any]:
    attempt = run.latest_attempt()
    if attempt is None:
        return {}
    try:
        with attempt.events.open(encoding="utf-8") as lines:
            found = (json.loads(line) for line in lines)
            return next((event for event in found if event.get("event") == "starting"), {})
    except (OSError, ValueError):
        return {}


def render(card: Card) -> str:
    """The card as Markdown."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    row = card.detail.row
    yield from (
        f"# {row.name}",
        "",
        f"`{row.run_id}` · {row.state} · {row.kind} of `{row.experiment}` · seed {card.seed}",
        "",
    )
    if row.reason:
        yield from (f"{row.reason}", "")
    if card.detail.evaluations:
        yield from ("## Scores", "", *_table(SCORES, [vars(line) for line in card.detail.evaluations]), "")
    if card.fits:
        yield from ("## Fits", "", *_table(FITS, [_fit_row(fit) for fit in card.fits]), "")
    yield from ("## Make it again", "", *_recipe(card), "")
    yield from ("## Made by", "", *_made_by(card), "")
    yield from ("## Texts", "")
    if card.texts:
        yield from (*_table(TEXTS, [{**vars(text), "bytes": _bytes(text)} for text in card.texts]), "")
    if card.sets:
        yield from (*_table(SETS, [vars(scored) for scored in card.sets]), "")
    for model in card.outside:
        yield from (f"Model from outside: `{model.model_id}`, {model.n_params or 0:,} parameters.", "")
    for file in card.recipe.files:
        yield from (f"## {file.name}", "", "```yaml", file.text.rstrip("\n"), "```", "")
    yield from ("## What the run was told", "", "```json", json.dumps(card.spec, indent=1, ensure_ascii=False), "```")


def _recipe(card: Card) -> Iterator[str]:
    recipe = card.recipe
    if recipe.commands:
        names = " and ".join(f"`{file.name}`" for file in recipe.files)
        if names:
            yield from (f"Save {names} from below, then:", "")
        yield from (
            "```",
            *_install(card),
            *recipe.commands,
            f"odyssey show {card.detail.row.run_id} --card",
            "```",
            "",
        )
        yield SAME
    if recipe.note:
        yield recipe.note


def _install(card: Card) -> Iterator[str]:
    code = card.began.get("code") or {}
    if code.get("git"):
        changed = ", which had uncommitted changes then" if code.get("dirty") else ""
        yield f"git checkout {code['git']}    # of odyssey{changed}"
    elif code.get("version"):
        yield f"pip install odyssey-tui=={code['version']}"


def _made_by(card: Card) -> Iterator[str]:
    began = card.began
    code, versions = began.get("code") or {}, began.get("versions") or {}
    if not began:
        yield "Nothing is left of what it said when it started."
        return
    changes = " with uncommitted changes" if code.get("dirty") else ""
    commit = f", commit {code['git']}{changes}" if code.get("git") else ""
    version = code.get("version") or versions.get("odyssey") or "of unknown version"
    yield f"* odyssey {version}, sources `{code.get('hash', 'unknown')}`{commit}"
    libraries = (f"{name} {found}" for name, found in versions.items() if name != "odyssey")
    yield f"* {', '.join(libraries) or 'libraries unknown'}"
    yield f"* {card.detail.where}; attempt {card.detail.attempt}"
    if card.detail.lineage:
        yield f"* from {' → '.join(f'`{model}`' for model in card.detail.lineage)}"
    for line in card.detail.history:
        yield f"* {line}"
    for warning in card.detail.warnings:
        yield f"* warning: {warning}"


def _fit_row(fit: FitRow) -> dict[str, Any]:
    params = ", ".join(f"{name} = {value:.4g}" for name, value in fit.params.items())
    return {**vars(fit), "mape": fit.scores.get("mape"), "params": params}


def _bytes(text: CorpusRow) -> str:
    return " / ".join(f"{text.bytes.get(split, 0):,}" for split in ("train", "valid", "test"))


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(column.title for column in columns)} |"
    yield f"|{'|'.join('---' for _ in columns)}|"
    for row in rows:
        cells = (
            column.text(value).replace("|", "\\|")
            for column, value in zip(columns, values_of(columns, row), strict=True)
        )
        yield f"| {' | '.join(cells)} |"
