"""A server that is asked for its model, and does not tell it unasked."""

from __future__ import annotations

from typing import Any

from varangian.protocols.message import Message, Output, Topic
from varangian.protocols.server import MODEL, Server

ASK = "ask"


class AnsweringServer(Server):
    """A server that tells its model to those who ask for it, once per step.

    Who asks for a step that is over gets the newest model.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asked: dict[int, int] = {}
        self._answered: dict[int, int] = {}

    def receive(self, message: Message) -> list[Output]:
        """Take a value or a question."""
        topic, sender = message.topic, message.sender
        if topic.kind != ASK or sender not in self.workers.parties:
            return super().receive(message)
        self._asked[sender] = max(topic.step, self._asked.get(sender, 0))
        return self._scatter() if not self.gathering else []

    def _scatter(self) -> list[Output]:
        self.finished = self.step >= self.steps
        waiting = [
            worker
            for worker, step in self._asked.items()
            if step <= self.step and self._answered.get(worker, -1) < self.step
        ]
        self._answered |= dict.fromkeys(waiting, self.step)
        return self.tell(waiting, Topic(self.step, MODEL), self.keeper.theta)
