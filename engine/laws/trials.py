"""One form on one split of points: fitted, scored on what was held out, and asked what the data leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.laws.anchors import Anchors, split_anchors
from engine.laws.errors import LawError
from engine.laws.fit import Fit, FitOptions, fit
from engine.laws.form import Form
from engine.laws.identify import Identifiability, identify
from engine.laws.points import Floats, Points, concatenate
from engine.laws.repetition import tell_repeated
from engine.laws.scores import score, shift_by_zero_shot
from engine.laws.signs import check_signs
from engine.laws.usable import refusals

NOT_SCORED = "Not scored:"
"""How a trial's notes begin to say why it predicts nothing."""


@dataclass(frozen=True)
class Trial:
    """A fit with what it was judged by."""

    fit: Fit
    anchors: int
    """Held-out points that joined the fit."""
    points: Points
    """Every point of the trial by split; those the form cannot use are ``excluded``, with the reason."""
    scores: dict[str, Any]
    """``n`` held-out points, their ``Scores``, what the law ``saw`` of the held-out stage, ``training``,
    ``extrapolation``, and of dcpt the ``l0_shift``. Nothing is scored where the law refuses to be used."""
    identifiability: Identifiability
    notes: tuple[str, ...]
    """Why nothing was scored."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the data leave open, where the law rises though it should fall, what text was read too often, in words,
        and the notes."""
        rising = (sign.sentence for sign in check_signs(self.fit.law, self.fit.points) if sign.rising)
        return (*self.identifiability.sentences, *rising, *tell_repeated(self.points), *self.notes)

    @property
    def scored(self) -> Points:
        """The held-out points that were predicted."""
        return self.points.select((self.points.split == "score") & bool(self.scores["n"]))


def attempt(form: Form, points: Points, options: FitOptions, anchors: Anchors | None = None) -> Trial:
    """Fit ``form`` to the points of split ``fit`` and score it on those of split ``score``, but for ``anchors``.

    Raises LawError when the form cannot be fitted to the points, or anchors leave nothing to score.
    """
    anchors = anchors or Anchors()
    fitted, held_out = (points.select(points.split == split) for split in ("fit", "score"))
    left_out = points.select(points.split == "excluded")
    if anchors.count or anchors.reserve:
        # Anchors are points that the form can use: the same ones for every form with the same needs.
        usable = refusals(form, held_out) == ""
        chosen, scored, rest = split_anchors(held_out.select(usable), anchors)
        fitted, left_out = concatenate([fitted, chosen]), concatenate([left_out, rest])
        held_out = concatenate([scored, held_out.select(~usable)])
    result = fit(form, fitted, options)
    return _judge(result, anchors.count, _mark(form, concatenate([fitted, held_out, left_out])))


def _mark(form: Form, points: Points) -> Points:
    """Points the form cannot use become excluded, with the reason."""
    reasons = refusals(form, points)
    refused = (reasons != "") & (points.split != "excluded")
    return replace(
        points,
        split=np.where(refused, "excluded", points.split),
        reason=np.where(refused, reasons, points.reason),
    )


def _judge(result: Fit, anchors: int, points: Points) -> Trial:
    law, delta = result.law, result.options.delta
    scored = points.select(points.split == "score")
    saw = [f"{anchors} anchors"] if anchors else []
    saw += [law.form.saw] if law.form.saw != "nothing" else []
    scores: dict[str, Any] = {"n": 0, "anchors": anchors, "saw": " and ".join(saw) or "nothing"}
    notes: tuple[str, ...] = ()
    try:
        law.require_inside(scored)
        if len(scored):
            predicted = law.predict(scored)
            scores |= score(predicted, scored.loss, delta).as_dict()
            scores["extrapolation"] = law.extrapolation(scored)
            if law.form.name == "dcpt":
                scores["l0_shift"] = _score_shifted(result, predicted, scored, delta)
    except LawError as refusal:
        notes = (f"{NOT_SCORED} {refusal.message}",)
        scored = scored.select(np.zeros(len(scored), dtype=bool))
    scores["training"] = score(law.predict(result.points), result.points.loss, delta).as_dict()
    return Trial(result, anchors, points, scores, identify(result, scored), notes)


def _score_shifted(result: Fit, predicted: Floats, scored: Points, delta: float) -> dict[str, Any] | None:
    """The baseline "dcpt + L0 shift" on the same points; None where a zero-shot loss is missing."""
    shifted = shift_by_zero_shot(predicted, scored, result.points)
    return score(shifted, scored.loss, delta).as_dict() if np.isfinite(shifted).all() else None
