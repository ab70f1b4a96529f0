"""Workers, servers and liars of an experiment, as protocols ask for them: vectors are NumPy arrays here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from varangian.aggregators import Median
from varangian.core.needs import Pivot
from varangian.core.stages import Stage
from varangian.engines.loop import displacement
from varangian.engines.world import ROOT, World
from varangian.errors import ParameterError
from varangian.optim import rate_at
from varangian.protocols import Body, Form, Learner, Reducer, Task, Topology


class Trainee:
    """A worker that follows the protocol: its gradients, its momentum."""

    def __init__(self, world: World, worker: int) -> None:
        self.world, self.worker, self.loss = world, worker, math.nan
        self.memory = torch.zeros_like(world.flat.get())

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        return rate_at(self.world.spec.learning_rate, step)

    def sampled(self, theta: Body, step: int) -> Body:
        """Return the gradient at ``theta``, or the displacement after several local steps."""
        rate = self.rate(step)
        start = tensor(theta) + self.world.spec.heavy_ball.lookahead(self.memory, rate)
        gradient, self.loss = displacement(self.world, start, self.worker, step, rate)
        return array(gradient)

    def sent(self, sampled: Body, step: int) -> Body:
        """Return the momentum, where the worker keeps it."""
        momentum = self.world.spec.heavy_ball
        sent = momentum.sent(self.memory, tensor(sampled))
        if momentum.place == "worker":
            self.memory = sent
        return array(sent)

    def state(self) -> dict[str, Any]:
        """Return the momentum."""
        return {"memory": array(self.memory)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the momentum back."""
        self.memory = tensor(state["memory"])


class Forger:
    """A liar that knows everything: it computes what the honest workers send, and forges from that.

    All liars forge alike, so each computes the forgeries of all, and sends its own. It sees the model that it
    was told, and no server's memory.
    """

    def __init__(self, world: World, worker: int) -> None:
        spec = world.spec
        self.world, self.place = world, worker - spec.honest
        self.honest = [Trainee(world, one) for one in range(spec.honest)]
        self._sampled: list[Body] = []
        self._memory: Any = None

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.honest[0].rate(step)

    def sampled(self, theta: Body, step: int) -> Body:
        """Return the mean of what the honest workers sample at ``theta``."""
        self._sampled = [one.sampled(theta, step) for one in self.honest]
        mean: Body = np.mean(self._sampled, axis=0, dtype=theta.dtype)
        return mean

    def sent(self, sampled: Body, step: int) -> Body:
        """Return this liar's forgery, of what the honest workers sampled last."""
        spec = self.world.spec
        assert spec.attack is not None
        rows = zip(self.honest, self._sampled, strict=True)
        sent = torch.stack([tensor(one.sent(row, step)) for one, row in rows])
        rule = spec.rule_at(step)
        forgery = spec.attack.forge(
            sent,
            spec.byzantine,
            rule=rule,
            stream=self.world.stream.at("attack", step=step),
            state=self._memory,
            options={"state": None, "pivot": None, "stream": self.world.stream.at("rule", step=step)},
        )
        self._memory = forgery.state
        return array(forgery.value[self.place])

    def state(self) -> dict[str, Any]:
        """Return the honest workers' momentum, as the liar knows it."""
        return {"memory": np.stack([array(one.memory) for one in self.honest])}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        for one, memory in zip(self.honest, state["memory"], strict=True):
            one.restore({"memory": memory})


class Bookkeeper:
    """A server's parameters, its rule, and its own memories: momentum, and what the rule keeps."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.theta: Body = array(world.flat.get())
        self.memory = torch.zeros_like(world.flat.get())
        self.root = Trainee(world, ROOT) if world.spec.trusts else None
        self.suspects: tuple[int, ...] = ()
        self._rule: Any = None

    def aggregate(self, gradients: Mapping[int, Body], step: int) -> Body:
        """Return the direction that the rule makes of what came, momentum included."""
        spec, momentum = self.world.spec, self.world.spec.heavy_ball
        rule, order = spec.rule_at(step), sorted(gradients)
        rows = torch.from_numpy(np.stack([gradients[party] for party in order]))
        outcome = rule.aggregate(
            momentum.received(self.memory, rows),
            state=self._rule,
            pivot=self._trusted(rule, step),
            stream=self.world.stream.at("rule", step=step),
        )
        self._rule = outcome.state
        self.suspects = tuple(
            party for party, bad in zip(order, outcome.suspects.tolist(), strict=True) if bad
        )
        direction = momentum.applied(self.memory, outcome.value)
        if momentum.place != "worker":
            self.memory = direction
        return array(direction)

    def apply(self, direction: Body, step: int) -> None:
        """Make the server's step."""
        spec, theta = self.world.spec, tensor(self.theta)
        applied = tensor(direction)
        if spec.weight_decay:
            applied = applied + spec.weight_decay * theta
        self.theta = array(theta - rate_at(spec.learning_rate, step) * applied)

    def _trusted(self, rule: Stage, step: int) -> Tensor | None:
        if self.root is None:
            return None
        sent = tensor(self.root.sent(self.root.sampled(self.theta, step), step))
        needed = any(Pivot.GIVEN in stage.pivots for stage in rule.stages())
        # A model that diverged gives the server nothing to trust.
        return sent.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) if needed else None

    def state(self) -> dict[str, Any]:
        """Return the momentum, and what the rule keeps."""
        kept = {} if self._rule is None else {"rule": array(self._rule)}
        return {"memory": array(self.memory), **kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self.memory = tensor(state["memory"])
        self._rule = tensor(state["rule"]) if "rule" in state else None


def task_of(world: World, topology: Topology) -> Task:
    """Return what the nodes of an experiment do.

    Raises ParameterError, ToleranceError where the experiment and the topology do not fit together.
    """
    spec = world.spec
    _check(world, topology)

    def learner(worker: int) -> Learner:
        return Forger(world, worker) if world.lies(worker) and not spec.follows else Trainee(world, worker)

    return Task(
        form=Form(np.dtype(spec.dtype), world.flat.d),
        steps=spec.steps,
        learner=learner,
        keeper=lambda: Bookkeeper(world),
        middle=middle_of(topology),
        reduce=rule(spec.rules[0]),
    )


def middle_of(topology: Topology) -> Reducer:
    """Return what joins models: the coordinate-wise median, or the model itself if there is one."""
    median = rule(Median(f=topology.groups[0].f))
    return lambda models: models[0] if len(models) == 1 else median(models)


def rule(stage: Stage) -> Reducer:
    """Return a rule as a function of vectors."""

    def reduced(vectors: list[Body]) -> Body:
        value: Body = stage(np.stack(vectors))
        return value

    return reduced


def tensor(body: Body) -> Tensor:
    """Return an array as a tensor of its own memory."""
    return torch.tensor(body)


def array(vector: Tensor) -> Body:
    """Return a tensor as an array of the same memory."""
    body: Body = vector.detach().cpu().numpy()
    return body


def _check(world: World, topology: Topology) -> None:
    spec = world.spec
    for one in spec.rules:
        topology.check(one)
    learning = topology.groups[-1]
    if learning.n != spec.workers:
        raise ParameterError(
            f"Experiment(workers={spec.workers}) arrived with {learning.n} {learning.role}s; they must agree."
        )
    if spec.nesterov and spec.momentum_at != "worker":
        raise ParameterError(
            "Nesterov's momentum at the server needs the server's memory at the workers, and no message "
            "carries it. Use momentum_at='worker', or the engine simulate."
        )
