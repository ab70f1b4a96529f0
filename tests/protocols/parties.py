"""Small nodes and messages for the tests of the protocols, and a way to carry messages by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from varangian.engines.network.histories import rules
from varangian.engines.network.histories.quadratic import Holder, Puller
from varangian.protocols import Body, Form, Message, Node, Output, Task, Topic

FORM = Form(np.dtype(np.float64), 1)


def body(number: float) -> Body:
    """Return one number as a body."""
    return np.array([float(number)])


def message(sender: int, topic: Topic, number: float, receiver: int = 0) -> Message:
    """Return a message that carries one number."""
    return Message(sender, receiver, topic, body(number))


def task(steps: int = 3, goal: float = 1.0) -> Task:
    """Return a task of one number, with the rules of one liar."""
    return Task(
        form=FORM,
        steps=steps,
        learner=lambda number: Puller(body(goal + number)),
        keeper=lambda: Holder(body(0.0), rules.mean, frozenset(range(99))),
        middle=rules.median,
        reduce=lambda vectors: rules.least_diameter_mean(vectors, 1),
    )


def sent(outputs: Iterable[Output]) -> list[Message]:
    """Return the messages among outputs."""
    return [one for one in outputs if isinstance(one, Message)]


def carry(
    nodes: dict[int, Node], outputs: Iterable[Output], passes: Callable[[Message], bool] = lambda _: True
) -> list[Message]:
    """Deliver messages in the order of sending until there are none; return those that did not pass."""
    held: list[Message] = []
    queue = sent(outputs)
    while queue:
        one = queue.pop(0)
        if one.receiver not in nodes:
            continue
        if passes(one):
            queue += sent(nodes[one.receiver].receive(one))
        else:
            held.append(one)
    return held
