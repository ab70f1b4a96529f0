"""How a party lies on the wire, as values: what it sends instead of what its protocol says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from varangian.core.checks import check_fields
from varangian.core.randomness import Stream
from varangian.protocols.message import Alarm, Body, Message, Output
from varangian.protocols.node import Node


class Fault(ABC):
    """What becomes of each message of a lying party."""

    def __post_init__(self) -> None:
        check_fields(self)

    @abstractmethod
    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return what is sent instead."""


@dataclass(frozen=True)
class Silent(Fault):
    """Say nothing."""

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return nothing."""
        return []


@dataclass(frozen=True)
class Noise(Fault):
    """Send random numbers of a scale: others to every peer, if it equivocates."""

    scale: float = 10.0

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return numbers drawn for this message."""
        return [message._replace(body=_random(message.body, rng, self.scale))]


@dataclass(frozen=True)
class Reversed(Fault):
    """Send the negative of the truth, ``factor`` times."""

    factor: float = 10.0

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return a multiple of the truth."""
        body = message.body
        return [message._replace(body=-np.asarray(self.factor, body.dtype) * body if _real(body) else ~body)]


@dataclass(frozen=True)
class Equivocating(Fault):
    """Tell half of the peers the truth, and each other one something else."""

    scale: float = 10.0

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return the truth for peers of an even number."""
        if message.receiver % 2 == 0:
            return [message]
        body = message.body
        lie = _random(body, rng, self.scale)
        return [message._replace(body=body + lie if _real(body) else lie)]


@dataclass(frozen=True)
class NotANumber(Fault):
    """Send NaN wherever there is a number."""

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return NaN."""
        body = message.body
        return [message._replace(body=np.full_like(body, np.nan) if _real(body) else body)]


@dataclass(frozen=True)
class Misdated(Fault):
    """Speak of other steps: ``by`` later, or earlier if it is negative."""

    by: int = 1

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return the message with another step."""
        return [message._replace(topic=message.topic._replace(step=message.topic.step + self.by))]


@dataclass(frozen=True)
class Misshapen(Fault):
    """Send a value too long, too short, or of another type."""

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return one of several malformed bodies."""
        body = message.body
        bodies = [body[:-1], np.concatenate([body, body[:1]]), body.astype(np.float16), body[None]]
        return [message._replace(body=bodies[int(rng.integers(len(bodies)))])]


@dataclass(frozen=True)
class Flooding(Fault):
    """Say everything, and ``times`` as much about other steps and kinds that do not exist."""

    times: int = 10

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return the message among many."""
        topic = message.topic
        junk = [
            message._replace(
                topic=topic._replace(
                    step=int(rng.integers(1 << 40)), kind=(topic.kind, "junk")[k % 2], subject=topic.subject
                )
            )
            for k in range(self.times)
        ]
        return [message, message, *junk]


@dataclass(frozen=True)
class Replaying(Fault):
    """Give new topics the first value ever sent of their kind, and say everything twice."""

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return the message twice: ``Liar`` has put the old value into it."""
        return [message, message]


class Liar(Node):
    """A node whose messages a fault bends; whatever else it has is the honest node's."""

    def __init__(self, node: Node, fault: Fault, stream: Stream) -> None:
        self.node, self.fault = node, fault
        self._rng = stream.at("fault", party=node.party).numpy()
        self._first: dict[str, Body] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    def start(self) -> list[Output]:
        """Start, and lie."""
        return self._bent(self.node.start())

    def receive(self, message: Message) -> list[Output]:
        """Take a value, and lie."""
        return self._bent(self.node.receive(message))

    def ring(self, alarm: Alarm) -> list[Output]:
        """Go on after an alarm, and lie."""
        return self._bent(self.node.ring(alarm))

    def proceed(self) -> list[Output]:
        """Go on, and lie."""
        return self._bent(self.node.proceed())

    def state(self) -> dict[str, Any]:
        """Return what the node needs."""
        return self.node.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state of the node."""
        self.node.restore(state)

    def again(self, peer: int) -> list[Output]:
        """Repeat what was said, bent once more."""
        return self._bent(self.node.again(peer))

    def _bent(self, outputs: list[Output]) -> list[Output]:
        bent: list[Output] = []
        for output in outputs:
            if isinstance(output, Alarm):
                bent.append(output)
                continue
            if isinstance(self.fault, Replaying):
                first = self._first.setdefault(output.topic.kind, output.body)
                output = output._replace(body=first)  # noqa: PLW2901
            bent += self.fault.bend(output, self._rng)
        return bent


FAULTS: tuple[type[Fault], ...] = (
    Silent,
    Noise,
    Reversed,
    Equivocating,
    NotANumber,
    Misdated,
    Misshapen,
    Flooding,
    Replaying,
)
"""All faults."""


def _real(body: Body) -> bool:
    return bool(body.dtype.kind == "f")


def _random(body: Body, rng: np.random.Generator, scale: float) -> Body:
    numbers = scale * rng.standard_normal(body.shape) if _real(body) else rng.integers(0, 256, body.shape)
    return np.asarray(numbers).astype(body.dtype)
