"""The models that the library knows: plain values, nothing is made here."""

from __future__ import annotations

from varangian.errors import UnknownNameError
from varangian.models.architecture import Architecture
from varangian.models.cnn_cifar import CNN_CIFAR
from varangian.models.cnn_mnist import CNN_MNIST
from varangian.models.logistic import LOGISTIC, LOGISTIC_SIGMOID
from varangian.models.mlp import MLP

MODELS: tuple[Architecture, ...] = (LOGISTIC, LOGISTIC_SIGMOID, MLP, CNN_MNIST, CNN_CIFAR)
"""The catalogue of models."""


def find(name: str) -> Architecture:
    """Return the model of that name. Raises UnknownNameError."""
    for architecture in MODELS:
        if architecture.name == name.lower():
            return architecture
    raise UnknownNameError("model", name, [architecture.name for architecture in MODELS])
