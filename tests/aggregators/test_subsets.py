"""The exact searches: how far they go, and what they say when they may go no further."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import varangian as vg
from varangian.errors import SearchLimitError


def gradients(kind: str, n: int, f: int, seed: int, d: int = 1000) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    match kind:
        case "outliers":
            x[:f] += 5 * rng.standard_normal(d)
        case "a little":
            x[:f] = x[f:].mean(0) + x[f:].std(0)
        case "heterogeneous":
            x = 0.3 * x + rng.standard_normal((10, d))[rng.integers(0, 10, n)]
    return torch.from_numpy(x)


@pytest.mark.parametrize("kind", ["alike", "outliers", "a little", "heterogeneous"])
@pytest.mark.parametrize(("n", "f"), [(25, 5), (25, 11), (51, 12), (51, 24), (101, 49)])
def test_least_diameter_visits_few_nodes_on_gradients(kind: str, n: int, f: int) -> None:
    for seed in range(3):
        vg.MinimumDiameterAveraging(f=f, nodes=20 * n)(gradients(kind, n, f, seed))


def test_searches_stop_at_their_limit_and_say_what_to_do() -> None:
    x = gradients("alike", 25, 5, 0)
    with pytest.raises(SearchLimitError, match=r"raise nodes=, or use a rule"):
        vg.MinimumDiameterAveraging(f=5, nodes=2)(x)
    with pytest.raises(SearchLimitError, match=r"raise nodes=.*use CAF"):
        vg.SMEA(f=5, nodes=100)(x)


def test_smea_prunes_where_outliers_are_plain() -> None:
    x = gradients("outliers", 25, 5, 0)
    chosen = vg.SMEA(f=5, nodes=5_000).aggregate(x).weights
    assert chosen is not None
    assert not chosen[:5].any()
