"""Reliable broadcast: all honest parties take the same value from an origin, or none takes any."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from varangian.core.conditions import Condition
from varangian.protocols.group import Group
from varangian.protocols.message import Body, Form, Kind, Message, Output, Topic
from varangian.protocols.node import Node

INIT, ECHO, READY = "init", "echo", "ready"
FEW = 64
DIGEST = Form(np.dtype(np.uint8), 32)


def digest(body: Body) -> bytes:
    """Return what stands for a value: its SHA-256."""
    return hashlib.sha256(np.ascontiguousarray(body).data).digest()


def kinds(group: Group, form: Form) -> dict[str, Kind]:
    """Return what the parties of a reliable broadcast say to each other."""
    parties = frozenset(group.parties)
    return {
        INIT: Kind(form, parties, liars=group.f),
        ECHO: Kind(form, parties, parties, group.f),
        READY: Kind(DIGEST, parties, parties, group.f),
    }


@dataclass
class _Instance:
    """What one party knows of one broadcast."""

    echoes: Counter[bytes] = field(default_factory=Counter)
    readies: Counter[bytes] = field(default_factory=Counter)
    values: dict[bytes, Body] = field(default_factory=dict)
    echoed: bool = False
    ready: bool = False
    delivered: bool = False


class ReliableBroadcast:
    """Bracha's broadcast among n >= 3f + 1 parties, one for each origin and topic.

    INIT carries the value; ECHO repeats it to all; READY, its digest only, follows ceil((n + f + 1) / 2)
    echoes or f + 1 READYs; 2f + 1 READYs deliver. ``delivered`` holds the values by topic, then origin.
    The node whose part this is has made sure of one value per peer and topic. A party takes part in what its
    mailbox still takes, also when it has gone on itself: the others may need its word. What a liar says of
    topics that nobody else knows is forgotten with the mailbox's room for it.

    Reference   Bracha, Information and Computation 75(2), 1987
    """

    condition = staticmethod(lambda f: Condition(3 * f + 1, "n >= 3f + 1"))

    def __init__(self, node: Node, group: Group) -> None:
        self.node, self.group = node, group
        n, f = group.n, group.f
        self.echoes, self.readies, self.sure = (n + f + 2) // 2, f + 1, 2 * f + 1
        self.delivered: dict[Topic, dict[int, Body]] = {}
        self._instances: dict[tuple[Topic, int], _Instance] = {}
        self._room = FEW

    def send(self, topic: Topic, value: Body) -> list[Output]:
        """Broadcast a value of one's own, or that of before a restart; ``topic`` tells the step and round."""
        init, me = topic._replace(kind=INIT), self.node.party
        before = self.node.mailbox.on(init).get(me)
        if before is not None:
            return self._hear(me, init, before)
        return [*self.node.tell(self.group.parties, init, value), *self._hear(me, init, value)]

    def receive(self, message: Message) -> list[Output]:
        """Take an INIT, an ECHO or a READY."""
        return self._hear(message.sender, message.topic, message.body)

    def recall(self, said: Mapping[Topic, Body]) -> None:
        """Stand by the ECHOs and READYs of before a restart: a second one would break all that is proven."""
        for topic, body in said.items():
            if topic.kind not in (ECHO, READY) or not self.node.mailbox.has(topic, self.node.party):
                continue
            init = Topic(topic.step, INIT, topic.round)
            one = self._instances.setdefault((init, topic.subject), _Instance())
            if topic.kind == READY:
                one.ready = True
                one.readies[body.tobytes()] += 1
            else:
                one.echoed = True
                one.values[digest(body)] = body
                one.echoes[digest(body)] += 1

    def forget(self) -> None:
        """Drop what the mailbox has nothing of any more."""
        self._instances = {key: one for key, one in self._instances.items() if self._kept(*key)}
        self._room = max(FEW, 2 * len(self._instances))
        floor = self.node.mailbox.floor
        self.delivered = {topic: values for topic, values in self.delivered.items() if topic.step >= floor}

    def _kept(self, init: Topic, origin: int) -> bool:
        box = self.node.mailbox
        about = (Topic(init.step, kind, init.round, origin) for kind in (ECHO, READY))
        return box.has(init, origin) or any(box.count(topic) for topic in about)

    def _hear(self, sender: int, topic: Topic, body: Body) -> list[Output]:
        origin = sender if topic.kind == INIT else topic.subject
        init = Topic(topic.step, INIT, topic.round)
        if len(self._instances) > self._room:
            self.forget()
        one = self._instances.get((init, origin))
        if one is None:
            one = self._instances[init, origin] = _Instance()
        if topic.kind == READY:
            one.readies[body.tobytes()] += 1
            return self._further(init, origin, one)
        name = digest(body)
        one.values.setdefault(name, body)
        if topic.kind == ECHO:
            one.echoes[name] += 1
            return self._further(init, origin, one)
        return [] if one.echoed else self._echo(init, origin, one, name)

    def _echo(self, init: Topic, origin: int, one: _Instance, name: bytes) -> list[Output]:
        one.echoed = True
        one.echoes[name] += 1
        topic = Topic(init.step, ECHO, init.round, origin)
        said = self.node.tell(self.group.parties, topic, one.values[name])
        return [*said, *self._further(init, origin, one)]

    def _further(self, init: Topic, origin: int, one: _Instance) -> list[Output]:
        """Say READY, and deliver, where there is enough for it."""
        said: list[Output] = []
        if not one.ready:
            enough = _most(one.echoes, self.echoes) or _most(one.readies, self.readies)
            if enough is None:
                return said
            one.ready = True
            one.readies[enough] += 1
            topic = Topic(init.step, READY, init.round, origin)
            said = self.node.tell(self.group.parties, topic, np.frombuffer(enough, np.uint8))
        sure = _most(one.readies, self.sure)
        if sure is not None and sure in one.values and not one.delivered:
            one.delivered = True
            self._deliver(init, origin, one.values[sure])
        return said

    def _deliver(self, init: Topic, origin: int, value: Body) -> None:
        """Keep a value, among the newest of its origin."""
        self.delivered.setdefault(init, {})[origin] = value
        theirs = [topic for topic, values in self.delivered.items() if origin in values]
        if len(theirs) > self.node.mailbox.window:
            oldest = self.delivered[min(theirs)]
            del oldest[origin]


class Broadcaster(Node):
    """A party that broadcasts one value of its own, if any, and waits for everybody's.

    >>> group = Group("party", 4, f=1)
    >>> said = kinds(group, Form(np.dtype("float32"), 2))
    >>> Broadcaster(0, said, group, np.ones(2, np.float32)).start()[0].topic
    Topic(step=0, kind='init', round=0, subject=-1)
    """

    def __init__(
        self, party: int, kinds: Mapping[str, Kind], group: Group, value: Body | None = None
    ) -> None:
        super().__init__(party, kinds)
        self.value, self.group = value, group
        self.broadcast = ReliableBroadcast(self, group)

    @property
    def delivered(self) -> dict[int, Body]:
        """Return the values taken so far, by origin."""
        return self.broadcast.delivered.get(Topic(0, INIT), {})

    def start(self) -> list[Output]:
        """Broadcast one's own value."""
        return [] if self.value is None else self.broadcast.send(Topic(0, INIT), self.value)

    def hear(self, message: Message) -> list[Output]:
        """Answer as the broadcast asks."""
        return self.broadcast.receive(message)

    def proceed(self) -> list[Output]:
        """See whether everybody's value is there."""
        self.finished = len(self.delivered) == self.group.n
        return []


def _most(votes: Counter[bytes], least: int) -> bytes | None:
    """Return what has at least so many votes, if anything has."""
    return next((name for name, count in votes.items() if count >= least), None)
