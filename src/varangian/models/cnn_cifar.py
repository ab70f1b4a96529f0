"""The convolutional network of the worker-momentum experiments on CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from torch import nn

from varangian.core.papers import MOMENTUM
from varangian.models.architecture import Architecture, picture

MANY_CLASSES = 100
SMALLEST = 4  # two poolings halve each side


def cnn_cifar(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return four convolutions with batch normalisation and two linear layers; on CIFAR-10, d = 1 310 922.

    The hidden layer has 128 units, or 256 from 100 classes on.

    Shape       (batch, channels, height, width) -> (batch, classes), log-probabilities
    """
    channels, height, width = picture("cnn-cifar", input_shape, SMALLEST)
    hidden = 256 if classes >= MANY_CLASSES else 128
    return nn.Sequential(
        *_block(channels, 64),
        *_block(64, 128),
        nn.Flatten(),
        nn.Linear(128 * (height // 4) * (width // 4), hidden),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(hidden, classes),
        nn.LogSoftmax(dim=-1),
    )


def _block(channels: int, features: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels, features, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(features),
        nn.Conv2d(features, features, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(features),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
    )


CNN_CIFAR = Architecture(
    "cnn-cifar",
    "four convolutions with batch normalisation, two linear layers; pictures from 4 x 4",
    MOMENTUM,
    cnn_cifar,
)
