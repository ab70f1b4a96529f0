"""Runs of a batch that differ in numbers only: one rule, one attack, one place of the momentum."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.attacks import Sight
from varangian.core.points import Pivot
from varangian.core.run import Aggregation
from varangian.engines.world import World
from varangian.metrics import Columns, Signal, Trail, measure
from varangian.optim import Momentum, rate_at
from varangian.specification import Experiment, RuleMixture


@dataclass(eq=False)
class GroupState:
    """What a group's runs hand from one step to the next; ``memory`` is written over in place."""

    memory: Float[Tensor, "runs rows d"]
    trail: Trail
    rule: Any = None
    attack: Any = None


class Group:
    """Runs whose every step is the same arithmetic on a leading axis."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = tuple(worlds)
        self.world = worlds[0]
        self.spec = self.world.spec
        specs = [world.spec for world in worlds]
        self.mu = self._column([spec.momentum for spec in specs])
        self.new = self._column([1 - spec.dampening for spec in specs])
        self.decay = self._column([spec.weight_decay for spec in specs])
        self.momentum = Momentum(self.mu, self.spec.momentum_at, 1 - self.new, self.spec.nesterov)
        self.points = [world.points for world in worlds]

    def start(self, theta: Float[Tensor, "runs d"]) -> GroupState:
        """Return the state before the first step."""
        rows = len(self.world.computing) if self.spec.momentum_at == "worker" else 1
        return GroupState(theta.new_zeros(len(theta), rows, theta.shape[-1]), Trail.start(theta))

    def rates(self, step: int) -> list[float]:
        """Return each run's learning rate."""
        return [rate_at(world.spec.learning_rate, step) for world in self.worlds]

    def starts(
        self, theta: Float[Tensor, "runs d"], state: GroupState, step: int
    ) -> Float[Tensor, "runs workers d"]:
        """Return where each worker takes its first gradient."""
        ahead = self.momentum.lookahead(state.memory, self._column(self.rates(step)))
        return (theta[:, None] + ahead).expand(-1, len(self.world.computing), -1)

    def advance(
        self,
        theta: Float[Tensor, "runs d"],
        state: GroupState,
        sampled: Float[Tensor, "runs workers d"],
        losses: Float[Tensor, "runs workers"],
        step: int,
    ) -> tuple[Float[Tensor, "runs d"], GroupState, Columns]:
        """Return the parameters and the state after one step, and what was measured on the way."""
        spec, momentum = self.spec, self.momentum
        sent, trusted = self._sent(state, sampled), None
        if spec.trusts:
            trusted = momentum.received(state.memory[:, :1], sent[:, -1:])[:, 0]
            trusted = trusted.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        workers = sent[:, : spec.workers if spec.follows else spec.honest]
        rule = spec.rule_at(step)
        server = self._server(rule, state, trusted, step)
        forged, attack_state = self._forge(rule, state, workers, server, step)
        received = workers if forged is None else torch.cat([workers, forged], dim=1)
        outcome = rule.aggregate(momentum.received(state.memory[:, :1], received), **server)
        memory, direction = self._applied(state, outcome)
        applied = direction + self.decay[..., 0] * theta if bool(self.decay.any()) else direction
        rates = self.rates(step)
        told, honest = Signal.of(sampled[:, : spec.honest]), Signal.of(workers[:, : spec.honest])
        trail, straight = state.trail.onward(told.mean, self.mu[:, 0, 0])
        lies = None if forged is None else Signal.of(forged)
        columns = measure(told, honest, lies, outcome.value) | straight
        bound = rule.variance_bound(spec.workers, theta.shape[-1])
        if bound is not None:
            columns["condition_holds"] = (columns["variance_to_norm"] <= bound).double()
        columns |= {
            "step": torch.full_like(columns["curvature"], step + 1),
            "learning_rate": torch.tensor(rates, dtype=torch.float64),
            "points": torch.tensor([(step + 1) * points for points in self.points], dtype=torch.float64),
            "loss": losses[:, : spec.honest].double().mean(-1),
            "nonfinite_rows": outcome.suspects.sum(-1).double(),
            "applied_norm": applied.norm(dim=-1),
        }
        after = theta - self._column(rates)[..., 0] * applied
        return after, GroupState(memory, trail, outcome.state, attack_state), columns

    def _sent(self, state: GroupState, sampled: Tensor) -> Tensor:
        """Return what everyone who computes sends; at the worker, it is the memory itself."""
        if self.spec.momentum_at != "worker":
            return sampled
        new = sampled if bool((self.new == 1).all()) else sampled * self.new
        return state.memory.mul_(self.mu).add_(new)

    def _server(self, rule: Any, state: GroupState, trusted: Tensor | None, step: int) -> dict[str, Any]:
        """Return what the server hands to the rule beside the vectors."""
        needed = any(Pivot.GIVEN in stage.pivots for stage in rule.stages())
        stream = self.world.stream.at("rule", step=step)
        return {"state": state.rule, "pivot": trusted if needed else None, "stream": stream}

    def _forge(
        self, rule: Any, state: GroupState, sent: Tensor, server: dict[str, Any], step: int
    ) -> tuple[Tensor | None, Any]:
        """Return what the liars send instead, as the loop's own."""
        spec, memory = self.spec, state.memory[:, :1]
        if spec.follows or not spec.byzantine:
            return None, state.attack
        assert spec.attack is not None
        ahead = spec.attack.sees is Sight.RULE and spec.momentum_at == "server" and bool((self.new > 0).all())
        forgery = spec.attack.forge(
            self.momentum.received(memory, sent) if ahead else sent,
            spec.byzantine,
            rule=rule,
            stream=self.world.stream.at("attack", step=step),
            state=state.attack,
            options=server,
        )
        forged = self.momentum.unreceived(memory, forgery.value) if ahead else forgery.value
        return forged, forgery.state

    def _applied(self, state: GroupState, outcome: Aggregation) -> tuple[Tensor, Tensor]:
        """Return the memory after the step, and the server's direction."""
        if self.spec.momentum_at == "worker":
            return state.memory, outcome.value
        direction = self.momentum.applied(state.memory, outcome.value[:, None])
        return direction, direction[:, 0]

    def _column(self, values: Sequence[float]) -> Float[Tensor, "runs 1 1"]:
        like = self.world.data.train_inputs
        return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def scatters(spec: Experiment) -> bool:
    """Tell whether workers take gradients at parameters of their own, each its momentum ahead."""
    return spec.nesterov and spec.momentum_at == "worker"


def kind(spec: Experiment) -> Hashable:
    """Return what the runs of one group have in common; who draws random numbers is a group by itself."""
    alone = isinstance(spec.rule, RuleMixture) or any(stage.randomised for stage in spec.rules[0].stages())
    randomised = getattr(spec.attack, "randomised", False) and not spec.follows
    own = id(spec) if alone or randomised else None
    return (spec.momentum_at, spec.nesterov, spec.byzantine, spec.rule, spec.attack, spec.dampening < 1, own)
