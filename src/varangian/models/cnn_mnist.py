"""The convolutional network of the bucketing experiments on MNIST."""

from __future__ import annotations

from torch import nn

from varangian.core.papers import BUCKETING
from varangian.models.architecture import Architecture, picture

SMALLEST = 6  # two convolutions take 4 pixels of each side, pooling halves the rest


def cnn_mnist(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return two convolutions and two linear layers; on MNIST, d = 1 199 882.

    Shape       (batch, channels, height, width) -> (batch, classes), log-probabilities
    """
    channels, height, width = picture("cnn-mnist", input_shape, SMALLEST)
    return nn.Sequential(
        nn.Conv2d(channels, 32, kernel_size=3),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3),
        nn.MaxPool2d(2),
        nn.Dropout2d(0.25),
        nn.Flatten(),
        nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, classes),
        nn.LogSoftmax(dim=-1),
    )


CNN_MNIST = Architecture(
    "cnn-mnist", "two convolutions, two linear layers; pictures from 6 x 6", BUCKETING, cnn_mnist
)
