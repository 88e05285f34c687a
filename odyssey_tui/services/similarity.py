"""Does adaptation hurt where a domain resembles the pretraining text? ΔL against similarity, by domain and model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engine.clustered import correlate
from odyssey_tui.services.domain_groups import find_groups, parse_groups
from odyssey_tui.services.scatter import Agreement, Look, Model, Scatter
from odyssey_tui.services.scatter_cells import Cell, Surroundings, Wanted
from odyssey_tui.services.scatter_points import Facts, Point, Runs, gather_runs, make_points, tell_texts
from odyssey_tui.services.scatter_selection import Selection, describe, explain_missing, select, tell_left_out
from odyssey_tui.services.scatter_statistics import draw_line, find_all, summarise_groups, tabulate, with_influence
from odyssey_tui.services.scatter_units import BITS, NATS, UNITS, Unit, convert
from odyssey_tui.services.scatter_views import ZERO_SHOT, Placement, View, choose_view, place_all
from odyssey_tui.services.tokenizer_fair import text_of, weigh

if TYPE_CHECKING:
    from store.database import Connection
    from store.queries.points import AdaptationPoint
    from store.queries.similarity import Similarity
    from store.workspace import Workspace

COUPLING = "ΔL contains −L zero-shot: this correlation is partly there by construction"
DEPENDENT = "Points of one domain are not independent: n counts domains, which are resampled and permuted whole"


def scatter(
    workspace: Workspace,
    look: Look | None = None,
    wanted: Wanted | None = None,
    *,
    experiment: str | None = None,
    groups: Sequence[str] = (),
) -> Scatter:
    """Read the workspace and place every domain that has both a similarity and an adapted state.

    What is not asked for is chosen: the view by preference, the model as the one that most domains share. ``groups``
    are written as NAME=domain,domain. Raises DataError for a measure or embedder that no run has computed and for
    properties that no state has, ConfigError for groups and experiments that cannot be.
    """
    from store.database import lease
    from store.ingest import ingest
    from store.queries.points import adaptation_points
    from store.queries.similarity import similarities

    look, wanted = look or Look(), wanted or Wanted()
    ingest(workspace)
    with lease(workspace) as connection:
        rows = similarities(connection)
        points = of_experiment(workspace, adaptation_points(connection, role="target"), experiment)
        selection = select(points, rows, wanted, pooled=look.pooled, around=read_surroundings(connection))
        facts, sources = read_facts(connection, selection.points)
    given = parse_groups(groups, selection.domains or tuple(dict.fromkeys(row.domain for row in rows)))
    found = given if given.of else find_groups(workspace, selection.domains, sources, experiment)
    return assemble(selection, rows, look, facts=replace(facts, groups=found))


def of_experiment(
    workspace: Workspace, points: Sequence[AdaptationPoint], experiment: str | None
) -> Sequence[AdaptationPoint]:
    """The points of the runs that an experiment asked for, whoever asked first; ConfigError for one there is not."""
    if experiment is None:
        return points
    from odyssey_tui.services.matrix_source import runs_of

    runs = runs_of(workspace, experiment, {point.experiment for point in points})
    return [point for point in points if point.experiment == experiment or point.owner in runs]


def read_surroundings(con: Connection) -> Surroundings:
    """How runs came about, and the texts they were scored on."""
    from store.queries.domain_facts import base_states, read_recipes
    from store.queries.tokenizers import list_texts, name_tokenizers

    texts = {text.eval_set_id: text for text in list_texts(con)}
    return Surroundings(read_recipes(con), base_states(con), texts, name_tokenizers(con))


def read_facts(con: Connection, points: Sequence[AdaptationPoint]) -> tuple[Facts, dict[str, str]]:
    """What is known of these points besides their losses; and the source of each corpus."""
    from store.queries.corpora import list_corpora
    from store.queries.domain_facts import read_scored, training_tokens

    corpora = list_corpora(con)
    counted: dict[str, set[int]] = {}
    for corpus in corpora:
        if "train" in corpus.tokens:
            counted.setdefault(corpus.name, set()).add(corpus.tokens["train"])
    evaluations = [one for point in points for one in (point.evaluation_id, point.zero_shot_evaluation_id)]
    facts = Facts(
        read_scored(con, evaluations),
        training_tokens(con, {point.owner for point in points}),
        {name: tokens.pop() for name, tokens in counted.items() if len(tokens) == 1},
    )
    return facts, {corpus.name: corpus.source for corpus in corpora}


def assemble(selection: Selection, rows: Sequence[Similarity], look: Look, *, facts: Facts | None = None) -> Scatter:
    """The scatter of the models shown."""
    if not selection.shown:
        return Scatter(None, reason=selection.reason, hint=selection.hint)
    facts = facts or Facts()
    fair = weigh([cell.tokenizer_id for cell in selection.shown])
    units = tuple(UNITS) if fair.per_token else (BITS,)
    unit = UNITS[look.unit if look.unit in units else BITS]
    runs = {cell: gather_runs(selection.cells[cell]) for cell in selection.shown}
    zero_shot = partial(zero_shot_loss, unit=BITS if unit.name == BITS else NATS, facts=facts)
    placements = place_all(rows, {cell: found.by_domain for cell, found in runs.items()}, zero_shot)
    chosen = choose_view(placements, look.measure, look.embedder)
    shown = name_shown(selection)
    names = [model.name for model in shown]
    drawn, lacking = make_all(shown, runs, placements[chosen], unit.name, facts)
    missing = (*explain_missing(selection.domains, runs, shown), *lacking)
    table = tabulate(drawn, names, unit.change)
    notes = [
        fair.sentence if fair.per_token else tell_tokenizers(selection),
        COUPLING if chosen.measure == ZERO_SHOT else "",
        DEPENDENT if len(shown) > 1 else "",
        tell_left_out(selection) if look.pooled else "",
        *tell_texts(runs, {one: text_of(text) for one, text in selection.around.texts.items()}),
    ]
    samples = [placed.n_samples for placed in placements[chosen].domains.values()]
    return Scatter(
        chosen,
        placements[chosen].encoder,
        placements[chosen].reference,
        min(samples, default=0),
        unit,
        units,
        look.pooled,
        shown,
        describe(selection, selection.models),
        describe(selection, selection.by_coverage()),
        with_influence(drawn, table),
        missing,
        tuple(find_all(table)) if drawn else (),
        summarise_groups(table),
        facts.groups.origin,
        draw_line(table.sample()),
        tuple(agree(placements, shown, runs, unit, facts)),
        tuple(note for note in notes if note),
        "" if drawn else "No domain has both a place and a change of loss here.",
        "" if drawn else "; ".join(missing[:4]),
    )


def agree(
    placements: Mapping[View, Placement], shown: Sequence[Model], runs: Mapping[Cell, Runs], unit: Unit, facts: Facts
) -> Iterator[Agreement]:
    """The main correlation through every view."""
    for view, placement in placements.items():
        points, _ = make_all(shown, runs, placement, unit.name, facts)
        table = tabulate(points, [model.name for model in shown], unit.change)
        yield Agreement(view, correlate(table.sample()))


def make_all(
    shown: Sequence[Model], runs: Mapping[Cell, Runs], placement: Placement, unit: str, facts: Facts
) -> tuple[list[Point], list[str]]:
    """The points of every model shown, and what is missing; said of the model where there are several."""
    points, missing = [], []
    for model in shown:
        made, lacking = make_points(model.cell, model.name, runs[model.cell], placement, unit, facts)
        points += made
        missing += [f"{line} ({model.name})" for line in lacking] if len(shown) > 1 else lacking
    return points, missing


def tell_tokenizers(selection: Selection) -> str:
    """Why changes are in bits per byte."""
    count = len({cell.tokenizer_id for cell in selection.shown if cell.tokenizer_id is not None})
    return f"{count} different tokenizers: losses per token cannot be compared, so changes are in bits per byte"


def name_shown(selection: Selection) -> tuple[Model, ...]:
    """The models shown: one by what tells it from all others, several by what tells them from each other."""
    if len(selection.shown) > 1:
        return describe(selection, selection.shown)
    known = describe(selection, list(dict.fromkeys([*selection.models, *selection.shown])))
    return tuple(model for model in known if model.cell in selection.shown)


def zero_shot_loss(runs: Sequence[AdaptationPoint], *, unit: str, facts: Facts) -> float | None:
    """The mean loss of a domain's base states."""
    losses = convert(list(runs), unit, facts.scored)
    return None if losses is None else losses.before
