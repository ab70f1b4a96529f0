"""The Gaussian mechanism as a value: how much noise hides one sample of a batch, for one step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from varangian.core.checks import check_count, check_number
from varangian.core.citations import Reference
from varangian.core.papers import PRIVACY
from varangian.core.values import Value
from varangian.errors import ParameterError

CLIPS = ("sample", "batch")


@dataclass(frozen=True)
class Privacy(Value):
    """Hide every sample of a worker: gradients clipped to ``norm``, averaged, and Gaussian noise added.

    ``epsilon`` and ``delta`` are those of one step; ``varangian.privacy.spent`` tells what a run costs.
    ``clip="sample"`` clips every sample's gradient. ``clip="batch"`` clips only their mean, as the authors'
    released code did: one sample then moves the mean by up to 2 norm, not 2 norm / b, so it **gives no
    guarantee** and is there to reproduce published figures only.

    Guarantee   one step is (epsilon, delta)-private for datasets that differ in the content of one sample,
                proven for epsilon < 1; see ``sound`` and ``caveat``
    Units       norm in units of the gradient; the noise's deviation likewise, per coordinate
    Raises      ParameterError
    Reference   Guerraoui et al., PODC 2021

    >>> privacy = Privacy(epsilon=0.2, norm=0.01)
    >>> round(privacy.deviation(batch_size=50), 5)
    0.0106
    >>> print(Privacy(epsilon=0.2, norm=0.01, clip="batch"))
    Privacy(epsilon=0.2, norm=0.01, clip='batch')
    (no guarantee: clipping the mean of a batch bounds no sample)
    """

    epsilon: float
    norm: float
    delta: float = 1e-6
    clip: str = "sample"

    reference: ClassVar[Reference] = PRIVACY

    def __post_init__(self) -> None:
        check_number(self, "epsilon", self.epsilon)
        check_number(self, "norm", self.norm)
        check_number(self, "delta", self.delta)
        if self.delta >= 1:
            raise ParameterError(
                f"Privacy(delta={self.delta!r}): delta is the probability that the guarantee fails; it must "
                "be below 1, and far below one over the number of samples. Take 1e-6, say."
            )
        if not isinstance(self.clip, str) or self.clip not in CLIPS:
            raise ParameterError(
                f"Privacy(clip={self.clip!r}): clip must be one of {', '.join(CLIPS)}. "
                "Take 'sample', which is the one with a guarantee."
            )

    def sensitivity(self, batch_size: int) -> float:
        """Return 2 norm / b: how far one sample moves the mean of b clipped gradients at most."""
        check_count(self, "batch_size", batch_size, least=1)
        return 2 * self.norm / batch_size

    @property
    def multiplier(self) -> float:
        """Return the noise's deviation over the sensitivity, sqrt(2 ln(1.25 / delta)) / epsilon."""
        return math.sqrt(2 * math.log(1.25 / self.delta)) / self.epsilon

    def deviation(self, batch_size: int) -> float:
        """Return the standard deviation of the noise, per coordinate, for batches of this size."""
        return self.sensitivity(batch_size) * self.multiplier

    @property
    def sound(self) -> bool:
        """Tell whether the theorem that gives one step (epsilon, delta) applies."""
        return not self.caveat

    @property
    def caveat(self) -> str:
        """Return why (epsilon, delta) is not guaranteed for a step; nothing where it is."""
        if self.clip != "sample":
            return "no guarantee: clipping the mean of a batch bounds no sample"
        if self.epsilon >= 1:
            return "noise as for epsilon, which is proven below 1 only; spent(privacy, steps=1) is exact"
        return ""

    def __str__(self) -> str:
        return f"{self!r} ({self.caveat})" if self.caveat else repr(self)
