"""Ours: ``engine.laws.fit.fit`` with 1,000 starts, 1,000 bootstrap refits, and small fits to say how soon the best is
found."""

from __future__ import annotations

import argparse
import time

import numpy as np

from bench.fitting.setting import DELTA, forms, points_of, refit_weights
from bench.harness import leave_result
from engine.laws.features import Scales, features
from engine.laws.fit import FitOptions, fit
from engine.laws.huber import log_residuals, objective

FEW, TRIES = 10, 12
"""Starts of a small fit, and how many small fits are made."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--forms", default="")
    parser.add_argument("--starts", type=int, required=True)
    parser.add_argument("--refits", type=int, required=True)
    parser.add_argument("--judged", type=int, required=True, help="refits whose objective is compared")
    options = parser.parse_args()
    found = {}
    for form in forms(options.forms):
        points, role = points_of(form), form.roles[0]
        began = time.process_time()
        result = fit(form, points, FitOptions(role, starts=options.starts, bootstrap=0))
        starts_s = time.process_time() - began
        began = time.process_time()
        drawn = fit(form, points, FitOptions(role, starts=options.starts, bootstrap=options.refits))
        refits_s = time.process_time() - began - starts_s
        small = []
        for seed in range(TRIES):
            began = time.process_time()
            cost = fit(form, points, FitOptions(role, starts=FEW, bootstrap=0, seed=seed)).objective
            small.append((time.process_time() - began, cost))
        weights = refit_weights(points, options.refits)[: options.judged]
        x = features(points, Scales(p0=drawn.law.p0))
        residuals = log_residuals(form.value(form.to_u(drawn.law.draws[: options.judged]), x), np.log(points.loss))
        found[form.name] = {
            "starts_s": starts_s,
            "objective": result.objective,
            "refits_s": refits_s,
            "refit_objectives": objective(residuals, weights, DELTA).tolist(),
            "tries": small,
        }
    leave_result({"forms": found})


if __name__ == "__main__":
    main()
