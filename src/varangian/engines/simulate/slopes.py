"""The way back through what lies between linear layers: by formula where one is short, or by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from varangian.models import SAMPLE_LOSSES, cross_entropy, nll

SampleLoss = Callable[[Tensor, Tensor], Tensor]
"""A loss per sample, of outputs and labels."""

LIKELIHOODS = (((nn.LogSoftmax,), SAMPLE_LOSSES[nll]), ((), SAMPLE_LOSSES[cross_entropy]))
"""Last layers and losses that come to the negative logarithm of the label's softmax."""


WHOLE = 64
"""Numbers of which PyTorch takes any in the same way as their neighbours, if they come in so many."""


SURE = 80.0
"""Logarithm of odds that count as certain: below it, float32 loses digits, and processors lose time."""


class Passage(NamedTuple):
    """What layers made of some numbers, and how a gradient with respect to it goes back through them."""

    value: Tensor
    back: Callable[[Tensor], Tensor]


def passed(layers: nn.Sequential, x: Tensor) -> Passage:
    """Return what layers without parameters make of x.

    >>> passage = passed(nn.Sequential(nn.ReLU()), torch.tensor([-1.0, 2.0]))
    >>> passage.value, passage.back(torch.tensor([3.0, 3.0]))
    (tensor([0., 2.]), tensor([0., 3.]))
    """
    kinds = _kinds(layers)
    if not kinds:
        return Passage(x, lambda above: above)
    if kinds == (nn.ReLU,):
        made = torch.relu(x)
        return Passage(made, lambda above: torch.ops.aten.threshold_backward(above, made, 0))
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        tail: Tensor = layers(leaf)
    return Passage(tail.detach(), lambda above: torch.autograd.grad(tail, leaf, above)[0])


def after(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Return what layers without parameters make of x, from where nothing goes back."""
    if _kinds(layers) == (nn.LogSoftmax,) and x.ndim == 2:
        return x.T.log_softmax(0).T.contiguous()
    made: Tensor = layers(x)
    return made


def judged(
    layers: nn.Sequential, loss: SampleLoss, x: Float[Tensor, "count n"], labels: Int[Tensor, " count"]
) -> tuple[Float[Tensor, " count"], Float[Tensor, "count n"]]:
    """Return every sample's loss after some last layers, and its gradient with respect to x.

    >>> judged(nn.Sequential(), SAMPLE_LOSSES[cross_entropy], torch.zeros(1, 2), torch.tensor([1]))
    (tensor([0.6931]), tensor([[ 0.5000, -0.5000]]))
    """
    if (_kinds(layers), loss) in LIKELIHOODS:
        return _likelihood(x, labels)
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        losses = loss(layers(leaf), labels)
    (gradients,) = torch.autograd.grad(losses, leaf, torch.ones_like(losses))
    return losses.detach(), gradients


def _likelihood(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return -log softmax(x) at the label, and softmax(x) less one there; with a row per class, not sample.

    There are few classes and many samples, and what is done to neighbours is done at once. PyTorch rounds
    the last few numbers of a tensor in another way; room for some more leaves no sample among them.
    """
    count, classes = x.shape
    place = labels.long()[None]
    room = x.new_zeros(classes, -(-count // WHOLE) * WHOLE)
    room[:, :count] = x.T
    logarithms = room.log_softmax(0)
    gradients = logarithms.clamp_min(-SURE).exp()
    gradients.scatter_add_(0, place, gradients.new_full((1, 1), -1.0).expand_as(place))
    return -logarithms.gather(0, place)[0], gradients[:, :count].T.contiguous()


def _kinds(layers: nn.Sequential) -> tuple[type[nn.Module], ...]:
    return tuple(type(part) for part in layers)
