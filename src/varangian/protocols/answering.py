"""A server that is asked for its model, and does not tell it unasked."""

from __future__ import annotations

from typing import Any

from varangian.protocols.message import Body, Message, Output, Topic
from varangian.protocols.server import MODEL, Server

ASK = "ask"


class AnsweringServer(Server):
    """A server that tells its model of a step to those who ask for it, once it has come so far.

    It keeps the models of the last steps, as many as the window; who asks for an older one gets the newest.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asked: dict[int, int] = {}
        self._models: dict[int, Body] = {}

    def hear(self, message: Message) -> list[Output]:
        """Answer a question, or keep it in mind."""
        topic, sender = message.topic, message.sender
        if topic.kind != ASK:
            return []
        self._asked[sender] = max(topic.step, self._asked.get(sender, 0))
        return self._answer()

    def _scatter(self) -> list[Output]:
        self.finished = self.step >= self.steps
        self._models[self.step] = self.keeper.theta
        if len(self._models) > self.mailbox.window:
            del self._models[min(self._models)]
        return self._answer()

    def _answer(self) -> list[Output]:
        newest = max(self._models, default=-1)
        ready = {worker: step for worker, step in self._asked.items() if step <= newest}
        said: list[Output] = []
        for worker, step in ready.items():
            del self._asked[worker]
            told = step if step in self._models else newest
            said += self.tell([worker], Topic(told, MODEL), self._models[told])
        return said
