"""Fits of a table's points in a process of its own: ``python -m engine.laws.standalone``.

Reads a ``FitRequest`` as JSON from stdin and answers as ``engine.speaker`` says.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from engine.laws.crossval import CrossValidation, cross_validate
from engine.laws.describe import describe
from engine.laws.errors import LawError
from engine.laws.form import Form
from engine.laws.forms import form_of
from engine.laws.points import Points
from engine.laws.request import FitRequest
from engine.laws.trials import attempt
from engine.speaker import Say, serve


def fit_all(request: FitRequest, say: Say) -> dict[str, Any]:
    """``fits``: every form without and, where asked for, with anchors; ``refused``: forms that could not be fitted;
    ``cross_validation``, where asked for.

    Raises the LawError of the first form when none could be fitted.
    """
    forms = [form_of(item) for item in request.forms]
    known = {form.name: form for form in forms}
    points = request.points
    answer: dict[str, Any] = {"fits": [], "refused": []}
    if request.cross_validate:
        chosen = choose_among(forms, points, request, say)
        answer["cross_validation"] = asdict(chosen)
        if request.only_best:
            forms = [known[chosen.require_best()]]
    first: LawError | None = None
    tasks = [(form, anchors) for form in forms for anchors in sorted({0, *request.anchors})]
    for done, (form, anchors) in enumerate(tasks):
        say(form.name, done, len(tasks))
        started = time.perf_counter()
        try:
            trial = attempt(form, points_for(form, points), request.options, request.anchored(anchors))
        except LawError as refusal:
            first = first or refusal
            refused = {"form": form.name, "anchors": anchors, "reason": refusal.message, "hint": refusal.hint}
            answer["refused"].append(refused)
            continue
        described = describe(trial, request.level, draws=request.draws)
        answer["fits"].append({**described, "seconds": round(time.perf_counter() - started, 3)})
    if first and not answer["fits"]:
        raise first
    return answer


def choose_among(forms: list[Form], points: Points, request: FitRequest, say: Say) -> CrossValidation:
    """Forms by what they predict of stages left out in turn."""
    axis = None if request.cross_validate in ("", "auto") else request.cross_validate

    def hear(form: str, done: int, total: int) -> None:
        say(f"leaving out in turn: {form}", done, total)

    # All forms are judged on the same points, so curves of pretraining, which have others, only among themselves.
    same = [form for form in forms if form.describes_pretraining == forms[0].describes_pretraining]
    return cross_validate(same, points_for(same[0], points), request.options, axis, hear)


def points_for(form: Form, points: Points) -> Points:
    """Where nothing was adapted, a form of pretraining curves takes the tokens of pretraining as its D."""
    if not form.describes_pretraining or np.isfinite(points.adapt_tokens).any():
        return points
    return replace(points, adapt_tokens=points.ptpp * points.n_params)


def main() -> None:
    """Fit what stdin asks for."""
    serve(lambda asked, say: fit_all(FitRequest.read(asked), say), memory_hint="Lower --starts or --bootstrap.")


if __name__ == "__main__":
    main()
