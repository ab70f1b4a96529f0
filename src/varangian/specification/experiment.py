"""One training run, as a value: who takes part, who lies, what aggregates, and for how long."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from torch import nn

from varangian.aggregators import Average
from varangian.attacks import Attack, DataAttack
from varangian.core.checks import check_count, check_number
from varangian.core.guard import admit
from varangian.core.needs import Pivot
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.data import IID, Dataset, Split
from varangian.errors import ParameterError
from varangian.optim import PLACES, Momentum, Schedule
from varangian.privacy import Privacy
from varangian.specification.mixture import RuleMixture

DTYPES = {"float32": torch.float32, "float64": torch.float64}

ModelLike = str | nn.Module | Callable[[tuple[int, ...], int], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A training run of ``workers`` of which ``byzantine`` lie, under one rule and one attack.

    The liars are the last ones. Without an attack they follow the protocol. ``rule.f`` is what the server
    declares; ``byzantine`` is what is true. ``l1`` and ``l2`` add l1 |theta|_1 and l2 |theta|^2 to every
    worker's loss, and ``l2_norm`` adds l2_norm |theta|; ``weight_decay`` adds weight_decay * theta to the
    server's step. ``clip`` bounds the norm of every sampled gradient; ``privacy`` clips by itself, and adds
    noise. With several ``local_steps`` a worker sends its displacement divided by the learning rate. ``flip``
    mirrors training images at random. ``evaluation_mode`` keeps dropout off and batch statistics fixed while
    training. Of a ``RuleMixture``, one rule is drawn per step.

    Units       batch_size in samples per worker and step; learning_rate a number or a Schedule
    Raises      ParameterError, ToleranceError: what arrived, what is needed, what to change

    >>> Experiment(workers=10, byzantine=10)
    Traceback (most recent call last):
        ...
    varangian.errors.ParameterError: Experiment(byzantine=10, workers=10): at least one worker must be honest.
    """

    data: str | Dataset = "digits"
    data_dir: str | os.PathLike[str] | None = None
    split: Split = field(default_factory=IID)
    model: ModelLike = "mlp"
    loss: str | None = None
    workers: int = 20
    byzantine: int = 0
    rule: Stage | RuleMixture = field(default_factory=Average)
    attack: Attack | None = None
    batch_size: int = 32
    steps: int = 100
    learning_rate: float | Schedule = 0.05
    momentum: float = 0.9
    momentum_at: str = "worker"
    nesterov: bool = False
    dampening: float = 0.0
    clip: float | None = None
    privacy: Privacy | None = None
    l1: float = 0.0
    l2: float = 0.0
    l2_norm: float = 0.0
    weight_decay: float = 0.0
    local_steps: int = 1
    flip: bool = False
    evaluation_mode: bool = False
    evaluate_every: int = 10
    seed: int = 1
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            check_count(self, name, getattr(self, name), least=least)
        if self.byzantine >= self.workers:
            raise ParameterError(
                f"Experiment(byzantine={self.byzantine}, workers={self.workers}): "
                "at least one worker must be honest."
            )
        if not isinstance(self.learning_rate, Schedule):
            check_number(self, "learning_rate", self.learning_rate)
        if self.clip is not None:
            check_number(self, "clip", self.clip)
        for name in ("l1", "l2", "l2_norm", "weight_decay", "momentum", "dampening"):
            check_number(self, name, getattr(self, name), least=0.0)
        if self.momentum >= 1 or self.dampening > 1:
            raise ParameterError(
                f"Experiment(momentum={self.momentum}, dampening={self.dampening}): "
                "momentum must be below 1, dampening at most 1."
            )
        _choose(self, "momentum_at", PLACES)
        _choose(self, "dtype", DTYPES)
        for name, kind in _KINDS.items():
            _check_kind(self, name, kind)
        if self.privacy is not None and self.clip is not None:
            raise ParameterError(
                f"Experiment(clip={self.clip}, privacy={self.privacy!r}): privacy clips by itself; "
                "leave clip out."
            )
        for rule in self.rules:
            if rule.stages()[-1].mixes:
                raise ParameterError(
                    f"{rule!r} returns many vectors; end it with a rule, Average() for instance."
                )
            admit(rule, self.workers)
        _check_device(self.device)

    @property
    def rules(self) -> tuple[Stage, ...]:
        """Return the rules that the server may use: one, or those of a mixture."""
        return self.rule.rules if isinstance(self.rule, RuleMixture) else (self.rule,)

    def rule_at(self, step: int) -> Stage:
        """Return the rule of a step, drawn if there is a mixture."""
        if isinstance(self.rule, RuleMixture):
            return self.rule.at(Stream(self.seed).at("mixture", step=step))
        return self.rule

    @property
    def trusts(self) -> bool:
        """Tell whether a rule measures against a gradient of the server's own."""
        return any(Pivot.GIVEN in stage.pivots for rule in self.rules for stage in rule.stages())

    @property
    def follows(self) -> bool:
        """Tell whether everybody follows the protocol, be it on poisoned data."""
        return self.attack is None or isinstance(self.attack, DataAttack)

    @property
    def honest(self) -> int:
        """Return how many workers are honest."""
        return self.workers - self.byzantine

    @property
    def heavy_ball(self) -> Momentum:
        """Return the momentum as one value."""
        return Momentum(self.momentum, self.momentum_at, self.dampening, self.nesterov)


_COUNTS = {
    "workers": 1,
    "byzantine": 0,
    "batch_size": 1,
    "steps": 1,
    "local_steps": 1,
    "evaluate_every": 1,
    "seed": 0,
}

_KINDS: dict[str, Any] = {
    "data": str | Dataset,
    "data_dir": str | os.PathLike | None,
    "split": Split,
    "loss": str | None,
    "rule": Stage | RuleMixture,
    "attack": Attack | None,
    "privacy": Privacy | None,
    "device": str,
    "nesterov": bool,
    "evaluation_mode": bool,
    "flip": bool,
}


def _choose(owner: Experiment, name: str, known: Any) -> None:
    value = getattr(owner, name)
    if not isinstance(value, str) or value not in known:
        raise ParameterError(f"Experiment({name}={value!r}): {name} must be one of {', '.join(known)}.")


def _check_kind(owner: Experiment, name: str, kind: Any) -> None:
    value = getattr(owner, name)
    if isinstance(value, type):
        raise ParameterError(f"Experiment({name}={value.__name__}): pass a value, {value.__name__}(...).")
    if not isinstance(value, kind):
        wanted = " or ".join(getattr(one, "__name__", str(one)) for one in get_args(kind) or (kind,))
        raise ParameterError(f"Experiment({name}={value!r}): {name} must be a {wanted}.")


def _check_device(device: object) -> None:
    """Refuse a device on which no number can be stored here."""
    try:
        torch.zeros(1, device=device).item()  # type: ignore[call-overload]
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(f"Experiment(device={device!r}): {reason} Use device='cpu'.") from None
