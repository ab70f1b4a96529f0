"""What parties say to each other: values about a topic, in a form that was agreed beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOBODY = -1
"""The subject of a value that is about no party."""
GONE = "gone"
"""A value of no numbers: of what its sender said up to the topic's step, something is not kept any more."""

Body = NDArray[Any]
"""What is carried: one axis of numbers. A message shares its body with its sender and is never written to."""


class Topic(NamedTuple):
    """What a value is about; topics sort as a protocol runs: by step, then by round.

    ``subject`` is the party that a value is about, where parties speak of each other.
    """

    step: int
    kind: str
    round: int = 0
    subject: int = NOBODY


class Message(NamedTuple):
    """One value on its way. ``sender`` is who the channel says it is, whatever the message claims."""

    sender: int
    receiver: int
    topic: Topic
    body: Body


class Alarm(NamedTuple):
    """A node's wish to be told when some seconds have passed, with the topic it had in mind."""

    after: float
    topic: Topic


Output = Message | Alarm
NOTHING = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class Form:
    """The type and the length of a value: what does not fit is refused unread.

    >>> Form(np.dtype("float32"), 3).admits(np.zeros(3, np.float64))
    False
    """

    dtype: np.dtype[Any]
    length: int

    def admits(self, body: object) -> bool:
        """Tell whether a body is what was agreed."""
        return isinstance(body, np.ndarray) and body.dtype == self.dtype and body.shape == (self.length,)

    @property
    def size(self) -> int:
        """Return how many bytes a value takes."""
        return self.dtype.itemsize * self.length


@dataclass(frozen=True)
class Kind:
    """One sort of value: its form, who may send it, about whom, and how many of the senders may lie.

    What is not ``kept`` is a question, answered at once: it is never late, and may be asked again.
    """

    form: Form
    senders: frozenset[int]
    subjects: frozenset[int] = frozenset({NOBODY})
    liars: int = 0
    kept: bool = True


NO_NUMBERS = Form(NOTHING.dtype, 0)
