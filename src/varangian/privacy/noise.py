"""The noise that hides a sample."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.core.randomness import Stream
from varangian.privacy.mechanism import Privacy


def noise(
    privacy: Privacy, batch_size: int, d: int, stream: Stream, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " d"]:
    """Return Gaussian noise of the deviation that hides one sample of a batch, drawn on the CPU.

    It is the noise of an experiment that can be repeated. Who knows the seed can subtract it, and the last
    bits of floating-point numbers tell of what they were added to: where real people's data is at stake,
    draw the seed from ``secrets``, keep it, and read on floating-point attacks.

    Shape       (d,)
    Randomness  from ``stream`` alone
    """
    drawn = torch.randn(d, generator=stream.generator(), dtype=dtype)
    return drawn * privacy.deviation(batch_size)
