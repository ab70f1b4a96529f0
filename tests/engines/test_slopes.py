"""The way back by formula is automatic differentiation's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from varangian.engines.simulate.slopes import after, judged, passed
from varangian.models import SAMPLE_LOSSES, cross_entropy, mse, nll


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 3


BETWEEN = [(), (nn.ReLU(),), (nn.Tanh(),), (nn.ReLU(), nn.GELU()), (nn.LogSoftmax(-1),)]
LAST = [
    ((nn.LogSoftmax(-1),), nll),
    ((nn.LogSoftmax(1),), nll),
    ((), cross_entropy),
    ((nn.LogSoftmax(-1),), cross_entropy),
    ((nn.Tanh(),), cross_entropy),
]


@pytest.mark.parametrize("layers", BETWEEN)
def test_between_layers(layers: tuple[nn.Module, ...]) -> None:
    x, above = drawn(9, 4), drawn(9, 4).flip(0)
    x[0, 0] = 0.0
    leaf = x.clone().requires_grad_()
    want = nn.Sequential(*layers)(leaf)
    (back,) = torch.autograd.grad(want, leaf, above) if layers else (above,)
    passage = passed(nn.Sequential(*layers), x)
    torch.testing.assert_close(passage.value, want.detach())
    torch.testing.assert_close(passage.back(above), back)
    torch.testing.assert_close(after(nn.Sequential(*layers), x), want.detach())
    assert not passage.value.requires_grad


@pytest.mark.parametrize(("layers", "loss"), LAST)
def test_last_layers_and_losses(layers: tuple[nn.Module, ...], loss) -> None:  # type: ignore[no-untyped-def]
    x, labels = drawn(9, 4), torch.arange(9) % 4
    leaf = x.clone().requires_grad_()
    want = SAMPLE_LOSSES[loss](nn.Sequential(*layers)(leaf), labels)
    (back,) = torch.autograd.grad(want, leaf, torch.ones_like(want))
    losses, gradients = judged(nn.Sequential(*layers), SAMPLE_LOSSES[loss], x, labels)
    torch.testing.assert_close(losses, want.detach())
    torch.testing.assert_close(gradients, back)
    assert gradients.is_contiguous()


def test_a_sample_that_is_not_finite_stays_by_itself() -> None:
    x, labels = drawn(3, 4), torch.tensor([0, 1, 2])
    x[1, 2] = torch.nan
    losses, gradients = judged(nn.Sequential(), SAMPLE_LOSSES[cross_entropy], x, labels)
    assert losses.isnan().tolist() == [False, True, False]
    assert gradients.isnan().all(-1).tolist() == [False, True, False]


def test_another_loss() -> None:
    x, labels = drawn(6, 1), torch.tensor([0, 1, 1, 0, 1, 0])
    losses, gradients = judged(nn.Sequential(nn.Sigmoid(), nn.Flatten(0)), SAMPLE_LOSSES[mse], x, labels)
    gap = x.sigmoid()[:, 0] - labels
    torch.testing.assert_close(losses, gap.square())
    torch.testing.assert_close(gradients[:, 0], 2 * gap * (x.sigmoid() * (1 - x.sigmoid()))[:, 0])
