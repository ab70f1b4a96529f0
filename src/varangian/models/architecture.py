"""What a model of the catalogue is: a name, a summary, its paper, and how it is made for given data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from varangian.core.citations import Reference
from varangian.errors import ParameterError

Factory = Callable[[tuple[int, ...], int], nn.Module]
"""Anything that makes a module for an input shape and a number of classes."""


@dataclass(frozen=True)
class Architecture:
    """A family of models, one for every input shape and number of classes that ``make`` accepts.

    ``loss`` names the loss that its outputs are made for.

    Raises      ParameterError where no model fits the data, saying which data it needs
    """

    name: str
    summary: str
    reference: Reference
    make: Factory
    loss: str = "nll"

    def __call__(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a new model, initialised from PyTorch's current generator."""
        if not input_shape or min(input_shape) < 1:
            raise ParameterError(
                f"{self.name} received inputs of shape {input_shape}; every input needs at least one "
                "axis, and no axis may be empty.\nMake a single number an input of shape (1,)."
            )
        if classes < 2:
            raise ParameterError(
                f"{self.name} received classes={classes}; to classify takes at least 2.\n"
                "Pass the number of different labels."
            )
        return self.make(input_shape, classes)


def picture(name: str, input_shape: tuple[int, ...], smallest: int) -> tuple[int, int, int]:
    """Return (channels, height, width), or refuse what is no picture of at least that many pixels a side."""
    if len(input_shape) != 3 or min(input_shape[1:]) < smallest:
        raise ParameterError(
            f"{name} received inputs of shape {input_shape}; it needs pictures (channels, height, width) "
            f"of at least {smallest} x {smallest} pixels.\n"
            'Reshape the inputs, or take "mlp", which reads inputs of any shape.'
        )
    channels, height, width = input_shape
    return channels, height, width
