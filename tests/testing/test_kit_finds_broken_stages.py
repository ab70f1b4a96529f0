"""The kit finds what is broken: one planted fault each, and the check that must name it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.attacks import Attack, LabelFlip, SignFlip
from varangian.core.points import Points
from varangian.core.run import Aggregation, Call
from varangian.core.stages import CoordinateRule, Stage
from varangian.testing import ATTACK_CHECKS, CHECKS, check_attack, check_rule


class Planted(vg.Median):
    """Return a median, with a fault."""


@dataclass(frozen=True)
class Overwriting(Planted):
    """Return a median of vectors that it clips in place."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        if isinstance(x, Tensor):
            x.detach().clamp_(-1, 1)
        return super().aggregate(x, **options)


@dataclass(frozen=True)
class Emptying(Planted):
    """Return a median of a list that it empties."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        seen = super().aggregate(x, **options)
        if isinstance(x, list):
            x.clear()
        return seen


@dataclass(frozen=True)
class Aliasing(Planted):
    """Return the first vector itself, where it is in one piece."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        seen = super().aggregate(x, **options)
        value = x[..., 0, :].detach() if isinstance(x, Tensor) else seen.value
        return Aggregation(value, seen.state, seen.nonfinite, seen.weights, seen.reads)


@dataclass(frozen=True)
class Drawing(Planted):
    """Return a median with noise of the global generator of PyTorch."""

    def columns(self, values: Tensor) -> Tensor:
        result = super().columns(values)
        return result + 1e-3 * torch.randn(result.shape, dtype=result.dtype)


@dataclass(frozen=True)
class DrawingNumpy(Planted):
    """Return a median, and move the global generator of NumPy."""

    def columns(self, values: Tensor) -> Tensor:
        np.random.random()
        return super().columns(values)


@dataclass(frozen=True)
class DrawingPython(Planted):
    """Return a median with noise of the generator of the standard library."""

    def columns(self, values: Tensor) -> Tensor:
        return super().columns(values) + random.random()


@dataclass(frozen=True)
class Leaking(Planted):
    """Return a mean, through which NaN passes."""

    robust = False

    def stages(self) -> tuple[Stage, ...]:
        return (_Mean(self.f),)

    def columns(self, values: Tensor) -> Tensor:
        return values.mean(-2)


@dataclass(frozen=True)
class _Mean(CoordinateRule):
    """Return the mean, and claim to be robust."""

    f: int
    robust = True
    cost = "one read"
    reference = vg.Median.reference

    def condition(self) -> Any:
        return vg.Median(f=self.f).condition()

    def columns(self, values: Tensor) -> Tensor:
        return values.double().mean(-2)


@dataclass(frozen=True)
class Unsanitised(Planted):
    """Return a median, but NaN where a vector held one."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        seen = super().aggregate(x, **options)
        if isinstance(x, Tensor) and not x.isfinite().all():
            return Aggregation(seen.value * torch.nan, seen.state, seen.nonfinite, seen.weights, seen.reads)
        return seen


@dataclass(frozen=True)
class Silent(Planted):
    """Return a median, and nobody as a suspect."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        seen = super().aggregate(x, **options)
        return Aggregation(seen.value, seen.state, torch.zeros_like(seen.nonfinite), seen.weights, seen.reads)


@dataclass(frozen=True)
class Ordered(Planted):
    """Return a median with a share of the first vector."""

    def columns(self, values: Tensor) -> Tensor:
        return super().columns(values) + 0.1 * (values[..., 0, :].double() - super().columns(values))


@dataclass(frozen=True)
class Single(Planted):
    """Return a median in float32, whatever came."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        seen = super().aggregate(x, **options)
        value = seen.value.float() if isinstance(seen.value, Tensor) else seen.value
        return Aggregation(value, seen.state, seen.nonfinite, seen.weights, seen.reads)


@dataclass(frozen=True)
class Stacking(Planted):
    """Return a tensor from lists too."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        seen = super().aggregate(x, **options)
        value = torch.cat([p.reshape(-1) for p in seen.value]) if isinstance(seen.value, list) else seen.value
        return Aggregation(value, seen.state, seen.nonfinite, seen.weights, seen.reads)


@dataclass(frozen=True)
class Keepdim(Planted):
    """Return a median with an axis too many."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        seen = super().aggregate(x, **options)
        value = seen.value[..., None, :] if isinstance(seen.value, Tensor) else seen.value
        return Aggregation(value, seen.state, seen.nonfinite, seen.weights, seen.reads)


@dataclass(frozen=True)
class Meeting(Planted):
    """Return a median less the mean over the whole batch."""

    def columns(self, values: Tensor) -> Tensor:
        return super().columns(values) - 0.01 * values.double().mean()


@dataclass(frozen=True)
class Lenient(Planted):
    """Return a median, and accept any number of vectors."""

    def aggregate(self, x: Any, **options: Any) -> Aggregation:
        n = x.shape[-2] if hasattr(x, "shape") else len(x)
        return vg.Median(f=min(self.f, (n - 1) // 2)).aggregate(x, **options)


@dataclass(frozen=True)
class Wasteful(Planted):
    """Return a median, having read the vectors twice before."""

    def advance(self, points: Points, call: Call) -> Points:
        for _ in range(2):
            points.over_blocks(lambda block: None)
        return super().advance(points, call)


@dataclass(frozen=True)
class Boastful(Planted):
    """Return a median, and claim what no rule can keep."""

    def kappa(self, n: int) -> float:
        return 0.01


@dataclass(frozen=True)
class Optimistic(Planted):
    """Return a median, and claim the lower bound."""

    def kappa(self, n: int) -> float:
        return self.f / (n - 2 * self.f)


@dataclass(frozen=True)
class Shifted(Planted):
    """Return a median, and one."""

    def columns(self, values: Tensor) -> Tensor:
        return super().columns(values) + 1.0


@dataclass(frozen=True)
class Squashed(Planted):
    """Return the tanh of a median."""

    def columns(self, values: Tensor) -> Tensor:
        return super().columns(values).tanh()


@dataclass(unsafe_hash=True)
class Changeable(CoordinateRule):
    """Return a median with a field that can be set."""

    f: int
    cost = "one read"
    reference = vg.Median.reference

    def condition(self) -> Any:
        return vg.Median(f=self.f).condition()

    def columns(self, values: Tensor) -> Tensor:
        return vg.Median(f=self.f).columns(values)


@dataclass(frozen=True)
class Counting(Planted):
    """Return a median of one vector more at every call."""

    def columns(self, values: Tensor) -> Tensor:
        calls = Planted.__dict__.get("calls", 0)
        Planted.calls = calls + 1  # type: ignore[attr-defined]
        return super().columns(values) + calls * 1e-3


@dataclass(frozen=True)
class Overflowing(Planted):
    """Return a mean without the largest norms, in a precision whose squares overflow."""

    def columns(self, values: Tensor) -> Tensor:
        far = values.square().sum(-1, keepdim=True)
        return (values * (1 / (1 + far)) * far).median(-2).values


@dataclass(frozen=True)
class Unsourced(Planted):
    """Return a median from nowhere."""

    reference = None  # type: ignore[assignment]


BROKEN: list[tuple[Stage, set[str]]] = [
    (Overwriting(f=1), {"untouched"}),
    (Emptying(f=1), {"untouched"}),
    (Aliasing(f=1), {"untouched", "order"}),
    (Drawing(f=1), {"global_generators", "deterministic"}),
    (DrawingNumpy(f=1), {"global_generators"}),
    (DrawingPython(f=1), {"global_generators"}),
    (Leaking(f=1), {"huge"}),
    (Unsanitised(f=1), {"nonfinite"}),
    (Silent(f=1), {"nonfinite"}),
    (Ordered(f=1), {"order"}),
    (Single(f=1), {"dtype"}),
    (Stacking(f=1), {"kind"}),
    (Keepdim(f=1), {"shape"}),
    (Meeting(f=1), {"batch"}),
    (Lenient(f=1), {"tolerance"}),
    (Wasteful(f=1), {"reads"}),
    (Boastful(f=1), {"coefficients", "theorem"}),
    (Optimistic(f=2), {"theorem"}),
    (Shifted(f=1), {"agreement", "scaling"}),
    (Squashed(f=1), {"translation", "scaling", "agreement"}),
    (Changeable(f=1), {"value"}),
    (Counting(f=1), {"deterministic"}),
    (Overflowing(f=1), {"huge"}),
    (Unsourced(f=1), {"documented"}),
]


def broken_by(stage: Stage) -> set[str]:
    """Return the names of the checks that fail."""
    failed = {}
    for name, check in CHECKS:
        try:
            check(stage)
        except AssertionError as error:
            failed[name] = str(error)
    assert all(repr(stage) in message and "Seen: " in message for message in failed.values())
    return set(failed)


@pytest.mark.parametrize(("stage", "due"), BROKEN, ids=[type(stage).__name__ for stage, _ in BROKEN])
def test_a_planted_fault_is_found(stage: Stage, due: set[str]) -> None:
    assert broken_by(stage) >= due


def test_a_sound_rule_passes_in_four_lines() -> None:
    check_rule(vg.TrimmedMean(f=2))


def test_a_failure_shows_how_to_see_it_again() -> None:
    with pytest.raises(
        AssertionError, match=r"order of the vectors does not matter(.|\n)*torch.tensor\(\[\["
    ) as raised:
        check_rule(Ordered(f=1))
    code = str(raised.value).split("Reproduce:\n")[1]
    space = {"Ordered": Ordered, "vg": vg}
    for line in code.splitlines():
        exec(line.strip(), space)
    assert math.isfinite(space["x"].sum())  # type: ignore[attr-defined]


def test_a_claim_may_be_withdrawn() -> None:
    with pytest.raises(AssertionError, match="agree"):
        check_rule(vg.SignMajority(f=1))
    check_rule(vg.SignMajority(f=1), agreement=False, translation=False, scaling=False)


# Attacks


@dataclass(frozen=True)
class Wiping(SignFlip):
    """Send -mu, and wipe the honest vectors."""

    def vectors(self, scene: Any) -> Any:
        result = super().vectors(scene)
        scene.honest.detach().zero_()
        return result


@dataclass(frozen=True)
class Noisy(SignFlip):
    """Send -mu with noise of the global generator."""

    def vectors(self, scene: Any) -> Any:
        value, state = super().vectors(scene)
        return value + torch.randn(value.shape), state


@dataclass(frozen=True)
class Lonely(SignFlip):
    """Send one vector, whatever b."""

    def vectors(self, scene: Any) -> Any:
        value, state = super().vectors(scene)
        return value[..., :1, :], state


@dataclass(frozen=True)
class Copying(SignFlip):
    """Send the honest vectors themselves."""

    def vectors(self, scene: Any) -> Any:
        return scene.honest[..., : scene.b, :], None


@dataclass(frozen=True)
class Mixing(SignFlip):
    """Send -mu, mu being the mean over the whole batch."""

    def vectors(self, scene: Any) -> Any:
        value, state = super().vectors(scene)
        return value * 0 + value.mean(), state


@dataclass(frozen=True)
class Seeded(SignFlip):
    """Send -mu with noise of the stream, but say that it is not randomised."""

    def vectors(self, scene: Any) -> Any:
        value, state = super().vectors(scene)
        return value + torch.randn(value.shape[-1], generator=scene.stream.generator()), state


@dataclass(frozen=True)
class Mislabelling(LabelFlip):
    """Poison with labels beyond the classes, in place."""

    def poison(self, inputs: Tensor, labels: Tensor, classes: int, stream: Any) -> Any:
        return inputs, labels.add_(classes)


@dataclass(unsafe_hash=True)
class Unfrozen(Attack):
    """Send zeros, with a field that can be set."""

    factor: float = 0.0

    def vectors(self, scene: Any) -> Any:
        return torch.zeros(*scene.honest.shape[:-2], scene.b, scene.honest.shape[-1]), None


BROKEN_ATTACKS = [
    (Wiping(), "untouched"),
    (Noisy(), "global_generators"),
    (Lonely(), "shape"),
    (Copying(), "untouched"),
    (Mixing(), "batch"),
    (Seeded(), "deterministic"),
    (Mislabelling(), "poison"),
    (Unfrozen(), "is_value"),
]


@pytest.mark.parametrize(("attack", "due"), BROKEN_ATTACKS, ids=[type(a).__name__ for a, _ in BROKEN_ATTACKS])
def test_a_planted_fault_of_an_attack_is_found(attack: Any, due: str) -> None:
    with pytest.raises(AssertionError, match="breaks a promise"):
        dict(ATTACK_CHECKS)[due](attack)
    with pytest.raises(AssertionError, match="breaks a promise"):
        check_attack(attack)


def test_a_sound_attack_passes() -> None:
    check_attack(SignFlip())
    check_attack(LabelFlip())
