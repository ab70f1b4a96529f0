"""Tables over subsets of the coordinates go through mixers as the table over all of them does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.core.conditions import Condition
from varangian.core.needs import NeedsVectors
from varangian.core.run import place
from varangian.core.stages import Composite, Stage
from varangian.kernels.distances import pairwise

N, D, F = 15, 400, 2
NNM = vg.NearestNeighborMixing(f=F)
DNC = vg.DnC(f=F, coordinates=40)
MIXERS: list[tuple[vg.Mixer, ...]] = [
    (NNM,),
    (NNM, NNM),
    (vg.Bucketing(f=F, s=1), NNM),
    (vg.Clipping(radius=8.0, f=F), NNM),
    (NNM, vg.Clipping(radius=3.0, f=F)),
    (vg.AdaptiveClipping(f=F), NNM),
]


def vectors(seed: int, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, D, generator=generator, dtype=torch.float64) * 0.5 + 0.1
    x[-F:] = scale * torch.randn(D, generator=generator, dtype=torch.float64)
    return x


def one_by_one(mixers: tuple[vg.Mixer, ...], x: Tensor, stream: vg.Stream) -> Tensor:
    for at, mixer in enumerate(mixers):
        x = mixer(x, stream=stream.at("stage", place=at))
    result: Tensor = DNC(x, stream=stream.at("stage", place=len(mixers)))
    return result


@pytest.mark.parametrize("scale", [3.0, 1e4, 1e10, 1e25, 3e38])
@pytest.mark.parametrize("mixers", MIXERS, ids=str)
def test_a_chain_equals_its_stages_one_by_one(mixers: tuple[vg.Mixer, ...], scale: float) -> None:
    for seed in range(5):
        x, stream = vectors(seed, scale), vg.Stream(seed)
        whole = vg.chain(*mixers, DNC)(x, stream=stream)
        torch.testing.assert_close(whole, one_by_one(mixers, x, stream), rtol=1e-9, atol=1e-9)


def test_groups_too_are_mixed_before_they_are_measured_on_subsets() -> None:
    """Behind groups, few enough liars to leave every filter a clear choice."""
    mixers = (vg.Bucketing(f=F, s=2), NNM)
    for seed in range(20):
        x, stream = vectors(seed), vg.Stream(seed)
        whole = vg.chain(*mixers, DNC)(x, stream=stream)
        torch.testing.assert_close(whole, one_by_one(mixers, x, stream), rtol=1e-9, atol=1e-9)


@dataclass(frozen=True)
class Wrapped(Composite):
    """A chain inside a composite of one's own."""

    inner: Stage
    f: int = F

    def condition(self) -> Condition:
        """Return the inner condition."""
        return self.inner.condition()

    def stages(self) -> tuple[Stage, ...]:
        """Return the chain itself, stages and all."""
        return (self.inner,)


def test_nested_composites_name_their_streams_by_place() -> None:
    x, stream = vectors(1, 0.5), vg.Stream(3)
    inner = vg.chain(NNM, vg.DnC(f=F, coordinates=4, iterations=1))
    nested = Wrapped(inner).aggregate(x, stream=stream)
    assert nested.reads == 2
    assert torch.equal(nested.value, inner(x, stream=stream.at("stage", place=0)))
    assert not torch.equal(nested.value, inner(x, stream=stream))


def cancelling() -> Tensor:
    """Return vectors between two far pairs, of which each neighbourhood leaves out one on either side."""
    x = torch.zeros(N, D, dtype=torch.float64)
    x[:-4, 0] = torch.linspace(-1, 1, N - 4, dtype=torch.float64)
    x[-4:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    x[-4:, 1] = torch.tensor([1e6, 1e6, -1e6, -1e6])
    return x


def test_what_lost_its_digits_is_measured_again_and_nothing_beside_it() -> None:
    calm = vectors(0)
    rule = vg.chain(NNM, NNM, vg.DnC(f=F, coordinates=D // 2))
    beside = [rule.aggregate(torch.stack([calm, other])) for other in (vectors(7), cancelling())]
    assert [aggregation.reads for aggregation in beside] == [2, 3]
    assert torch.equal(beside[0].value[0], beside[1].value[0])


def test_subsets_whose_fold_cancels_are_measured_after_the_mixing() -> None:
    x = cancelling()
    got = vg.chain(NNM, vg.DnC(f=F, coordinates=D)).aggregate(x)
    assert got.reads == 2
    torch.testing.assert_close(got.value, vg.DnC(f=F, coordinates=D)(NNM(x)), rtol=1e-9, atol=1e-9)


def test_distance_space_has_no_coordinates_to_choose_from() -> None:
    with pytest.raises(NeedsVectors):
        place(vg.chain(NNM, DNC), pairwise(vectors(0)), N)


def test_only_the_subsets_are_looked_at_and_what_is_not_finite_is_counted_all_the_same() -> None:
    x = vectors(2)
    mask = torch.isin(torch.arange(D), DNC.subsets(D, vg.Stream()))
    x[3, ~mask] = torch.nan
    x[4, mask] = torch.inf
    clean = x.nan_to_num(nan=0.0, posinf=0.0)
    blocks = vg.InBlocks(lambda: iter(x.split(90, dim=1)), (N, D))
    for given in (x, list(x), [[row[:150], row[150:]] for row in x], blocks):
        found = DNC.aggregate(given)
        assert found.reads == 1
        assert found.nonfinite.tolist() == [0] * 3 + [int((~mask).sum()), int(mask.sum())] + [0] * (N - 5)
        value = torch.cat(list(found.value)) if isinstance(found.value, list) else found.value
        torch.testing.assert_close(value, DNC(clean), rtol=1e-12, atol=1e-12)


def test_large_subsets_are_brought_together_a_few_columns_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x = vectors(3)
    whole = DNC(x)
    monkeypatch.setattr("varangian.kernels.sampled.WIDE_ELEMENTS", 8 * N)
    torch.testing.assert_close(DNC(x), whole, rtol=1e-12, atol=1e-12)
