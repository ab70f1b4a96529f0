"""Losses: outputs and labels -> the mean error of a batch; and which outputs are right."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from varangian.errors import ShapeError, UnknownNameError
from varangian.models.architecture import Architecture, Factory
from varangian.models.catalogue import find

Loss = Callable[[Tensor, Tensor], Tensor]
"""Anything that makes one number of the outputs and the labels of a batch."""

_AXES = {1: "(batch,), one number per sample", 2: "(batch, classes)"}


def nll(outputs: Float[Tensor, "batch *classes"], labels: Integer[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the mean negative log-likelihood of the labels, given log-probabilities.

    Shape       (batch, classes), (batch,) -> ()
    Raises      ShapeError
    """
    _need(outputs, 2, "nll")
    return functional.nll_loss(outputs, labels.long())


def cross_entropy(
    outputs: Float[Tensor, "batch *classes"], labels: Integer[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Return the mean negative log-likelihood of the labels, given logits.

    Of log-probabilities it is the same as ``nll``.

    Shape       (batch, classes), (batch,) -> ()
    Raises      ShapeError
    """
    _need(outputs, 2, "cross_entropy")
    return functional.cross_entropy(outputs, labels.long())


def mse(outputs: Float[Tensor, "batch *classes"], labels: Integer[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the mean squared difference between a probability of class 1 and the label, 0 or 1.

    Shape       (batch,), (batch,) -> ()
    Raises      ShapeError
    """
    _need(outputs, 1, "mse")
    return (outputs - labels).square().mean()


LOSSES: MappingProxyType[str, Loss] = MappingProxyType(
    {"nll": nll, "mse": mse, "cross_entropy": cross_entropy}
)
"""The catalogue of losses."""


SAMPLE_LOSSES: MappingProxyType[Loss, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        nll: lambda outputs, labels: functional.nll_loss(outputs, labels, reduction="none"),
        cross_entropy: lambda outputs, labels: functional.cross_entropy(outputs, labels, reduction="none"),
        mse: lambda outputs, labels: (outputs - labels).square(),
    }
)
"""The losses of the catalogue before their mean is taken: one number per sample."""


def loss_for(model: str | nn.Module | Factory, loss: str | Loss | None = None) -> Loss:
    """Return the loss of that name, or by default the one that the model's outputs are made for.

    A model of your own is taken to return logits.

    Raises      UnknownNameError

    >>> loss_for("mlp").__name__, loss_for(nn.Linear(3, 2)).__name__, loss_for("mlp", "mse").__name__
    ('nll', 'cross_entropy', 'mse')
    """
    architecture = find(model) if isinstance(model, str) else model
    if loss is None:
        loss = architecture.loss if isinstance(architecture, Architecture) else "cross_entropy"
    if not isinstance(loss, str):
        return loss
    if loss not in LOSSES:
        raise UnknownNameError("loss", loss, LOSSES)
    return LOSSES[loss]


def correct(
    outputs: Float[Tensor, "batch *classes"], labels: Integer[Tensor, " batch"]
) -> Bool[Tensor, " batch"]:
    """Tell which outputs are right: the largest is the label's, or a single one is closer than 1/2 to it.

    Shape       (batch, classes) or (batch,), (batch,) -> (batch,)
    Raises      ShapeError

    >>> import torch
    >>> correct(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    tensor([ True, False])
    >>> correct(torch.tensor([0.7, 0.5, 0.2]), torch.tensor([1, 1, 1]))
    tensor([ True, False, False])
    """
    if outputs.ndim == 1:
        return (outputs - labels).abs() < 0.5
    _need(outputs, 2, "correct")
    return outputs.argmax(dim=-1) == labels


def _need(outputs: Tensor, axes: int, name: str) -> None:
    """Refuse outputs that would be broadcast against the labels instead of compared with them."""
    if outputs.ndim != axes:
        raise ShapeError(
            f"{name} received outputs of shape {tuple(outputs.shape)}; it needs {_AXES[axes]}.\n"
            "Change the model's last layer, or take the loss that fits it: nll for log-probabilities, "
            "cross_entropy for logits, mse for one sigmoid output."
        )
