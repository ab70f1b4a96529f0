"""Make a model: one of the catalogue, a copy of yours, or what your factory returns."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from varangian.core.randomness import Stream
from varangian.errors import ParameterError
from varangian.models.architecture import Factory
from varangian.models.catalogue import find


def build(
    model: str | nn.Module | Factory, input_shape: Sequence[int], classes: int, stream: Stream
) -> nn.Module:
    """Return a new model on the CPU, in training mode, with PyTorch's default initialisation.

    ``model`` is a name of the catalogue, a module of your own, which is copied with its values as they
    are, or a function ``(input_shape, classes) -> module``.

    Randomness  drawn from ``stream`` alone; PyTorch's global generator is put back as it was. A function of
                yours must draw from PyTorch's CPU generator to be covered by this.
    Raises      UnknownNameError; ParameterError if the model does not fit the data, or is no model

    >>> build("logistic", (1, 8, 8), classes=10, stream=Stream(1))(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """
    if isinstance(model, nn.Module):
        return copy.deepcopy(model)
    if not isinstance(model, str) and not callable(model):
        raise ParameterError(
            f"A model arrived as {type(model).__name__}; pass a name, a torch.nn.Module, "
            "or a function (input_shape, classes) -> torch.nn.Module."
        )
    factory = find(model) if isinstance(model, str) else model
    with stream.instead_of_global(), torch.device("cpu"):
        made = factory(tuple(input_shape), classes)
    if not isinstance(made, nn.Module):
        raise ParameterError(
            f"The model's function returned {type(made).__name__}; it must return a torch.nn.Module."
        )
    return made
