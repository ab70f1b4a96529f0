"""A Grid without a network: real ClientApps, called where they are, some late, some silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from varangian.flower import attack_mod

TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # as a ServerApp's process has them


class HereGrid(Grid):
    """Nodes 0, 1, ... each with a ClientApp; ``delays`` in seconds, None for a node that never answers.

    A reply that takes for ever is there when it is hurried.
    """

    def __init__(
        self,
        apps: Mapping[int, ClientApp],
        delays: Mapping[int, float | None] | None = None,
        nodes: int = 0,
    ) -> None:
        self.nodes = nodes
        self.apps, self.delays = dict(apps), dict(delays or {})
        self.sent: list[tuple[int, str]] = []
        self._waiting: dict[str, tuple[float, Any]] = {}

    def get_node_ids(self) -> list[int]:
        return list(self.apps)

    def push_messages(self, messages: Iterable[Any]) -> list[str]:
        ids = []
        for message in messages:
            node = message.metadata.dst_node_id
            key = f"message-{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = key
            self.sent.append((node, message.metadata.message_type))
            delay = self.delays.get(node, 0.0)
            if delay is not None:
                self._waiting[key] = (time.monotonic() + delay, self._reply(node, message))
            ids.append(key)
        return ids

    def _reply(self, node: int, message: Any) -> Any:
        context = Context(1, node, {"partition-id": node, "num-partitions": self.nodes}, RecordDict(), {})
        try:
            return self.apps[node](message, context)
        except Exception as error:
            return Message(Error(0, f"{type(error).__name__}: {error}"), reply_to=message)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Any]:
        now = time.monotonic()
        there = [key for key in message_ids if key in self._waiting and self._waiting[key][0] <= now]
        return [self._waiting.pop(key)[1] for key in there]

    def hurry(self) -> None:
        """Let all arrive that is on its way."""
        self._waiting = {key: (0.0, reply) for key, (_, reply) in self._waiting.items()}

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
        ids = self.push_messages(messages)
        longest = max((delay or 0.0 for delay in self.delays.values()), default=0.0)
        time.sleep(min(longest, timeout or longest))
        return self.pull_messages(ids)

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *arguments: Any, **options: Any) -> Any:
        raise NotImplementedError


Train = Callable[[Mapping[str, Any], int, int], Mapping[str, Any]]
"""The model, the client, the round -> what the client returns."""


def app(train: Train, examples: int = 10, mods: list[Any] | None = None) -> ClientApp:
    """Return a ClientApp that trains so, claims so many examples, and reports a loss."""
    made = ClientApp(mods=mods)

    @made.train()
    def _train(message: Any, context: Context) -> Any:
        model = {name: array.numpy() for name, array in message.content["arrays"].items()}
        number = int(message.content["config"]["server-round"])
        returned = train(model, int(context.node_config["partition-id"]), number)
        arrays = ArrayRecord({name: Array(np.asarray(array)) for name, array in returned.items()})
        metrics = MetricRecord({"num-examples": examples, "loss": 1.0})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    @made.evaluate()
    def _evaluate(message: Any, context: Context) -> Any:
        metrics = MetricRecord({"num-examples": examples, "accuracy": 0.5})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return made


D = 200


def drift(model: Mapping[str, Any], client: int, number: int) -> dict[str, Any]:
    """Move every value by about one, a little otherwise at each client and in each round."""
    random = np.random.default_rng([client, number])
    return {
        name: (a + 1 + 0.1 * random.standard_normal(a.shape)).astype(a.dtype) for name, a in model.items()
    }


def start_model() -> Any:
    return ArrayRecord({"w": Array(np.zeros(D, np.float32)), "b": Array(np.zeros((2, 3), np.float32))})


def crowd(n: int, lie: str | None = None, **options: Any) -> dict[int, ClientApp]:
    """Return n clients, the last of which lies."""
    mods = [attack_mod(lie, clients={n - 1}, **options)] if lie else []
    return {client: app(drift, mods=mods) for client in range(n)}
