"""Liars that choose whom to tell, and when to stop; and a count of every lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from varangian.core.randomness import Stream
from varangian.protocols import Alarm, Fault, Liar, Message, Node, Output


@dataclass(frozen=True)
class Partial(Fault):
    """Say each message with probability ``share`` only."""

    share: float = 0.5

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return the truth, or nothing."""
        return [message] if rng.random() < self.share else []


@dataclass(frozen=True)
class Fickle(Fault):
    """Help friends until a step, so that they leave the others behind, and then nobody."""

    friends: frozenset[int]
    until: int

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return the truth for friends, as long as it lasts."""
        helps = message.receiver in self.friends and message.topic.step < self.until
        return [message] if helps else []


@dataclass(frozen=True)
class Impersonating(Fault):
    """Speak in the name of others."""

    parties: int

    def bend(self, message: Message, rng: np.random.Generator) -> list[Message]:
        """Return noise with another sender's number on it."""
        lie = np.asarray(99 * rng.standard_normal(message.body.shape)).astype(message.body.dtype)
        return [message._replace(sender=int(rng.integers(self.parties)), body=lie), message]


class Counted(Liar):
    """A liar that counts the messages that it kept, changed or added, in ``lies``."""

    def __init__(self, node: Node, fault: Fault, stream: Stream, lies: Counter[str]) -> None:
        super().__init__(node, fault, stream)
        self.lies = lies

    def _bent(self, outputs: list[Output]) -> list[Output]:
        bent = super()._bent(outputs)
        truths = {id(one) for one in outputs if not isinstance(one, Alarm)}
        said = [id(one) for one in bent if not isinstance(one, Alarm)]
        name = type(self.fault).__name__
        self.lies[name] += sum(one not in truths for one in said) + len(truths.difference(said))
        return bent
