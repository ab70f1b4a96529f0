"""Runs of a batch that differ in numbers only: one rule, one attack, one place of the momentum."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.accounting import Accountant
from varangian.attacks import Sight
from varangian.attacks.attack import Scene
from varangian.core.inputs import Stacks
from varangian.core.moments import Moments
from varangian.core.needs import Pivot
from varangian.core.run import Aggregation
from varangian.engines.world import World
from varangian.metrics import Columns, Trail, measure
from varangian.optim import Momentum, rate_at
from varangian.specification import Experiment, RuleMixture


@dataclass(frozen=True, eq=False)
class GroupState:
    """What a group's runs hand from one step to the next, besides what their workers keep."""

    memory: Float[Tensor, "runs 1 d"]
    trail: Trail
    rule: Any = None
    attack: Any = None


@dataclass(frozen=True, eq=False)
class Intake:
    """What one step brought to a group's servers: a row for everyone who computes."""

    rows: Float[Tensor, "runs rows d"]
    sampled: Moments
    sent: Moments
    losses: Float[Tensor, "runs workers"]


class Group:
    """Runs whose every step is the same arithmetic on a leading axis."""

    def __init__(self, worlds: Sequence[World], accountants: Sequence[Accountant | None] = ()) -> None:
        self.worlds = tuple(worlds)
        self.accountants = tuple(accountants)
        self.world = worlds[0]
        self.spec = self.world.spec
        specs = [world.spec for world in worlds]
        self.mu = self._column([spec.momentum for spec in specs])
        self.new = self._column([1 - spec.dampening for spec in specs])
        self.decay = self._column([spec.weight_decay for spec in specs])
        self.decays = any(spec.weight_decay for spec in specs)
        self.momentum = Momentum(self.mu, self.spec.momentum_at, 1 - self.new, self.spec.nesterov)
        self.points = torch.tensor([world.points for world in worlds], dtype=torch.float64)

    def start(self, theta: Float[Tensor, "runs d"]) -> GroupState:
        """Return the state before the first step."""
        return GroupState(torch.zeros_like(theta)[:, None], Trail.start(theta))

    def rates(self, step: int) -> list[float]:
        """Return each run's learning rate."""
        return [rate_at(world.spec.learning_rate, step) for world in self.worlds]

    def starts(
        self, theta: Float[Tensor, "runs d"], state: GroupState, sent: Tensor, step: int
    ) -> Float[Tensor, "runs workers d"]:
        """Return where each worker takes its first gradient, given what all sent last."""
        memory = sent if scatters(self.spec) else state.memory
        ahead = self.momentum.lookahead(memory, self._column(self.rates(step)))
        return (theta[:, None] + ahead).expand(-1, len(self.world.computing), -1)

    def advance(
        self, theta: Float[Tensor, "runs d"], state: GroupState, intake: Intake, step: int
    ) -> tuple[Float[Tensor, "runs d"], GroupState, Columns]:
        """Return the parameters and the state after one step, and what was measured on the way."""
        spec, momentum = self.spec, self.momentum
        rule = spec.rule_at(step)
        server = self._server(rule, state, intake, step)
        forged, attack_state = self._forge(rule, state, intake, server, step)
        arrived = [momentum.received(state.memory, part) for part in self._arrived(intake, forged)]
        outcome = rule.aggregate(Stacks(tuple(arrived)), **server)
        self._account(arrived, outcome)
        direction = momentum.applied(state.memory, outcome.value[:, None])
        memory = state.memory if spec.momentum_at == "worker" else direction
        applied = direction[:, 0] + self.decay[:, 0] * theta if self.decays else direction[:, 0]
        rates = self.rates(step)
        trail, straight = state.trail.onward(intake.sampled.mean, self.mu[:, 0, 0])
        columns = measure(intake.sampled, intake.sent, _moments(forged), outcome.value) | straight
        bound = rule.variance_bound(spec.workers, theta.shape[-1])
        if bound is not None:
            columns["condition_holds"] = (columns["variance_to_norm"] <= bound).double()
        columns |= {
            "step": torch.full_like(self.points, step + 1),
            "learning_rate": torch.tensor(rates, dtype=torch.float64),
            "points": (step + 1) * self.points,
            "loss": intake.losses[:, : spec.honest].double().mean(-1),
            "nonfinite_rows": outcome.suspects.sum(-1),
            "applied_norm": applied.norm(dim=-1),
        }
        after = theta - self._column(rates)[:, 0] * applied
        return after, GroupState(memory, trail, outcome.state, attack_state), columns

    def _account(self, arrived: Sequence[Tensor], outcome: Aggregation) -> None:
        """Tell each run's accountant what its rule took, and gave."""
        for run, accountant in enumerate(self.accountants):
            if accountant is not None:
                accountant.step(
                    Stacks(tuple(part[run] for part in arrived)),
                    replace(
                        outcome,
                        value=outcome.value[run],
                        weights=None if outcome.weights is None else outcome.weights[run],
                    ),
                )

    def _workers(self, intake: Intake) -> Tensor:
        """Return the rows of those who follow the protocol, without the server's own."""
        return intake.rows[:, : self.spec.workers if self.spec.follows else self.spec.honest]

    def _arrived(self, intake: Intake, forged: Tensor | None) -> list[Tensor]:
        """Return all that arrives; the forged by themselves, since copies may be stored as one."""
        workers = self._workers(intake)
        if forged is None:
            return [workers]
        once = forged[:, :1] if _are_copies(forged) else forged
        return [workers, once.to(workers.dtype).expand_as(forged)]

    def _server(self, rule: Any, state: GroupState, intake: Intake, step: int) -> dict[str, Any]:
        """Return what the server hands to the rule beside the vectors."""
        trusted = None
        if any(Pivot.GIVEN in stage.pivots for stage in rule.stages()):
            own = intake.rows[:, len(self.world.computing) - 1 :][:, :1]
            trusted = self.momentum.received(state.memory, own)[:, 0]
            trusted = trusted.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        return {"state": state.rule, "pivot": trusted, "stream": self.world.stream.at("rule", step=step)}

    def _forge(
        self, rule: Any, state: GroupState, intake: Intake, server: dict[str, Any], step: int
    ) -> tuple[Tensor | None, Any]:
        """Return what the liars send instead, as they do in the loop."""
        spec, attack = self.spec, self.spec.attack
        if spec.follows or not spec.byzantine or attack is None:
            return None, state.attack
        ahead = attack.sees is Sight.RULE and spec.momentum_at == "server" and bool((self.new > 0).all())
        sent = self._workers(intake)
        scene = Scene(
            self.momentum.received(state.memory, sent) if ahead else sent,
            spec.byzantine,
            rule,
            self.world.stream.at("attack", step=step),
            state.attack,
            server,
            None if ahead else intake.sent,
        )
        forged, after = attack.vectors(scene)
        after = apart(after, intake.rows)
        return self.momentum.unreceived(state.memory, forged) if ahead else forged, after

    def _column(self, values: Sequence[float]) -> Float[Tensor, "runs 1 1"]:
        like = self.world.data.train_inputs
        return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def apart(state: Any, rows: Tensor) -> Any:
    """Return what an attack remembers, none of it in rows that the next step writes over."""
    if isinstance(state, Tensor):
        shares = state.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr()
        return state.clone() if shares else state
    if is_dataclass(state) and not isinstance(state, type):
        return replace(
            state, **{field.name: apart(getattr(state, field.name), rows) for field in fields(state)}
        )
    if isinstance(state, (list, tuple)):
        return type(state)(apart(part, rows) for part in state)
    return {name: apart(part, rows) for name, part in state.items()} if isinstance(state, dict) else state


def _moments(forged: Tensor | None) -> Moments | None:
    """Return the moments of the forged; an attack that sends copies says so by not storing them."""
    if forged is None:
        return None
    return Moments.copies(forged[:, 0], forged.shape[1]) if _are_copies(forged) else Moments.of(forged)


def _are_copies(forged: Tensor) -> bool:
    return forged.stride(-2) == 0


def scatters(spec: Experiment) -> bool:
    """Tell whether workers take gradients at parameters of their own, each its momentum ahead."""
    return spec.nesterov and spec.momentum_at == "worker"


def kind(spec: Experiment) -> Hashable:
    """Return what the runs of one group have in common; who draws random numbers is a group by itself."""
    alone = isinstance(spec.rule, RuleMixture) or any(stage.randomised for stage in spec.rules[0].stages())
    randomised = getattr(spec.attack, "randomised", False) and not spec.follows
    own = id(spec) if alone or randomised else None
    return (spec.momentum_at, spec.nesterov, spec.byzantine, spec.rule, spec.attack, spec.dampening < 1, own)
