"""A network's comparators in an order, and where wires wait, for fewer registers than there are wires."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from varangian.kernels.networks import Comparator

RECENT = 7
"""Wires that count as just used: with about so many, fewest have to wait, whatever the registers."""


class Turn(NamedTuple):
    """A comparator, and the wires that leave their registers after it and must be kept elsewhere."""

    comparator: Comparator
    leaving: list[int]


def turns(network: Sequence[Comparator], registers: int, read: Collection[int]) -> list[Turn]:
    """Return the network's comparators in the order in which they are done; on each wire it is the network's.

    A comparator finds its wires in registers, or fetches them. What leaves is what is needed last, and only
    if it is needed: by a comparator, or because its wire is ``read`` in the end.
    """
    wires = {wire for comparator in network for wire in comparator[:2]}
    order = network if len(wires) <= registers else in_order(network)
    needed: dict[int, list[int]] = {}
    for time in reversed(range(len(order))):
        for wire in order[time][:2]:
            needed.setdefault(wire, [len(order)] if wire in read else []).append(time)
    held: set[int] = set()
    found = []
    for time, comparator in enumerate(order):
        for wire in comparator[:2]:
            needed[wire].pop()
        coming = {wire for following in order[time + 1 : time + 2] for wire in following[:2]}
        held = {wire for wire in held.union(comparator[:2]) if needed[wire]}
        leaving = sorted(held - coming, key=lambda wire: (needed[wire][-1], wire))[registers - len(coming) :]
        held -= set(leaving)
        found.append(Turn(comparator, leaving))
    return found


def in_order(network: Sequence[Comparator]) -> list[Comparator]:
    """Return the comparators so that few wires are in use at a time: next is one whose wires just were."""
    waiting: dict[int, list[int]] = {}
    for place in reversed(range(len(network))):
        for wire in network[place][:2]:
            waiting.setdefault(wire, []).append(place)

    def first(wire: int) -> set[int]:
        """Return the wire's next comparator, if its other wire waits for the same."""
        places = waiting[wire][-1:]
        return {place for place in places if all(waiting[one][-1] == place for one in network[place][:2])}

    ready = set[int]().union(*map(first, waiting))
    used: list[int] = []
    order = []
    while ready:
        recent = used[-RECENT:]
        best = min(ready, key=lambda place: (sum(wire not in recent for wire in network[place][:2]), place))
        wires = network[best][:2]
        for wire in wires:
            waiting[wire].pop()
        ready = (ready - {best}).union(*map(first, wires))
        used = [wire for wire in used if wire not in wires] + [wire for wire in wires if waiting[wire]]
        order.append(network[best])
    return order
