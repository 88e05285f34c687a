"""The peer: a loop over starts of scipy's L-BFGS-B on the same objective, as scaling-law code has it.

The objective is the sum of Huber over log residuals with the same bounds and the same numpy formulas; the gradient is
scipy's own (finite differences) or the analytic one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from bench.fitting.setting import DELTA, forms, problem_of, refit_weights, starts_of
from bench.harness import leave_result
from engine.laws.form import Form
from engine.laws.huber import log_residuals, objective
from engine.laws.points import Floats

Objective = Callable[[Floats, Floats], "float | tuple[float, Floats]"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--forms", default="")
    parser.add_argument("--gradient", choices=["numeric", "analytic"], required=True)
    parser.add_argument("--starts", type=int, required=True)
    parser.add_argument("--refits", type=int, required=True)
    options = parser.parse_args()
    analytic = options.gradient == "analytic"
    found = {}
    for form in forms(options.forms):
        points, x, lower, upper = problem_of(form)
        evaluate = _objective(form, x, np.log(points.loss), analytic)
        bounds = list(zip(lower, upper, strict=True))
        tries, best, least = [], None, np.inf
        for start in starts_of(form, options.starts, 0):
            began = time.process_time()
            end = minimize(evaluate, start, (points.weight,), "L-BFGS-B", jac=analytic, bounds=bounds)
            tries.append((time.process_time() - began, float(end.fun)))
            if end.fun < least:
                best, least = end.x, float(end.fun)
        refits = []
        for weight in refit_weights(points, options.refits):
            began = time.process_time()
            end = minimize(evaluate, best, (weight,), "L-BFGS-B", jac=analytic, bounds=bounds)
            refits.append((time.process_time() - began, float(end.fun)))
        found[form.name] = {"tries": tries, "objective": least, "refits": refits}
    leave_result({"forms": found})


def _objective(form: Form, x: object, ln_loss: Floats, analytic: bool) -> Objective:
    def value(u: Floats, weight: Floats) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            predicted = form.value(u[None], x)
        return float(objective(log_residuals(predicted, ln_loss), weight, DELTA)[0])

    def value_and_gradient(u: Floats, weight: Floats) -> tuple[float, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):
            predicted, jacobian = form.value_and_jacobian(u[None], x)
        residuals = log_residuals(predicted, ln_loss)
        slope = weight * np.clip(residuals[0], -DELTA, DELTA) / predicted[0]
        return float(objective(residuals, weight, DELTA)[0]), jacobian[0] @ slope

    return value_and_gradient if analytic else value


if __name__ == "__main__":
    main()
