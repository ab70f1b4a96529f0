"""How straight the path of the mean gradient is: cosine with the last one, and composite curvature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.kernels.inner import inner
from varangian.metrics.signals import Columns, angles


@dataclass(frozen=True, eq=False)
class Trail:
    """The mean sampled gradients g_u of all steps so far, in brief.

    ``discounted`` is the sum of mu^(t-u) g_u, and ``curvature`` what of its squared norm is not the norms of
    its terms: s_t = 2 sum over v < u of mu^(2t-u-v) <g_u, g_v> (recalled). Where it is positive, the path is
    straight, and momentum gathers more signal than spread.

    Reference   El-Mhamdi et al., ICLR 2021
    """

    previous: Float[Tensor, "*batch d"]
    discounted: Float[Tensor, "*batch d"]
    curvature: Float[Tensor, "*batch"]

    @classmethod
    def start(cls, theta: Float[Tensor, "*batch d"]) -> Trail:
        """Return the trail before the first step."""
        nothing = torch.zeros_like(theta)
        return cls(nothing, nothing, nothing[..., 0])

    def onward(
        self, gradient: Float[Tensor, "*batch d"], mu: Float[Tensor, "*batch"] | float
    ) -> tuple[Trail, Columns]:
        """Return the trail after one more mean gradient, and what is told of it.

        >>> trail = Trail.start(torch.zeros(1)).onward(torch.tensor([1.0]), 0.5)[0]
        >>> trail.onward(torch.tensor([2.0]), 0.5)[1]
        {'sampled_to_previous': tensor(1.), 'curvature': tensor(2.)}
        """
        factor = torch.as_tensor(mu, dtype=gradient.dtype, device=gradient.device)
        table, _ = inner([gradient, self.previous, self.discounted])
        straight = 2 * factor * table[..., 0, 2].to(gradient)
        curvature = straight + factor.square() * self.curvature
        discounted = factor[..., None] * self.discounted + gradient
        told = {"sampled_to_previous": angles(table)[..., 0, 1].to(gradient), "curvature": curvature}
        return Trail(gradient, discounted, curvature), told
