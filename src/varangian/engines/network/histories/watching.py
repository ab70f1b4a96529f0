"""What is seen of a history from outside: every delivery, and what honest parties told each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

from varangian.engines.network.histories.broken import Broken
from varangian.engines.network.histories.scenario import Scenario
from varangian.engines.network.network import Delivery, Network
from varangian.protocols import Body, Message, Node, Refusal
from varangian.protocols.answering import ASK
from varangian.protocols.server import GATHER, MODEL

AGAIN = (Refusal.REPEATED, Refusal.CONFLICTING)


class _Second(NamedTuple):
    """A delivery on a topic on which the receiver has a value already, and what must come of it."""

    node: Node
    message: Message
    kept: Body
    refused: int


class Watch:
    """Look at each delivery: one value per peer and topic, refused and counted ever after.

    ``told`` holds what servers said of their models, by kind and step; ``asked`` whom each worker asked.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.steady = scenario.honest.difference(crash.party for crash in scenario.crashes)
        self.network: Network | None = None
        self.deliveries: list[Delivery] | None = None
        self.count = 0
        self.seen: Counter[str] = Counter()
        self.told: dict[tuple[str, int], dict[int, Body]] = {}
        self.asked: dict[tuple[int, int], set[int]] = {}
        self._said: dict[tuple[Hashable, ...], Body] = {}
        self._named = scenario.protocol == "crash-tolerant"
        self._second: _Second | None = None

    def __call__(self, delivery: Delivery) -> None:
        """Take a delivery, just before the party does. Raises Broken."""
        self.settle()
        self.count += 1
        if self.deliveries is not None:
            self.deliveries.append(delivery)
        if isinstance(delivery.what, Message):
            self._hear(delivery.what)

    def settle(self) -> None:
        """See what the last delivery has changed that it must not. Raises Broken."""
        if self._second is None:
            return
        (node, message, kept, refused), self._second = self._second, None
        now = node.mailbox.on(message.topic).get(message.sender)
        if now is not None and now is not kept:
            raise Broken(
                "one value", f"{message.topic} of {message.sender} was replaced at {message.receiver}"
            )
        if sum(node.refused[message.sender, why] for why in AGAIN) != refused + 1:
            raise Broken("one value", f"a second {message.topic} of {message.sender} was not counted")

    def _hear(self, message: Message) -> None:
        sender, receiver, topic, body = message
        if receiver in self.scenario.honest and topic.kind != ASK:
            node = self._node(receiver)
            if node.mailbox.has(topic, sender):
                refused = sum(node.refused[sender, why] for why in AGAIN)
                self._second = _Second(node, message, node.mailbox.on(topic)[sender], refused)
                self.seen["second values"] += 1
        if topic.kind == MODEL and self._named:
            self._compare((topic,), body, "others told another model on it")
        if sender not in self.steady:
            return
        self._compare((sender, receiver, topic), body, f"honest {sender} told {receiver} two values on it")
        if topic.kind in (MODEL, GATHER) and not self._named:
            self._compare((sender, topic), body, f"honest {sender} told others something else on it")
            self.told.setdefault((topic.kind, topic.step), {})[sender] = body
        elif topic.kind == ASK:
            self.asked.setdefault((sender, topic.step), set()).add(receiver)

    def _compare(self, name: tuple[Hashable, ...], body: Body, how: str) -> None:
        """Hold a value to what was heard under the same name."""
        known = self._said.setdefault(name, body)
        if known is not body and known.tobytes() != body.tobytes():
            raise Broken("one value", f"{name[-1]}: {how}")

    def _node(self, party: int) -> Node:
        assert self.network is not None
        return self.network.nodes[party]
