"""Generated inputs for rules: ordinary gradients, and everything that makes a rule stumble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("gaussian", "outliers", "grid", "duplicates", "zeros", "close", "colluding", "huge")


@dataclass(frozen=True)
class Case:
    """One input: n vectors of which f are declared Byzantine, exactly representable in float32."""

    kind: str
    x: NDArray[np.float32]
    f: int
    seed: int

    @property
    def n(self) -> int:
        return len(self.x)


def cases(least_n: int, per_f: int, count: int, *, most_f: int = 3, most_d: int = 6) -> Iterator[Case]:
    """Yield ``count`` cases with n >= least_n + per_f * f, at its smallest and above, f = 0 included."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        kind = KINDS[seed % len(KINDS)]
        f = int(rng.integers(0, most_f + 1))
        n = least_n + per_f * f + int(rng.choice([0, 0, 1, 2, 3]))
        d = int(rng.integers(1, most_d + 1))
        yield Case(kind, _vectors(kind, n, d, f, rng), f, seed)


def _vectors(kind: str, n: int, d: int, f: int, rng: np.random.Generator) -> NDArray[np.float32]:
    x = rng.standard_normal((n, d))
    liars = rng.permutation(n)[:f]
    match kind:
        case "outliers":
            x[liars] = rng.standard_normal((f, d)) * 10.0 ** rng.integers(1, 7, (f, 1))
        case "grid":
            x = rng.integers(-2, 3, (n, d)).astype(float)
        case "duplicates":
            x = x[rng.integers(0, max(1, n // 2), n)]
        case "zeros":
            x[rng.permutation(n)[: max(1, n // 3)]] = 0.0
        case "close":
            x = 50.0 + 1e-3 * x
        case "colluding":
            x[liars] = -3.0 * x.mean(0)
        case "huge":
            x[liars] = 1e10 * rng.standard_normal(d)
    return x.astype(np.float32)
