"""Flat views of a module's trainable parameters: one vector in, one vector out."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.errors import ParameterError, ShapeError


def flatten(tensors: Iterable[Tensor], leading: int = 0) -> Float[Tensor, "*batch d"]:
    """Return the tensors side by side in one new tensor; the first ``leading`` axes are kept.

    Shape       each (*batch, *shape) -> (*batch, d), with ``leading`` axes in *batch

    >>> flatten([torch.zeros(2, 3), torch.ones(())])
    tensor([0., 0., 0., 0., 0., 0., 1.])
    >>> flatten([torch.zeros(8, 2, 3), torch.ones(8)], leading=1).shape
    torch.Size([8, 7])
    """
    pieces = [
        tensor.reshape(*tensor.shape[:leading], math.prod(tensor.shape[leading:])) for tensor in tensors
    ]
    if not pieces:
        raise ShapeError("flatten received no tensor; pass at least one, for instance a module's parameters.")
    return torch.cat(pieces, dim=-1)


class FlatParameters:
    """The parameters of a module that require a gradient, in their order, read as one vector.

    Which parameters these are is settled when this is made; a parameter shared by two layers counts once.

    Raises      ParameterError if there is none, or one whose shape is not known yet

    >>> flat = FlatParameters(nn.Linear(3, 2))
    >>> flat.d, flat.names
    (8, ('weight', 'bias'))
    """

    def __init__(self, module: nn.Module) -> None:
        trainable = {name: value for name, value in module.named_parameters() if value.requires_grad}
        if not trainable:
            raise ParameterError(
                f"{type(module).__name__} has no trainable parameters; training needs at least one.\n"
                "Give it a layer, or call requires_grad_() on those that should learn."
            )
        for name, value in trainable.items():
            if isinstance(value, nn.parameter.UninitializedParameter):
                raise ParameterError(
                    f"{type(module).__name__} does not know the shape of {name!r} yet.\n"
                    "Pass one batch through the module first."
                )
        self.module = module
        self.names = tuple(trainable)
        self.shapes = tuple(value.shape for value in trainable.values())
        self.d = sum(map(math.prod, self.shapes))

    def __repr__(self) -> str:
        return f"FlatParameters({type(self.module).__name__}, d={self.d})"

    def tensors(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters themselves."""
        return tuple(map(self.module.get_parameter, self.names))

    def get(self) -> Float[Tensor, " d"]:
        """Return a copy of all values."""
        return flatten(tensor.detach() for tensor in self.tensors())

    def set(self, flat: Float[Tensor, "..."]) -> None:
        """Write all values into the module, in its own dtype and on its own device.

        Shape       (d,)
        Raises      ShapeError unless ``flat`` is one vector of d coordinates
        """
        if flat.ndim != 1:
            raise ShapeError(
                f"{self!r} received {tuple(flat.shape)}; a module holds one vector, ({self.d},)."
            )
        with torch.no_grad():
            for tensor, values in zip(self.tensors(), self.unflatten(flat).values(), strict=True):
                tensor.copy_(values)

    def unflatten(self, flat: Float[Tensor, "..."]) -> dict[str, Tensor]:
        """Return views into ``flat`` under the names that ``torch.func.functional_call`` needs.

        Shape       (*batch, d) -> one (*batch, *shape) per name
        Raises      ShapeError unless the last axis has d coordinates
        """
        if flat.ndim == 0 or flat.shape[-1] != self.d:
            raise ShapeError(
                f"{self!r} received {tuple(flat.shape)}; the last axis must have d = {self.d} coordinates.\n"
                "Take a vector that get() returned for a module of the same shapes."
            )
        pieces = flat.split([math.prod(shape) for shape in self.shapes], dim=-1)
        return {
            name: piece.view((*flat.shape[:-1], *shape))
            for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True)
        }

    def gradient(self, loss: Float[Tensor, ""]) -> Float[Tensor, " d"]:
        """Return the gradient of a loss; zero for a parameter that the loss does not use."""
        return flatten(torch.autograd.grad(loss, self.tensors(), materialize_grads=True))
