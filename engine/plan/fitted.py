"""Which adaptations of a domain its law is fitted to: a law does not mix ways to adapt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.cells import Cell
from engine.spec.experiment import Experiment
from engine.spec.run import Method, Newlines, Training


@dataclass(frozen=True)
class Fitted:
    """The runs of one law, and what is said of the others."""

    runs: tuple[str, ...]
    cautions: tuple[str, ...]


def choose_fitted(experiment: Experiment, adapted: Sequence[tuple[Cell, str]], domain: str) -> Fitted:
    """One population of ``adapted`` (cells and their runs): one method trained in one way, on one form of the text.

    Full fine-tuning, the experiment's own training and the corpus's own text come first.
    """
    of_domain = [(cell, run_id) for cell, run_id in adapted if cell.domain == domain]
    own = experiment.training
    text = experiment.corpora[domain].newlines

    def population(cell: Cell) -> tuple[Method, Training, Newlines]:
        return cell.method, cell.training, cell.newlines

    def oddity(cell: Cell) -> tuple[bool, ...]:
        return (
            cell.method.name != "full",
            cell.training != own,
            cell.newlines != text,
            own is None or cell.lr != own.lr,
        )

    first = min((cell for cell, _ in of_domain), key=oddity)
    runs = tuple(run_id for cell, run_id in of_domain if population(cell) == population(first))
    others = [cell for cell, _ in of_domain if population(cell) != population(first)]
    if not others:
        return Fitted(runs, ())
    names = dict.fromkeys(difference(cell, first) for cell in others)
    caution = (
        f"laws: {domain} is fitted to {len(runs)} of {len(of_domain)} adaptations, for a law does not mix ways to "
        f"adapt; left out: {', '.join(names)} (odyssey fit fits them when they are done)"
    )
    return Fitted(runs, (caution,))


def difference(cell: Cell, other: Cell) -> str:
    """What ``cell`` does otherwise, in a few words."""
    if cell.variant and cell.variant != other.variant:
        return f"variant {cell.variant}"
    if cell.method != other.method:
        same = cell.method.name == other.method.name
        return f"{cell.method.name} of other options" if same else cell.method.name
    if cell.newlines != other.newlines:
        return "newlines stripped" if cell.newlines == "strip" else "newlines kept"
    return f"lr {cell.lr:g}" if cell.lr != other.lr else "trained otherwise"
