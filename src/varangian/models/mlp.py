"""A perceptron with one hidden layer."""

from __future__ import annotations

import math

from torch import nn

from varangian.core.papers import MOMENTUM
from varangian.models.architecture import Architecture

HIDDEN = 100


def mlp(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return a perceptron with 100 hidden units; on MNIST, d = 79 510.

    Shape       (batch, *input_shape) -> (batch, classes), log-probabilities
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, classes),
        nn.LogSoftmax(dim=-1),
    )


MLP = Architecture("mlp", "100 hidden units with ReLU, log-softmax; any input, any classes", MOMENTUM, mlp)
