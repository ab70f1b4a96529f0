"""What is under test: a stage, the vectors it is tried on, and the symmetries that it claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from varangian.core.needs import Pivot
from varangian.core.randomness import Stream
from varangian.core.run import Aggregation
from varangian.core.stages import ScalingMixer, Stage

FEW = 4
"""Vectors above the least number that a stage is tried on; with f = 0, vectors at all."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One input: ``x`` of shape (*batch, n, d), and the pivot (*batch, d) for a stage that needs one."""

    x: Tensor
    pivot: Tensor | None = None

    def moved(self, scale: float, shift: Tensor | float) -> Trial:
        """Return ``scale * x + shift``, the pivot likewise."""
        pivot = None if self.pivot is None else scale * self.pivot + shift
        return Trial(scale * self.x + shift, pivot)

    def with_rows(self, x: Tensor) -> Trial:
        """Return the same trial with other vectors."""
        return Trial(x, self.pivot)


@dataclass(frozen=True)
class Subject:
    """A stage under test.

    ``n`` and ``d`` are the size of the inputs. ``order`` (it does not matter), ``agreement`` (n equal
    vectors give that vector), ``translation`` and ``scaling`` (the result moves with the vectors) are
    claims, and so is ``bounded`` (f huge vectors leave the result of honest size). By default a stage claims
    the first unless it says ``ordered``; the next three except where its pivots or its kind forbid: a scaling
    mixer claims none, nor does a rule that carries its last output, and one that measures norms does not
    claim translation; the last if all its parts are robust and it neither mixes nor minds the order.
    """

    stage: Stage
    n: int | None = None
    d: int = 4
    order: bool | None = None
    agreement: bool | None = None
    translation: bool | None = None
    scaling: bool | None = None
    bounded: bool | None = None
    device: str = "cpu"

    @classmethod
    def of(cls, stage: Stage | Subject) -> Subject:
        """Return a subject: this one, or the stage with all defaults."""
        return stage if isinstance(stage, Subject) else cls(stage)

    @property
    def least(self) -> int:
        """Return the least number of vectors that the stage accepts."""
        return self.stage.condition().minimum

    @property
    def count(self) -> int:
        """Return the number of vectors that the stage is tried on."""
        return self.least + FEW if self.n is None else self.n

    @property
    def faults(self) -> int:
        """Return the declared faults, 0 if none are declared."""
        return self.stage.f or 0

    @property
    def mixes(self) -> bool:
        """Tell whether vectors come out, rather than one."""
        return self.stage.stages()[-1].mixes

    @property
    def pivots(self) -> set[Pivot]:
        """Return every pivot that some part measures against."""
        return {pivot for part in self.stage.stages() for pivot in part.pivots}

    @property
    def robust(self) -> bool:
        """Tell whether some part keeps liars from mattering."""
        return any(part.robust for part in self.stage.stages())

    @property
    def claims_order(self) -> bool:
        """Tell whether the order of the vectors must not matter."""
        default = not any(part.ordered for part in self.stage.stages())
        return default if self.order is None else self.order

    @property
    def free(self) -> bool:
        """Tell whether neither a scale nor a last output ties the stage to a place."""
        scaling = any(isinstance(part, ScalingMixer) for part in self.stage.stages())
        return not scaling and Pivot.CARRIED not in self.pivots

    @property
    def claims_agreement(self) -> bool:
        """Tell whether n equal vectors must give that vector."""
        return self.free if self.agreement is None else self.agreement

    @property
    def claims_translation(self) -> bool:
        """Tell whether the result must move with the vectors."""
        default = self.free and Pivot.ORIGIN not in self.pivots
        return default if self.translation is None else self.translation

    @property
    def claims_scaling(self) -> bool:
        """Tell whether the result must scale with the vectors."""
        return self.free if self.scaling is None else self.scaling

    @property
    def claims_bounded(self) -> bool:
        """Tell whether f huge vectors must leave the result of honest size."""
        parts = self.stage.stages()
        default = not self.mixes and all(part.robust and not part.ordered for part in parts)
        return default if self.bounded is None else self.bounded

    def trial(
        self,
        seed: int = 0,
        *,
        n: int | None = None,
        d: int | None = None,
        batch: tuple[int, ...] = (),
        dtype: torch.dtype = torch.float64,
    ) -> Trial:
        """Return gaussian vectors without ties, and a pivot made from the first of them if one is needed."""
        n, d = self.count if n is None else n, self.d if d is None else d
        generator = Stream(seed).at("trial", n=n, d=d).generator()
        x = torch.randn(*batch, n, d, generator=generator, dtype=torch.float64) + 0.5
        x = x.to(device=self.device, dtype=dtype)
        return Trial(x, x[..., :2, :].mean(-2) if Pivot.GIVEN in self.pivots else None)

    def run(self, x: Any, pivot: Any = None, **options: Any) -> Aggregation:
        """Return what the stage says of vectors of any kind."""
        given = {} if pivot is None else {"pivot": pivot}
        return self.stage.aggregate(x, **given, **options)

    def value(self, trial: Trial) -> Tensor:
        """Return the stage's output on a trial."""
        result: Tensor = self.run(trial.x, trial.pivot).value
        return result
