"""What ``odyssey fit --points`` prints: a law with its parameters, or several laws side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from odyssey_tui.cli.output import Column, emit_json, emit_table
from odyssey_tui.cli.printing import print_wrapped, say_wrapped
from odyssey_tui.cli.progress import Progress
from odyssey_tui.services.format import number
from odyssey_tui.services.point_tables import LoadedPoints, load_points, tell_left_out
from odyssey_tui.services.table_fits import TableOptions, fit_table, rank, score_rows


def significant(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


SCORES = (
    Column("form", "form"),
    Column("anchors", "anchors", drop=3),
    Column("n", "n"),
    Column("mape", "MAPE %", lambda v: number(v, 2)),
    Column("mae_rel_mean", "mean|e|/L", lambda v: number(v, 4), drop=8),
    Column("mae_rel_sum", "Σ|e|/ΣL", lambda v: number(v, 4), drop=7),
    Column("huber_log", "Huber", lambda v: f"{v:.2e}", drop=11),
    Column("rmse", "RMSE", lambda v: number(v, 4), drop=5),
    Column("slope", "slope", lambda v: number(v, 3)),
    Column("intercept", "icept", lambda v: number(v, 3), drop=6),
    Column("r2", "R²", lambda v: number(v, 3), drop=6),
    Column("training_mape", "fit %", lambda v: number(v, 2)),
    Column("objective", "objective", significant, drop=1),
    Column("agreeing", "agree", lambda v: f"{v:.0%}", drop=2),
    Column("aicc", "AICc", lambda v: number(v, 1), drop=4),
    Column("condition", "condition", lambda v: f"{v:.0e}", drop=10),
    Column("at_bound", "at a bound", drop=12),
    Column("saw", "saw of held-out", drop=9),
)
PARAMETERS = (
    Column("name", "parameter"),
    Column("value", "value", significant),
    Column("low", "low", significant),
    Column("high", "high", significant),
    Column("profile_low", "fits from", significant, drop=2),
    Column("profile_high", "to", significant, drop=2),
    Column("note", "", drop=1),
    Column("meaning", "meaning", drop=3),
)
PREDICTIONS = (
    Column("place", "row"),
    Column("n_params", "N", lambda v: f"{v:.3g}"),
    Column("ptpp", "P", lambda v: f"{v:.3g}", drop=1),
    Column("adapt_tokens", "D", lambda v: f"{v:.3g}"),
    Column("replay_ratio", "ρ", lambda v: f"{v:.2g}", drop=1),
    Column("loss", "loss", lambda v: number(v, 4)),
    Column("predicted", "predicted", lambda v: number(v, 4)),
    Column("low", "low", lambda v: number(v, 4), drop=2),
    Column("high", "high", lambda v: number(v, 4), drop=2),
    Column("error", "error", lambda v: f"{v:+.2%}".replace("-", "−")),
)
CHOICE = (
    Column("form", "form"),
    Column("mape", "all", lambda v: number(v, 2)),
    Column("slope", "slope", lambda v: number(v, 3)),
)
FEW = 12
"""Held-out points up to which each is printed with its prediction."""


def fit_points(
    paths: Sequence[Path],
    forms: Sequence[str],
    *,
    mapped: dict[str, str],
    where: str,
    holdout: Sequence[str],
    options: TableOptions,
    cross_validate: Any = "",
    svg: Path | None = None,
    json: bool,
    csv: bool,
    latex: bool,
) -> None:
    """Fit and print."""
    points = load_points(paths, mapped=mapped, role=options.role, where=where, holdout=holdout)
    for sentence in tell_left_out(points.left_out):
        say_wrapped(sentence)
    with Progress() as progress:
        answer = fit_table(points, forms, options, progress.hear, cross_validate=cross_validate)
    if svg is not None:
        write_calibration(points, answer, options, svg)
    if json:
        left_out = [{"place": item.place, "reason": item.reason} for item in points.left_out]
        emit_json(
            {
                "points": {
                    "files": [str(path) for path in paths],
                    "role": options.role,
                    "n_fit": points.n_fit,
                    "n_held_out": points.n_held_out,
                    "groups": points.groups,
                    "left_out": left_out,
                    "n_filtered": points.n_filtered,
                },
                **answer,
            }
        )
        return
    if csv or latex:
        emit_table(SCORES, score_rows(answer["fits"]), csv=csv, latex=latex)
        return
    print_answer(points, answer)


def write_calibration(points: LoadedPoints, answer: dict[str, Any], options: TableOptions, target: Path) -> None:
    """Measured against predicted losses of the held-out rows, a colour for each law, as a file; says where."""
    from odyssey_tui.services.calibration import draw_calibration, of_table
    from odyssey_tui.services.figure_export import save_figure

    laws = of_table(rank(answer["fits"]))
    of_one = f" of {laws[0].law}" if len(laws) == 1 else ""
    subject = f"{options.role} loss on {points.domain}" if points.domain else f"{options.role} loss"
    say_wrapped(f"wrote {save_figure(draw_calibration(f'calibration{of_one} · {subject}', laws), target)}")


def print_answer(points: LoadedPoints, answer: dict[str, Any]) -> None:
    """As text: the points, the scores, and of a single form its parameters and predictions."""
    print_wrapped(points.sentence)
    fits = rank(answer["fits"])
    if len({fit["form"] for fit in fits}) == 1:
        for fit in fits:
            print_law(fit)
    print()
    emit_table(SCORES, score_rows(fits), title="Laws, the best on what was held out first")
    if "cross_validation" in answer:
        print_choice(answer["cross_validation"])
    for refusal in answer["refused"]:
        print_wrapped(f"{refusal['form']} was not fitted: {refusal['reason']} {refusal['hint']}".strip(), bullet="- ")
    if len({fit["form"] for fit in fits}) > 1:
        print_open(fits)


def print_choice(validation: dict[str, Any]) -> None:
    """Laws by what they predict of each stage that was left out in turn."""
    count = len(validation["folds"])
    folds = [
        Column(f"fold_{index}", label.replace(" = ", "="), lambda v: number(v, 2), drop=count - index)
        for index, label in enumerate(validation["folds"])
    ]
    rows = [
        {
            "form": choice["form"],
            **choice["scores"],
            **{column.key: value for column, value in zip(folds, choice["by_fold"], strict=True)},
        }
        for choice in validation["forms"]
    ]
    print()
    emit_table((*CHOICE, *folds), rows, title=f"MAPE %, leaving out each {validation['axis']} in turn")
    for choice in validation["forms"]:
        if choice["reason"]:
            print_wrapped(f"{choice['form']} cannot be judged {choice['reason']}", bullet="- ")


def print_law(fit: dict[str, Any]) -> None:
    """One fit: formula, parameters with intervals, what is open, predictions of a few held-out points."""
    anchored = f", with {fit['anchors']} anchors" if fit["anchors"] else ""
    print()
    print_wrapped(f"{fit['form']}{anchored}: L = {fit['formula']}")
    print_wrapped(f"({fit['source']})")
    print()
    rows = [{**parameter, "note": note_of(parameter)} for parameter in fit["parameters"]]
    columns = [column for column in PARAMETERS if column.key != "note" or any(row["note"] for row in rows)]
    emit_table(columns, rows, title=f"Parameters, {fit['level']:.0%} of {fit['bootstrap']} bootstrap refits")
    print()
    for sentence in (tell_descent(fit), *fit["identifiability"], *tell_excluded(fit)):
        print_wrapped(sentence, bullet="- ")
    if 0 < len(fit["predictions"]) <= FEW:
        print()
        emit_table(PREDICTIONS, fit["predictions"], title="Held out")


def note_of(parameter: dict[str, Any]) -> str:
    """Why a value means little."""
    return "dropped" if parameter["held"] else "at a bound" if parameter["at_bound"] else ""


def tell_descent(fit: dict[str, Any]) -> str:
    """How the optimum was found."""
    return (
        f"Objective {fit['objective']:.6g} (sum of Huber, δ = {fit['delta']:g}); {fit['starts_agreeing']} of "
        f"{fit['starts_followed']} starts followed to the end, of {fit['starts']}, agree within 0.1 %; "
        f"condition {fit['condition']:.1e}."
    )


def tell_excluded(fit: dict[str, Any]) -> list[str]:
    """Points that the form could not use."""
    return [f"{item['n']} points left out: {item['reason']}." for item in fit["excluded"]]


def print_open(fits: Sequence[dict[str, Any]]) -> None:
    """Of several laws: what the data leave open in each, in one line."""
    print()
    for fit in fits:
        open_ones = [parameter["name"] for parameter in fit["parameters"] if parameter["determined"] is False]
        low, high = fit["forecast_spread"]
        spread = f"; forecasts move by {low:+.1%} to {high:+.1%}".replace("-", "−") if open_ones else ""
        words = f"not determined: {', '.join(open_ones)}{spread}" if open_ones else "every exponent is determined"
        anchors = f" + {fit['anchors']} anchors" if fit["anchors"] else ""
        print_wrapped(f"{fit['form']}{anchors}: {words}.", bullet="- ")
