"""The order of the queue: what is shown is what starts, and what people change about it."""

from __future__ import annotations

import random

import pytest

from engine.launch import requests
from engine.launch.line import line_up, move
from engine.launch.tickets import Ticket, read_ticket, write_ticket
from store.errors import DataError

NONE: dict[str, tuple[str, ...]] = {name: () for name in "abcdef"}


def tickets(*names: str) -> dict[str, Ticket]:
    """In the order given, all of one submission."""
    return {name: Ticket(name, float(-place), 5.0) for place, name in enumerate(names)}


def line(found: dict[str, Ticket], needs=NONE) -> str:
    return "".join(line_up({name: ticket.order for name, ticket in found.items()}, needs))


def moved(found: dict[str, Ticket], chosen: str, where: str, needs=NONE) -> dict[str, Ticket]:
    return {**found, **{ticket.run_id: ticket for ticket in move(found, needs, list(chosen), where)}}


def test_levels_come_before_time_and_time_before_work():
    found = {
        "a": Ticket("a", 9.0, 1.0, level=-1.0),
        "b": Ticket("b", 1.0, 1.0),
        "c": Ticket("c", 2.0, 1.0),
        "d": Ticket("d", 9.0, 2.0),
        "e": Ticket("e", 0.0, 3.0, level=1.0),
    }
    assert line(found) == "ecbda"


@pytest.mark.parametrize(
    ("chosen", "where", "expected"),
    [
        ("c", "up", "acbd"),
        ("a", "up", "abcd"),
        ("bc", "up", "bcad"),
        ("ad", "up", "abdc"),
        ("b", "down", "acbd"),
        ("d", "down", "abcd"),
        ("bc", "down", "adbc"),
        ("c", "top", "cabd"),
        ("db", "top", "bdac"),
        ("a", "bottom", "bcda"),
        ("ca", "bottom", "bdac"),
    ],
)
def test_moves(chosen, where, expected):
    assert line(moved(tickets(*"abcd"), chosen, where)) == expected


def test_what_a_run_needs_goes_ahead_with_it():
    needs = {**NONE, "d": ("c",), "f": ("d",)}
    found = tickets(*"abcdef")
    assert line(moved(found, "d", "top", needs), needs) == "cdabef"
    assert line(moved(found, "d", "up", needs), needs) == "acdbef"
    assert line(moved(found, "c", "down", needs), needs) == "abecdf"
    # However it is moved, it stands behind what it needs.
    behind = line(moved(found, "c", "bottom", needs), needs)
    assert behind.index("c") < behind.index("d") < behind.index("f")


def test_up_and_down_undo_each_other_however_often():
    found = tickets(*"abcd")
    for _ in range(50):
        found = moved(found, "c", "up")
        found = moved(found, "c", "down")
    assert line(found) == "abcd"
    assert max(len(ticket.order) for ticket in found.values()) == 5


def test_any_sequence_of_moves_keeps_every_run_and_every_need():
    chance = random.Random(0)
    needs = {**NONE, "b": ("a",), "d": ("b", "c"), "f": ("e",)}
    found = tickets(*"abcdef")
    for _ in range(300):
        found = moved(
            found, chance.sample("abcdef", chance.randint(1, 3)), chance.choice(["up", "down", "top", "bottom"]), needs
        )
        order = line(found, needs)
        assert sorted(order) == list("abcdef")
        assert all(order.index(need) < order.index(name) for name in order for need in needs[name])


def test_a_circle_of_needs_is_listed_and_stops_nothing():
    assert line(tickets(*"abc"), {**NONE, "a": ("b",), "b": ("a",)}) == "cab"


def test_order_shown_is_order_started(bench):
    for name in "abcd":
        bench.queue(f"{name}-run", "finish")
    needy = bench.queue("e-needy", "finish", "d-run")
    requests.pause(bench.workspace)
    requests.move(bench.workspace, [needy], "top")
    requests.move(bench.workspace, ["b-run"], "up")
    requests.raise_level(bench.workspace, ["c-run"], 1.0)
    dispatcher = bench.dispatcher()
    dispatcher.tick()
    shown = [entry.run_id for entry in dispatcher.queued()]
    assert shown == ["c-run", "d-run", "e-needy", "b-run", "a-run"]
    requests.resume(bench.workspace)
    # A scheduler that comes later finds the same order in the files.
    later = bench.dispatcher()
    later.tick()
    bench.until(lambda: all(bench.state(run_id) == "done" for run_id in shown), later)
    assert sorted(shown, key=lambda run_id: bench.workspace.run(run_id).state().started) == shown


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"run_id": "a"}', '{"run_id": "b", "priority": 1, "enqueued": 1}',
                '{"run_id": "a", "priority": "x", "enqueued": 1}',
                '{"run_id": "a", "priority": 1, "enqueued": 1, "place": [1]}']
)  # fmt: skip
def test_a_damaged_ticket_is_named_and_holds_its_run_alone(bench, content):
    bench.queue("a", "finish")
    other = bench.queue("b-other", "finish")
    (bench.workspace.tickets / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"tickets/a\.json"):
        read_ticket(bench.workspace, "a")
    dispatcher = bench.dispatcher()
    bench.until(lambda: bench.state(other) == "done", dispatcher)
    assert bench.state("a") == "held"
    assert bench.reason("a").startswith("its ticket cannot be read")
    requests.cancel(bench.workspace, ["a"])
    bench.until(lambda: bench.state("a") == "cancelled", dispatcher)
    bench.until(lambda: not list(bench.workspace.tickets.iterdir()), dispatcher)


def test_tickets_come_back_as_they_were_written(bench):
    bench.queue("a", "finish")
    ticket = Ticket("a", 1.5, 2.5, 1.0, (0.0, 1.0, -2.0, "b"), held=True, code={"hash": "x"})
    write_ticket(bench.workspace, ticket)
    assert read_ticket(bench.workspace, "a") == ticket
