"""Fits of the synthetic points: the true parameters for the form behind them, a level off for the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from engine.code import describe_laws
from engine.laws.forms import find_form
from engine.spec.strict import content_key
from tests.support import synthetic_law as law
from tests.support.synthetic_text import Losses
from tests.support.synthetic_writer import RunWriter

DRAWS = 40
TRUE_FORM = "ptpp_gated_floor"


@dataclass(frozen=True)
class Measured:
    """One adapted state on one role, as the fits see it."""

    run_id: str
    role: str
    n_params: int
    ptpp: float
    atpp: float
    replay_ratio: float
    loss: float
    zero_shot_loss: float

    @property
    def adapt_tokens(self) -> int:
        return int(self.n_params * self.atpp)

    @property
    def share(self) -> float:
        return law.share_of(self.role, self.replay_ratio)

    @property
    def split(self) -> str:
        return "score" if self.ptpp in law.SCORE_PTPP else "fit"


def mean_loss(losses: Losses) -> float:
    return losses.sum_loss / losses.predicted


def write_fit(run: RunWriter, form: str, role: str, measured: Sequence[Measured]) -> None:
    """One ``fit`` event with its shards of points and draws."""
    fit_id = content_key([run.run_id, form, role])
    gated = form == TRUE_FORM
    # Draws stand in the order of the form's parameters.
    params = {name: law.PARAMETERS[role][name] for name in find_form(form).names}
    if not gated:
        params["E"] += 0.3
    points = [point for point in measured if point.role == role]
    predicted = [_predict(params, point) for point in points]
    errors = [abs(p / point.loss - 1) for p, point in zip(predicted, points, strict=True) if point.split == "score"]
    rng = np.random.default_rng([5, *fit_id.encode()])
    draws = np.array(list(params.values())) * rng.normal(1.0, 0.01, (DRAWS, len(params)))
    run.emit(
        "fit",
        fit_id=fit_id,
        form=form,
        role=role,
        domain="docs",
        params=params,
        objective=0.0012,
        n_points=sum(point.split == "fit" for point in points),
        n_excluded=0,
        starts_agreeing=0.9,
        at_bound=[],
        condition=1.5e4,
        fit_ptpp=list(law.FIT_PTPP),
        score_ptpp=list(law.SCORE_PTPP),
        delta=1e-3,
        P0=law.P0 if gated else None,
        scores={"n": len(errors), "anchors": 0, "saw": "nothing", "mape": 100 * float(np.mean(errors))},
        identifiability=["The data do not determine phi."] if gated else [],
        n_params_distinct=2,
        code_version=describe_laws(),
        shard=run.shard("fit_points", _points_table(fit_id, points, predicted)),
        shard_draws=run.shard(
            "fit_draws",
            pa.table({"fit_id": [fit_id] * DRAWS, "draw": list(range(DRAWS)), "params": draws.tolist()}),
        ),
    )


def _points_table(fit_id: str, points: Sequence[Measured], predicted: Sequence[float]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                **asdict(point),
                "fit_id": fit_id,
                "point": number,
                "split": point.split,
                "adapt_tokens": point.adapt_tokens,
                "share": point.share,
                "predicted": predicted[number],
                "reason": "",
                "weight": 1.0,
            }
            for number, point in enumerate(points)
        ]
    )


def _predict(params: dict[str, float], point: Measured) -> float:
    n, d, p, r = float(point.n_params), float(point.adapt_tokens), point.ptpp, point.share
    floor = params.get("F", 0.0) / (p * n) ** params.get("phi", 1.0)
    gate = (p / law.P0) ** params.get("kappa", 0.0)
    return (
        params["E"]
        + floor
        + params["A"] / n ** params["alpha"]
        + gate * params["B"] * r ** params["eta"] / d ** params["beta"]
        + params["C"] / (r + params["eps"]) ** params["gamma"]
    )
