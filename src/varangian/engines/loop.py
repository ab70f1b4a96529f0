"""The definition: one server, its workers one after the other, in the order the signal flows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from varangian.attacks import DataAttack, Sight
from varangian.core.points import Pivot
from varangian.core.run import Aggregation
from varangian.engines.result import Result
from varangian.engines.threads import threads_for
from varangian.engines.world import ROOT, World
from varangian.metrics import Table, cosine, describe, variance_to_norm
from varangian.optim import rate_at
from varangian.specification import Experiment


@dataclass(frozen=True)
class Progress:
    """Where a run stands: steps done, of how many, the seconds so far, and the last row of metrics."""

    step: int
    steps: int
    seconds: float
    row: dict[str, float]

    @property
    def remaining(self) -> float:
        """Return the estimate of the seconds left."""
        return self.seconds / self.step * (self.steps - self.step)


@dataclass(frozen=True, eq=False)
class State:
    """All that one step hands to the next.

    ``memory`` holds the momentum: a row per worker that computes (and last the server's own, where the rule
    trusts it), or the server's one row.
    """

    theta: Tensor
    memory: Tensor
    rule: Any = None
    attack: Any = None


def train(spec: Experiment, watch: Callable[[Progress], None] | None = None) -> Result:
    """Run an experiment; ``watch`` is told after every step.

    Randomness  from the experiment's seed alone: the same experiment gives the same parameters
    Raises      DataError for missing data; what the rule or the attack raises
    """
    world = World.of(spec)
    begun = time.perf_counter()
    with threads_for(world.flat.d):
        table, theta = _steps(world, begun, watch)
    return Result(spec, table, theta, time.perf_counter() - begun)


def _steps(world: World, begun: float, watch: Callable[[Progress], None] | None) -> tuple[Table, Tensor]:
    spec, first = world.spec, world.flat.get()
    rows = len(_computing(world)) if spec.momentum_at == "worker" else 1
    state = State(first, first.new_zeros(rows, len(first)))
    table = Table()
    for step in range(spec.steps):
        state, row = advance(world, state, step)
        row["distance"] = float((state.theta - first).norm())
        if step + 1 == spec.steps or (step + 1) % spec.evaluate_every == 0:
            row["accuracy"] = world.accuracy(state.theta)
        table.append(row)
        if watch is not None:
            watch(Progress(step + 1, spec.steps, time.perf_counter() - begun, row))
    return table, state.theta


def advance(world: World, state: State, step: int) -> tuple[State, dict[str, float]]:
    """Return the state after one step, and what was measured on the way."""
    spec, momentum = world.spec, world.spec.heavy_ball
    rate = rate_at(spec.learning_rate, step)
    sampled, losses = _sample(world, state, step, rate)
    memory = state.memory
    sent = momentum.sent(memory, sampled)
    if momentum.place == "worker":
        memory = sent
    trusted = momentum.received(memory[0], sent[-1:])[0] if _trusts(world) else None
    if trusted is not None:  # a model that diverged gives the server nothing to trust
        trusted = trusted.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    workers = sent[:-1] if _trusts(world) else sent
    rule_stream = world.stream.at("rule", step=step)
    forged, attack_state = _forge(world, state, workers, trusted, rule_stream, step)
    arrived = torch.cat([workers, forged]) if len(forged) else workers
    received = momentum.received(memory[0], arrived)
    outcome = spec.rule.aggregate(received, state=state.rule, pivot=trusted, stream=rule_stream)
    direction = momentum.applied(memory[0], outcome.value)
    if momentum.place != "worker":
        memory = direction[None]
    applied = direction + spec.weight_decay * state.theta if spec.weight_decay else direction
    after = State(state.theta - rate * applied, memory, outcome.state, attack_state)
    honest = spec.honest
    row = _measure(world, sampled[:honest], workers[:honest], forged, outcome)
    return after, {
        "step": step + 1,
        "learning_rate": rate,
        "loss": sum(losses[:honest]) / honest,
        **row,
        "applied_norm": float(applied.norm()),
    }


def _trusts(world: World) -> bool:
    """Tell whether the rule measures against a gradient of the server's own."""
    return any(Pivot.GIVEN in stage.pivots for stage in world.spec.rule.stages())


def _computing(world: World) -> list[int]:
    """Return who computes gradients: all who follow the protocol, and last the server where it is trusted."""
    spec = world.spec
    follows = spec.attack is None or isinstance(spec.attack, DataAttack)
    workers = list(range(spec.workers if follows else spec.honest))
    return [*workers, ROOT] if _trusts(world) else workers


def _sample(world: World, state: State, step: int, rate: float) -> tuple[Tensor, list[float]]:
    """Return what everyone who computes has sampled, a row each, and their losses."""
    ahead = world.spec.heavy_ball.lookahead(state.memory, rate)
    starts = (state.theta + ahead).expand(len(_computing(world)), -1)
    pairs = [
        _displacement(world, theta, worker, step, rate)
        for worker, theta in zip(_computing(world), starts, strict=True)
    ]
    return torch.stack([gradient for gradient, _ in pairs]), [loss for _, loss in pairs]


def _displacement(world: World, theta: Tensor, worker: int, step: int, rate: float) -> tuple[Tensor, float]:
    """Return the sum of a worker's gradients over its local steps, and its first loss."""
    total, loss = world.gradient(theta, worker, step, 0)
    for local in range(1, world.spec.local_steps):
        total = total + world.gradient(theta - rate * total, worker, step, local)[0]
    return total, loss


def _forge(
    world: World, state: State, sent: Tensor, trusted: Tensor | None, rule_stream: Any, step: int
) -> tuple[Tensor, Any]:
    """Return what the liars send instead: forged from the honest vectors as they are sent."""
    spec = world.spec
    if spec.attack is None or isinstance(spec.attack, DataAttack):
        return sent[:0], state.attack
    momentum, memory = spec.heavy_ball, state.memory[0]
    # Who sees the rule sees what the server hands to it, and works its way back.
    ahead = spec.attack.sees is Sight.RULE and momentum.place == "server" and momentum.dampening < 1
    forgery = spec.attack.forge(
        momentum.received(memory, sent) if ahead else sent,
        spec.byzantine,
        rule=spec.rule,
        stream=world.stream.at("attack", step=step),
        state=state.attack,
        options={"state": state.rule, "pivot": trusted, "stream": rule_stream},
    )
    return momentum.unreceived(memory, forgery.value) if ahead else forgery.value, forgery.state


def _measure(
    world: World, sampled: Tensor, sent: Tensor, forged: Tensor, outcome: Aggregation
) -> dict[str, float]:
    row = {**describe("sampled", sampled), **describe("sent", sent)}
    if len(forged):
        row |= describe("forged", forged)
    row["aggregated_norm"] = float(outcome.value.norm())
    row["aggregated_to_honest"] = cosine(outcome.value, sent.mean(0))
    row["variance_to_norm"] = variance_to_norm(row, "sent")
    bound = world.spec.rule.variance_bound(world.spec.workers, world.flat.d)
    if bound is not None:
        row["condition_holds"] = float(row["variance_to_norm"] <= bound)
    row["nonfinite_rows"] = float(outcome.suspects.sum())
    return row
