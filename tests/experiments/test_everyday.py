"""What the library is for: digits, twenty workers, four of them as bad as they can be."""

from __future__ import annotations

import pytest

import varangian as vg


@pytest.mark.parametrize("model", ["logistic", pytest.param("mlp", marks=pytest.mark.slow)])
def test_a_robust_chain_trains_where_averaging_is_lost(model: str) -> None:
    spec = vg.Experiment(
        data="digits",
        model=model,
        workers=20,
        byzantine=4,
        rule=vg.chain(vg.NearestNeighborMixing(f=4), vg.TrimmedMean(f=4)),
        attack=vg.Optimal(),
        steps=60,
    )
    calm, averaged, robust = vg.run([one for _, one in vg.versus(spec)])
    assert calm.accuracy > 0.75
    assert robust.accuracy >= calm.accuracy - 0.05
    assert averaged.accuracy < 0.3
    assert not robust.diverged
