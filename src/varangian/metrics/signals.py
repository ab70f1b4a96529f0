"""Numbers that describe the vectors at one stage of a step."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor


def describe(name: str, vectors: Float[Tensor, "k d"]) -> dict[str, float]:
    """Return the total variance, the norm of the mean, and the mean's largest coordinate.

    The variance is the trace of the covariance, k - 1 in the denominator; zero for one vector.

    >>> import torch
    >>> describe("sent", torch.tensor([[3.0, 0.0], [3.0, 8.0]]))
    {'sent_variance': 32.0, 'sent_norm': 5.0, 'sent_largest': 4.0}
    """
    mean = vectors.mean(0)
    count = len(vectors)
    variance = sum(float((vector - mean).square().sum()) for vector in vectors) / max(1, count - 1)
    return {
        f"{name}_variance": variance,
        f"{name}_norm": float(mean.norm()),
        f"{name}_largest": float(mean.abs().max()),
    }


def cosine(a: Float[Tensor, " d"], b: Float[Tensor, " d"]) -> float:
    """Return the cosine of two vectors; NaN if either is zero.

    >>> import torch
    >>> cosine(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    1.0
    """
    length = float(a.norm()) * float(b.norm())
    return float(a @ b) / length if length > 0 else math.nan


def variance_to_norm(described: dict[str, float], name: str) -> float:
    """Return the standard deviation over the norm of the mean, of what ``describe`` returned.

    >>> variance_to_norm({"sent_variance": 4.0, "sent_norm": 2.0}, "sent")
    1.0
    """
    norm = described[f"{name}_norm"]
    return math.sqrt(described[f"{name}_variance"]) / norm if norm > 0 else math.inf
