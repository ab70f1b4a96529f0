"""Logistic regression: one linear layer, with an output per class or a single sigmoid."""

from __future__ import annotations

import math

from torch import nn

from varangian.core.citations import Reference
from varangian.core.papers import PRIVACY
from varangian.errors import ParameterError
from varangian.models.architecture import Architecture

BINARY_SEQUENCES = Reference(
    "David Cox",
    "The Regression Analysis of Binary Sequences",
    "Journal of the Royal Statistical Society, Series B",
    1958,
    "https://doi.org/10.1111/j.2517-6161.1958.tb00292.x",
)


def logistic(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return multinomial logistic regression.

    Shape       (batch, *input_shape) -> (batch, classes), log-probabilities
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), classes), nn.LogSoftmax(dim=-1))


def logistic_sigmoid(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return binary logistic regression; on the 68 features of ``phishing``, d = 69.

    Shape       (batch, *input_shape) -> (batch,), the probability of class 1
    """
    if classes != 2:
        raise ParameterError(
            f"logistic-sigmoid received classes={classes}; its one output tells 2 classes apart.\n"
            'Take "logistic", which has an output per class.'
        )
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), 1), nn.Sigmoid(), nn.Flatten(0))


LOGISTIC = Architecture(
    "logistic", "one linear layer, log-softmax; any input, any classes", BINARY_SEQUENCES, logistic
)
LOGISTIC_SIGMOID = Architecture(
    "logistic-sigmoid",
    "one linear layer, one sigmoid output; any input, 2 classes",
    PRIVACY,
    logistic_sigmoid,
    loss="mse",
)
