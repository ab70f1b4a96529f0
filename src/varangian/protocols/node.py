"""A party's side of a protocol, without input or output: what comes in, and what it says next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from varangian.protocols.mailbox import WINDOW, Mailbox, Refusal
from varangian.protocols.message import (
    GONE,
    NOBODY,
    NOTHING,
    Alarm,
    Body,
    Kind,
    Message,
    Output,
    Topic,
)


class Stands(NamedTuple):
    """What changes when a node has something new to say: a checkpoint before that forgets nothing.

    ``words`` counts what was said in mid-step, from where nobody goes on after a restart: its state may stay,
    but what it has said binds it.
    """

    step: int
    gathering: bool
    finished: bool
    words: int = 0


class Node(ABC):
    """A state machine: each call returns the messages to send and the alarms to set.

    ``step`` is where the node stands, ``finished`` whether it has all it came for, and ``refused`` counts
    what was not taken, by peer and reason. In ``absent`` the engine tells which peers are out of reach: they
    are not waited for beyond a quorum; in ``life``, a number that no earlier start of this node had. What a
    node said last is kept, to be said again to a peer that was away. Nothing here waits, reads a clock or
    draws a number.
    """

    def __init__(self, party: int, kinds: Mapping[str, Kind], window: int = WINDOW) -> None:
        self.party = party
        self.step = 0
        self.finished = False
        self.words = self.life = 0
        self.mailbox = Mailbox(kinds, window)
        self.refused: Counter[tuple[int, Refusal]] = Counter()
        self.absent: set[int] = set()
        self._window, self._restored = window, False
        self._said: dict[tuple[int, str, int], deque[Message]] = {}

    @abstractmethod
    def start(self) -> list[Output]:
        """Return what the node says before anything has arrived, first or after a restart."""

    @abstractmethod
    def proceed(self) -> list[Output]:
        """Go as far as what has arrived allows, and return what there is to say."""

    def receive(self, message: Message) -> list[Output]:
        """Take a value, and go on."""
        return [*self.hear(message), *self.proceed()] if self.takes(message) else []

    @property
    def stands(self) -> Stands:
        """Return where the node is."""
        return Stands(self.step, bool(getattr(self, "gathering", False)), self.finished, self.words)

    @property
    def lost(self) -> bool:
        """Tell whether something that was said to this node is gone: only then may it skip steps.

        Among parties that lose nothing, one that skipped a step would be missed by those who are slower. So
        one that was away, or fell behind by more than the window, counts among the f until it has caught up.
        """
        return self._restored or self.mailbox.gaps

    def caught_up(self) -> None:
        """Skip nothing from now on, unless more is gone of what others said."""
        self._restored = False

    def takes(self, message: Message) -> bool:
        """Keep a value, or count why not."""
        refusal = self.mailbox.put(message)
        if refusal is not None:
            self.refused[message.sender, refusal] += 1
        return refusal is None

    def hear(self, message: Message) -> list[Output]:
        """Return what is to be said of a value at once, however far the node is itself."""
        return []

    def ring(self, alarm: Alarm) -> list[Output]:
        """Go on after an alarm; without a use for it, in vain."""
        return []

    def again(self, peer: int) -> list[Output]:
        """Return what a peer may have missed: the last that was said to it, of each kind."""
        return [message for (to, _, _), messages in self._said.items() if to == peer for message in messages]

    def said(self) -> list[Message]:
        """Return all that would be said again to anyone, for a checkpoint."""
        return [message for messages in self._said.values() for message in messages]

    def recall(self, said: Iterable[Message]) -> None:
        """Take back what was said before a restart, so that it can be said again."""
        for message in said:
            self._remember(message)

    def state(self) -> dict[str, Any]:
        """Return all that a restarted node needs: numbers, and arrays of numbers."""
        return {"step": self.step, "finished": self.finished}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, before ``start``."""
        self.step, self.finished, self._restored = int(state["step"]), bool(state["finished"]), True
        self.forget(self.step)

    def forget(self, before: int) -> None:
        """Drop what is about earlier steps and of no use to anyone."""
        self.mailbox.forget(before)

    def tell(self, peers: Iterable[int], topic: Topic, body: Body) -> list[Output]:
        """Return one value to several peers, and keep it in case they miss it.

        What a node tells itself is taken at once.
        """
        outputs: list[Output] = []
        for peer in peers:
            message = Message(self.party, peer, topic, body)
            if peer == self.party:
                self.mailbox.put(message)
                continue
            self._remember(message)
            outputs.append(message)
        return outputs

    def _remember(self, message: Message) -> None:
        """Keep a word, if need be in the place of the oldest of its kind."""
        receiver, topic = message.receiver, message.topic
        kept = self._said.setdefault((receiver, topic.kind, topic.subject), deque(maxlen=self._window))
        if len(kept) == self._window and topic.subject == NOBODY:
            self._confess(receiver, kept[0].topic.step)
        kept.append(message)

    def _confess(self, receiver: int, step: int) -> None:
        """Have a peer that asks for what was said to it told that some of it is gone."""
        key = (receiver, GONE, NOBODY)
        before = self._said.get(key)
        if GONE in self.mailbox.kinds and (before is None or before[-1].topic.step < step):
            word = Message(self.party, receiver, Topic(step, GONE), NOTHING)
            self._said[key] = deque([word], maxlen=self._window)
