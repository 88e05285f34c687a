"""Checks of the database by itself: rows that stand twice or name what is not there, losses that are missing."""

from __future__ import annotations

from collections.abc import Iterator

from store.ingest_losses import LOSS_STEP
from store.upkeep.findings import Check, Finding, Scene, names
from store.upkeep.losses import list_without_losses
from store.upkeep.tables import REFERENCES, UNIQUE, list_tables

REBUILD = "`odyssey store rebuild` makes the database anew."
AGAIN = "`odyssey store rebuild --from BACKUP` takes them from a backup; else delete the run and launch it again."
_EARLY = frozenset({"token_losses", "type_losses", "document_losses", "eval_tokens", "type_drifts"})
_TOLERANCE = 1e-6
"""Relative error of sums made in another order."""


def _doubled(scene: Scene) -> Iterator[Finding]:
    tables = list_tables(scene.con)
    for table, key in UNIQUE.items():
        if table not in tables:
            continue
        columns = ", ".join(key)
        ((twice,),) = scene.ask(f"SELECT count(*) FROM (SELECT 1 FROM {table} GROUP BY {columns} HAVING count(*) > 1)")
        if twice:
            yield Finding("problem", f"{table}: {twice} of ({columns}) stand more than once", REBUILD)


def _dangling(scene: Scene) -> Iterator[Finding]:
    running = bool(scene.ask("SELECT 1 FROM runs WHERE NOT closed LIMIT 1"))
    for reference in REFERENCES:
        column, target = reference.column, reference.target
        lost = scene.ask(
            f"SELECT DISTINCT {column} FROM {reference.table} WHERE {column} IS NOT NULL "
            f"AND {column} NOT IN (SELECT {reference.key} FROM {target}) ORDER BY 1"
        )
        found = [value for (value,) in lost]
        # Losses and texts come before the events that name them while a run is running.
        if found and not (running and reference.table in _EARLY):
            yield Finding("problem", f"{reference.name}: {names(found)} is not there", REBUILD)


def _missing(scene: Scene) -> Iterator[Finding]:
    found = list_without_losses(scene.con)
    if found:
        yield Finding(
            "problem",
            f"{len(found)} evaluations have no losses of single tokens: {names(found)}",
            "`odyssey store rebuild --from BACKUP` takes them from a backup; else delete their runs and launch again. "
            "Means, fits and curves are whole.",
        )


def _partial(scene: Scene) -> Iterator[Finding]:
    rows = scene.ask(
        "WITH there AS (SELECT evaluation_id, count(*) AS n FROM token_losses GROUP BY ALL), "
        "wanted AS (SELECT eval_set_id, count(*) AS n FROM eval_tokens GROUP BY ALL) "
        "SELECT evaluation_id, there.n, wanted.n FROM evaluations e JOIN there USING (evaluation_id) "
        "LEFT JOIN wanted USING (eval_set_id) LEFT JOIN runs r USING (run_id) "
        "WHERE coalesce(r.closed, true) AND there.n IS DISTINCT FROM wanted.n ORDER BY 1"
    )
    untexted = [name for name, _, wanted in rows if wanted is None]
    short = [f"{name} ({has} of {wanted})" for name, has, wanted in rows if wanted is not None]
    if untexted:
        yield Finding("problem", f"the texts of {len(untexted)} evaluations are missing: {names(untexted)}", REBUILD)
    if short:
        yield Finding("problem", f"blocks of {len(short)} evaluations are missing: {names(short)}", AGAIN)


def _texts(scene: Scene) -> Iterator[Finding]:
    """Texts and vocabularies come before the events that say how long they are."""
    rows = scene.ask(
        "WITH used AS (SELECT * FROM eval_sets WHERE eval_set_id IN (SELECT eval_set_id FROM evaluations)) "
        "SELECT 'documents of ' || name, n_documents, (SELECT count(*) FROM documents d WHERE d.eval_set_id = "
        "s.eval_set_id) FROM used s UNION ALL "
        "SELECT 'tokens of ' || name, n_tokens, (SELECT coalesce(sum(len(token_ids)), 0) FROM eval_tokens t WHERE "
        "t.eval_set_id = s.eval_set_id) FROM used s UNION ALL "
        "SELECT 'tokens of the vocabulary ' || tokenizer_id, vocab_size, (SELECT count(*) FROM vocabulary v WHERE "
        "v.tokenizer_id = t.tokenizer_id) FROM tokenizers t WHERE tokenizer_id IN (SELECT tokenizer_id FROM used)"
    )
    short = [f"{what} ({there} of {wanted})" for what, wanted, there in sorted(rows) if wanted and there < wanted]
    if short:
        yield Finding(
            "problem",
            f"not all there: {names(short)}",
            "`odyssey store rebuild` takes them from the cache, `odyssey store rebuild --from BACKUP` from a backup.",
        )


def _kept(scene: Scene) -> Iterator[Finding]:
    rows = scene.ask(
        "SELECT evaluation_id, kept FROM evaluations e WHERE kept NOT IN ('tokens', 'documents', 'summary') OR "
        "(kept <> 'tokens' AND evaluation_id IN (SELECT evaluation_id FROM token_losses)) OR "
        "(kept = 'documents' AND evaluation_id NOT IN (SELECT evaluation_id FROM document_losses)) ORDER BY 1"
    )
    if rows:
        told = names([f"{name} ({kept})" for name, kept in rows])
        yield Finding("problem", f"what is kept of {len(rows)} evaluations is not what is said: {told}", REBUILD)


def _aligned(scene: Scene) -> Iterator[Finding]:
    rows = scene.ask(
        "SELECT evaluation_id, count(*) FROM token_losses l JOIN evaluations e USING (evaluation_id) "
        "JOIN eval_tokens t ON t.eval_set_id = e.eval_set_id AND t.block = l.block "
        "WHERE len(t.token_ids) <> len(l.losses) GROUP BY ALL ORDER BY 1"
    )
    if rows:
        told = names([f"{name} ({blocks} blocks)" for name, blocks in rows])
        yield Finding("problem", f"losses of {len(rows)} evaluations do not align with their text: {told}", AGAIN)


def _added_up(scene: Scene) -> Iterator[Finding]:
    """Stored losses are rounded to ``LOSS_STEP``: their sum may be half a step off for each prediction."""
    rows = scene.ask(
        "WITH added AS (SELECT evaluation_id, sum(len(list_filter(losses, lambda x: x IS NOT NULL))) AS n, "
        "sum(list_sum(list_transform(losses, lambda x: x::DOUBLE))) AS total FROM token_losses GROUP BY ALL) "
        "SELECT evaluation_id, a.n, e.predicted, a.total, e.sum_loss FROM added a JOIN evaluations e "
        "USING (evaluation_id) WHERE a.n <> e.predicted "
        f"OR abs(a.total - e.sum_loss) > {LOSS_STEP / 2} * e.predicted + {_TOLERANCE} * abs(e.sum_loss) ORDER BY 1"
    )
    if rows:
        told = names([f"{name} ({n} losses, Σ {total:.6g}; said {p}, {s:.6g})" for name, n, p, total, s in rows])
        yield Finding("problem", f"losses of {len(rows)} evaluations are not what was evaluated: {told}", AGAIN)


def _sums_agree(scene: Scene) -> Iterator[Finding]:
    for table in ("type_losses", "document_losses"):
        rows = scene.ask(
            f"WITH added AS (SELECT evaluation_id, sum(n) AS n, sum(sum_loss) AS total FROM {table} GROUP BY ALL) "
            "SELECT evaluation_id FROM added a JOIN evaluations e USING (evaluation_id) WHERE a.n <> e.predicted "
            f"OR abs(a.total - e.sum_loss) > {_TOLERANCE} * abs(e.sum_loss) ORDER BY 1"
        )
        found = [name for (name,) in rows]
        if found:
            yield Finding("problem", f"{table} of {len(found)} evaluations do not add up: {names(found)}", AGAIN)


CHECKS = (
    Check("rows are there once", _doubled),
    Check("rows name what exists", _dangling),
    Check("evaluations have their losses", _missing),
    Check("losses are whole", _partial),
    Check("texts are whole", _texts),
    Check("what is kept is what is said", _kept),
    Check("losses align with their text", _aligned, deep=True),
    Check("losses add up", _added_up, deep=True),
    Check("sums by type and document add up", _sums_agree, deep=True),
)
