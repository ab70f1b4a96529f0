"""What faults did to the outputs, draw by draw: how far they are off, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.errors import UnknownNameError
from varangian.neurons.bounds import LOSSES


@dataclass(frozen=True, eq=False)
class Errors:
    """What each draw did to the outputs: how far they are off, and what that costs.

    ``largest`` is over inputs and outputs, ``typical`` the mean over inputs of the largest over outputs;
    ``loss`` and ``accuracy`` are means over the inputs, None without labels. An output that is not a number
    is infinitely far off, and wrong.
    """

    largest: Float[Tensor, " draws"]
    typical: Float[Tensor, " draws"]
    loss: Float[Tensor, " draws"] | None = None
    accuracy: Float[Tensor, " draws"] | None = None

    @classmethod
    def of(
        cls,
        faulty: Float[Tensor, "draws batch *classes"],
        outputs: Float[Tensor, "batch *classes"],
        labels: Tensor | None = None,
        loss: str = "nll",
    ) -> Errors:
        """Return the errors of outputs under faults. Raises UnknownNameError for the loss."""
        off = (faulty - outputs).abs_().flatten(2).amax(-1) if faulty.ndim > 2 else (faulty - outputs).abs_()
        off = off.nan_to_num_(nan=torch.inf, posinf=torch.inf)
        if labels is None:
            return cls(off.amax(1), off.mean(1))
        return cls(
            off.amax(1),
            off.mean(1),
            losses(faulty, labels, loss).mean(1).nan_to_num_(nan=torch.inf, posinf=torch.inf),
            right(faulty, labels).to(torch.float64).mean(1),
        )

    @classmethod
    def joined(cls, several: Iterable[Errors]) -> Errors:
        """Return the errors of all draws, in one."""
        held = list(several)
        loss, accuracy = (
            [getattr(one, name) for one in held if getattr(one, name) is not None]
            for name in ("loss", "accuracy")
        )
        return cls(
            torch.cat([one.largest for one in held]),
            torch.cat([one.typical for one in held]),
            torch.cat(loss) if loss else None,
            torch.cat(accuracy) if accuracy else None,
        )


def losses(
    outputs: Float[Tensor, "draws batch *classes"], labels: Tensor, loss: str
) -> Float[Tensor, "draws batch"]:
    """Return the loss of each input, before the mean. Raises UnknownNameError."""
    if loss == "mse":
        return (outputs.flatten(2).squeeze(2) - labels).square()
    index = labels.expand(outputs.shape[:2])[..., None]
    if loss == "nll":
        return -outputs.gather(-1, index).squeeze(-1)
    if loss == "cross_entropy":
        return outputs.logsumexp(-1) - outputs.gather(-1, index).squeeze(-1)
    raise UnknownNameError("loss", loss, LOSSES)


def right(outputs: Float[Tensor, "draws batch *classes"], labels: Tensor) -> Bool[Tensor, "draws batch"]:
    """Tell which outputs are right: the largest is the label's, or a single one is within 1/2 of it."""
    if outputs.ndim == 2 or outputs.shape[-1] == 1:
        return (
            (outputs.flatten(2).squeeze(-1) - labels).abs() < 0.5
            if outputs.ndim > 2
            else (outputs - labels).abs() < 0.5
        )
    # The label's output is the largest, which a NaN beside it never lets be true.
    own = outputs.gather(-1, labels.expand(outputs.shape[:2])[..., None]).squeeze(-1)
    return (own >= outputs.amax(-1)) & own.isfinite()
