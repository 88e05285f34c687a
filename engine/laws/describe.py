"""A trial in plain JSON: parameters with intervals, how the fit was found, what is open, scores, predictions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from engine.laws.forecast import band
from engine.laws.repetition import TEXTS
from engine.laws.scores import corrected_aic
from engine.laws.signs import check_signs
from engine.laws.trials import Trial

SHOWN = ("n_params", "ptpp", "atpp", "adapt_tokens", "replay_ratio", "share", "zero_shot_loss", "quality", "loss")
"""Columns of a point that go with its prediction; epochs, where they are known."""


def describe(trial: Trial, level: float, *, draws: bool = False) -> dict[str, Any]:
    """Everything about ``trial``; ``level`` is the share of the bootstrap draws in intervals and bands.

    What is not known is NaN. ``draws`` adds the draws themselves (B, p), natural values in the parameters' order.
    """
    fit, law = trial.fit, trial.fit.law
    return {
        "form": law.form.name,
        "formula": law.form.formula,
        "source": law.form.source,
        "definition": definition.content() if (definition := law.form.definition) else None,
        "role": law.role,
        "anchors": trial.anchors,
        "n_points": fit.n_points,
        "n_groups": fit.n_runs,
        "excluded": [{"reason": reason, "n": n} for reason, n in fit.excluded],
        "delta": fit.options.delta,
        "objective": fit.objective,
        "starts": fit.options.starts,
        "starts_followed": fit.starts_polished,
        "starts_agreeing": fit.starts_agreeing,
        "condition": fit.condition,
        "at_bound": list(fit.at_bound),
        "n_free": fit.n_free,
        "aicc": corrected_aic(np.log(law.predict(fit.points) / fit.points.loss), fit.n_free),
        "dropped": list(fit.dropped.axes),
        "P0": law.p0,
        "seed": fit.options.seed,
        "bootstrap": len(law.draws),
        "level": level,
        "parameters": _parameters(trial, level),
        "identifiability": list(trial.sentences),
        "signs": [asdict(sign) for sign in check_signs(law, fit.points)],
        "forecast_spread": list(trial.identifiability.spread),
        "ranges": {symbol: list(ends) for symbol, ends in law.ranges.items()},
        "scores": trial.scores,
        "predictions": _predictions(trial, level),
        **({"draws": law.draws.tolist()} if draws else {}),
    }


def _parameters(trial: Trial, level: float) -> list[dict[str, Any]]:
    """Natural values, bootstrap percentiles, and the values that fit as well when all others are refitted."""
    fit, law = trial.fit, trial.fit.law
    low, high = band(law.draws, level)
    profiles = {profile.name: profile for profile in trial.identifiability.profiles}
    rows = []
    for index, parameter in enumerate(law.form.parameters):
        profile = profiles.get(parameter.name)
        rows.append(
            {
                "name": parameter.name,
                "value": law.params[parameter.name],
                "low": float(low[index]),
                "high": float(high[index]),
                "profile_low": profile.low if profile else None,
                "profile_high": profile.high if profile else None,
                "determined": profile.determined if profile else None,
                "held": parameter.name in fit.dropped.neutral,
                "at_bound": parameter.name in fit.at_bound,
                "meaning": parameter.meaning,
            }
        )
    return rows


def _predictions(trial: Trial, level: float) -> list[dict[str, Any]]:
    """One row for each held-out point that was predicted, with the band of the draws (the parameters' uncertainty)."""
    points, law = trial.scored, trial.fit.law
    if not len(points):
        return []
    predicted = law.predict(points)
    low, high = band(law.predict_draws(points), level)
    reach = trial.identifiability.reach
    read = [name for name in TEXTS if np.isfinite(getattr(points, name)).any()]
    columns = {name: getattr(points, name) for name in (*SHOWN, *read)}
    return [
        {
            "place": str(points.place[index]),
            "group": str(points.run[index]),
            **{name: float(values[index]) for name, values in columns.items()},
            "predicted": float(predicted[index]),
            "low": float(low[index]),
            "high": float(high[index]),
            "profile_low": float(predicted[index] * (1.0 + reach[0, index])),
            "profile_high": float(predicted[index] * (1.0 + reach[1, index])),
            "error": float(predicted[index] / points.loss[index] - 1.0),
        }
        for index in range(len(points))
    ]
