"""One value per peer and topic, and no more than a few topics of each peer at once."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import numpy as np

from varangian.protocols.message import GONE, NOBODY, Body, Kind, Message, Topic

WINDOW = 4


class Refusal(Enum):
    """Why a value was not taken."""

    UNKNOWN = "of a kind that nobody agreed on"
    STRANGER = "of a kind that its sender has no say in"
    MALFORMED = "of another type or length than agreed"
    LATE = "about a step that is over"
    REPEATED = "sent before"
    CONFLICTING = "another one on the same topic"
    OVERTAKEN = "older than all that is kept of its sender"


class Mailbox:
    """What has arrived and may still be needed.

    Of each peer, kind and subject the ``window`` newest topics are kept: what a peer sends takes room from
    itself alone, however much it sends and whatever steps it claims.
    """

    def __init__(self, kinds: Mapping[str, Kind], window: int = WINDOW) -> None:
        self.kinds, self.window, self.evicted = dict(kinds), window, 0
        self.step = self.floor = 0
        self._missed: dict[int, int] = {}
        self._values: dict[Topic, dict[int, Body]] = {}
        self._held: dict[tuple[int, str, int], list[Topic]] = {}

    def put(self, message: Message) -> Refusal | None:
        """Keep a value, or say why not."""
        topic, sender = message.topic, message.sender
        refusal = self.refusal(sender, topic)
        if refusal is None and not self.kinds[topic.kind].form.admits(message.body):
            refusal = Refusal.MALFORMED
        if refusal is Refusal.REPEATED and not np.array_equal(
            self._values[topic][sender], message.body, equal_nan=message.body.dtype.kind == "f"
        ):
            return Refusal.CONFLICTING
        if refusal is not None or not self.kinds[topic.kind].kept:
            return refusal
        if topic.kind == GONE:
            self._miss(sender, topic.step)
        self._values.setdefault(topic, {})[sender] = message.body
        held = self._held.setdefault((sender, topic.kind, topic.subject), [])
        held.append(topic)
        if len(held) > self.window:
            self._drop(sender, held, min(held))
        return None

    def refusal(self, sender: int, topic: Topic) -> Refusal | None:
        """Say why a value on a topic would not be taken from a peer, before it is read."""
        kind = self.kinds.get(topic.kind)
        if kind is None:
            return Refusal.UNKNOWN
        if sender not in kind.senders or topic.subject not in kind.subjects:
            return Refusal.STRANGER
        if not kind.kept:
            return None
        if topic.step < self.floor:
            return Refusal.LATE
        if self.has(topic, sender):
            return Refusal.REPEATED
        held = self._held.get((sender, topic.kind, topic.subject), ())
        return Refusal.OVERTAKEN if len(held) >= self.window and topic < min(held) else None

    def on(self, topic: Topic) -> dict[int, Body]:
        """Return what has arrived on a topic, by sender, in the order of their numbers."""
        values = self._values.get(topic, {})
        return {sender: values[sender] for sender in sorted(values)}

    def has(self, topic: Topic, sender: int) -> bool:
        """Tell whether a peer's value on a topic is there."""
        return sender in self._values.get(topic, ())

    def count(self, topic: Topic) -> int:
        """Return how many have spoken on a topic."""
        return len(self._values.get(topic, ()))

    def topics(self, kind: str) -> list[Topic]:
        """Return the topics of a kind on which somebody has spoken."""
        return [topic for topic in self._values if topic.kind == kind]

    def newest(self, kind: str, enough: int) -> Topic | None:
        """Return the last topic of a kind on which enough have spoken, if there is one."""
        return max((topic for topic in self.topics(kind) if self.count(topic) >= enough), default=None)

    @property
    def gaps(self) -> bool:
        """Tell whether something that an honest peer said of this step or a later one is gone.

        It had to make room here, or its sender says that it does not keep it. A liar can push out no word but
        its own; when more than may lie have pushed, one of them is honest.
        """
        missed = {sender for sender, step in self._missed.items() if step >= self.step}
        return bool(missed) and any(len(missed & kind.senders) > kind.liars for kind in self.kinds.values())

    def forget(self, before: int, past: int = 0) -> None:
        """Go to a step: drop what is about earlier ones, but the ``past`` last, and refuse it from now on."""
        self.step = max(self.step, before)
        before -= past
        if before <= self.floor:
            return
        self.floor = before
        self._values = {topic: values for topic, values in self._values.items() if topic.step >= before}
        held = ((key, [t for t in topics if t.step >= before]) for key, topics in self._held.items())
        self._held = {key: topics for key, topics in held if topics}

    def _miss(self, sender: int, step: int) -> None:
        self._missed[sender] = max(step, self._missed.get(sender, step))

    def _drop(self, sender: int, held: list[Topic], topic: Topic) -> None:
        self.evicted += 1
        if topic.subject == NOBODY:
            self._miss(sender, topic.step)
        held.remove(topic)
        del self._values[topic][sender]
        if not self._values[topic]:
            del self._values[topic]
