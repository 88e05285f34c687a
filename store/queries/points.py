"""Points for laws and scatters: one adapted state on one role, and zero-shot points of base states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.queries.rows import fetch

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class AdaptationPoint:
    """A row of the view ``adaptation_points``. Symbols as in the scaling-law literature; losses in nats per token."""

    run_id: str
    """The adaptation; of an imported table ``RUN#TRAJECTORY``."""
    experiment: str | None
    domain: str | None
    method: str | None
    size: str | None
    seed: int | None
    lr: float | None
    rank: int | None
    variant: str | None
    """What its block of the experiment calls itself."""
    newlines: str
    """Line ends of the domain's training text: ``keep`` or ``strip``."""
    n_params: int | None
    ptpp: float | None
    """None when the tokens the base model has seen are unknown."""
    atpp: float
    adapt_tokens: int | None
    replay_ratio: float | None
    """As requested."""
    replay_realised: float | None
    base_epochs: float | None
    """How often the base text was read before adaptation; None where it was not pretrained here."""
    target_epochs: float | None
    """How often the domain's text was read."""
    replay_epochs: float | None
    """How often the base text was read in adaptation."""
    role: str
    eval_set_id: str | None
    evaluation_id: str | None
    """None where a table was imported: it has no losses of single tokens."""
    zero_shot_evaluation_id: str | None
    model_id: str
    base_model_id: str
    loss: float
    zero_shot_loss: float | None
    """None while the base state has not been evaluated on this set by this scheme; ``delta`` is then None too."""
    delta: float | None
    base_zero_shot_loss: float | None
    """Zero-shot loss of the base state on its base set: its measured quality, whatever role is predicted."""

    @property
    def owner(self) -> str:
        """The run in whose journal the point is."""
        return owner_of(self.run_id)

    @property
    def share(self) -> float | None:
        """r: the share, in the mix, of the corpus whose loss this is; None for roles other than target and base."""
        if self.replay_ratio is None or self.role not in ("target", "base"):
            return None
        return self.replay_ratio if self.role == "base" else 1.0 - self.replay_ratio


def owner_of(run_id: str) -> str:
    """The run that ``run_id`` of a point names: points of an imported table name their trajectory within it."""
    return run_id.partition("#")[0]


def adaptation_points(
    con: duckdb.DuckDBPyConnection,
    *,
    experiment: str | None = None,
    role: str | None = None,
    domain: str | None = None,
    method: str | None = None,
) -> list[AdaptationPoint]:
    """Every adapted state × evaluated role that fits the filters, by run and ATPP."""
    return fetch(
        con,
        AdaptationPoint,
        """
        WITH quality AS (
            SELECT model_id, arg_max(sum_loss / nullif(predicted, 0), t) AS base_zero_shot_loss
            FROM evaluations WHERE role = 'base' GROUP BY model_id
            UNION ALL
            SELECT run_id || '#' || trajectory || '@base', any_value(zero_shot_loss)
            FROM imported_points WHERE role = 'base' AND adapt_tokens > 0 GROUP BY ALL
        )
        SELECT a.*, q.base_zero_shot_loss FROM adaptation_points a LEFT JOIN quality q ON q.model_id = a.base_model_id
        WHERE ($1 IS NULL OR experiment = $1) AND ($2 IS NULL OR role = $2)
            AND ($3 IS NULL OR domain = $3) AND ($4 IS NULL OR method = $4)
        ORDER BY domain, run_id, role, atpp
        """,
        [experiment, role, domain, method],
    )


@dataclass(frozen=True)
class BasePoint:
    """A base state (never adapted) on one evaluation set: what pretraining laws and forecasts of L0 are fitted on."""

    model_id: str
    run_id: str | None
    n_params: int | None
    tokens_seen: int | None
    ptpp: float | None
    role: str
    eval_set_id: str
    eval_set: str | None
    loss: float


def base_points(con: duckdb.DuckDBPyConnection) -> list[BasePoint]:
    """Zero-shot losses of all base states, by set, size and PTPP."""
    return fetch(
        con,
        BasePoint,
        """
        SELECT m.model_id, m.run_id, m.n_params, m.tokens_seen, m.ptpp, e.role, e.eval_set_id, s.name AS eval_set,
            e.sum_loss / nullif(e.predicted, 0) AS loss
        FROM models m JOIN evaluations e USING (model_id) LEFT JOIN eval_sets s USING (eval_set_id)
        WHERE m.parent IS NULL AND e.predicted > 0 ORDER BY s.name, m.n_params, m.ptpp, m.model_id
        """,
    )


@dataclass(frozen=True)
class PretrainingPoint:
    """A row of an imported table of models that were not adapted."""

    run_id: str
    """``RUN#TRAJECTORY``, as of ``AdaptationPoint``."""
    experiment: str | None
    domain: str
    n_params: int
    ptpp: float | None
    loss: float

    @property
    def owner(self) -> str:
        """The run in whose journal the point is."""
        return owner_of(self.run_id)


def imported_pretraining(
    con: duckdb.DuckDBPyConnection, *, experiment: str | None = None, role: str | None = None
) -> list[PretrainingPoint]:
    """Imported losses of models that were not adapted, by domain, size and PTPP."""
    return fetch(
        con,
        PretrainingPoint,
        """
        SELECT i.run_id || '#' || i.trajectory AS run_id, r.experiment, i.domain, i.n_params, i.ptpp, i.loss
        FROM imported_points i JOIN runs r USING (run_id)
        WHERE i.adapt_tokens IS NULL AND ($1 IS NULL OR r.experiment = $1) AND ($2 IS NULL OR i.role = $2)
        ORDER BY i.domain, i.n_params, i.ptpp, i.trajectory
        """,
        [experiment, role],
    )
