"""The order in which waiting runs start, and how a person changes it."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from engine.launch.tickets import Order, Ticket

STEP_S = 1e-3
"""Runs moved to an end of the queue stand this far apart."""
Needs = Mapping[str, Sequence[str]]


def line_up(orders: Mapping[str, Order], needs: Needs) -> list[str]:
    """Runs by their tickets' order, but each behind those of them that it needs."""
    unmet = {run_id: sum(need in orders for need in needs[run_id]) for run_id in orders}
    waiting_for: dict[str, list[str]] = defaultdict(list)
    for run_id in orders:
        for need in needs[run_id]:
            waiting_for[need].append(run_id)
    ready = [(orders[run_id], run_id) for run_id in orders if not unmet[run_id]]
    heapq.heapify(ready)
    line: list[str] = []
    while ready:
        _, run_id = heapq.heappop(ready)
        line.append(run_id)
        for waiting in waiting_for[run_id]:
            unmet[waiting] -= 1
            if not unmet[waiting]:
                heapq.heappush(ready, (orders[waiting], waiting))
    # Specifications edited by hand may need each other in a circle: such runs never start, but they are there.
    stuck = orders.keys() - set(line) if len(line) < len(orders) else ()
    return line + sorted(stuck, key=orders.__getitem__)


def move(tickets: Mapping[str, Ticket], needs: Needs, chosen: Collection[str], where: str) -> list[Ticket]:
    """The tickets that change when ``chosen`` runs move ``up`` or ``down`` by one, to the ``top`` or the ``bottom``.

    What a run needs goes ahead with it when it moves up; what needs it falls behind with it when it moves down.
    """
    chosen = [run_id for run_id in tickets if run_id in set(chosen)]
    if not chosen:
        return []
    moved = _MOVES[where](dict(tickets), needs, chosen)
    return [ticket for run_id, ticket in moved.items() if ticket != tickets[run_id]]


def _to_top(tickets: dict[str, Ticket], needs: Needs, chosen: Sequence[str]) -> dict[str, Ticket]:
    group = set(chosen)
    while wanted := {need for run_id in group for need in needs[run_id] if need in tickets} - group:
        group |= wanted
    line = line_up({run_id: ticket.order for run_id, ticket in tickets.items()}, needs)
    level, since, work, _ = min(ticket.order for ticket in tickets.values())[:4]
    moving = [run_id for run_id in line if run_id in group]
    for index, run_id in enumerate(moving):
        tickets[run_id] = tickets[run_id].moved_to((level, since - (len(moving) - index) * STEP_S, work, ""))
    return tickets


def _to_bottom(tickets: dict[str, Ticket], needs: Needs, chosen: Sequence[str]) -> dict[str, Ticket]:
    line = line_up({run_id: ticket.order for run_id, ticket in tickets.items()}, needs)
    level, since, work, _ = max(ticket.order for ticket in tickets.values())[:4]
    moving = [run_id for run_id in line if run_id in chosen]
    for index, run_id in enumerate(moving):
        tickets[run_id] = tickets[run_id].moved_to((level, since + (index + 1) * STEP_S, work, ""))
    return tickets


def _up(tickets: dict[str, Ticket], needs: Needs, chosen: Sequence[str]) -> dict[str, Ticket]:
    return _swap_along(tickets, needs, set(chosen), line_of=lambda line: line, first=lambda a, b: b in needs[a])


def _down(tickets: dict[str, Ticket], needs: Needs, chosen: Sequence[str]) -> dict[str, Ticket]:
    return _swap_along(tickets, needs, set(chosen), line_of=lambda line: line[::-1], first=lambda a, b: a in needs[b])


def _swap_along(
    tickets: dict[str, Ticket],
    needs: Needs,
    chosen: set[str],
    *,
    line_of: Callable[[list[str]], list[str]],
    first: Callable[[str, str], bool],
) -> dict[str, Ticket]:
    """Swap each chosen run with the one before it in ``line_of``; where ``first`` says so, that one moves first."""
    orders = {run_id: ticket.order for run_id, ticket in tickets.items()}
    line = line_of(line_up(orders, needs))

    def step(index: int) -> None:
        """Move the run at ``index`` one place towards the start of the line."""
        if index == 0 or line[index - 1] in chosen:
            return
        run_id, other = line[index], line[index - 1]
        if first(run_id, other):
            chosen.add(other)
            step(index - 1)
            if line[index - 1] != other:
                step(index)
            return
        line[index - 1], line[index] = run_id, other
        orders[run_id], orders[other] = orders[other], orders[run_id]

    for run_id in [run_id for run_id in line if run_id in chosen]:
        step(line.index(run_id))
    return {
        run_id: ticket if orders[run_id] == ticket.order else ticket.moved_to(orders[run_id])
        for run_id, ticket in tickets.items()
    }


_MOVES: Mapping[str, Callable[[dict[str, Ticket], Needs, Sequence[str]], dict[str, Ticket]]] = {
    "up": _up,
    "down": _down,
    "top": _to_top,
    "bottom": _to_bottom,
}
