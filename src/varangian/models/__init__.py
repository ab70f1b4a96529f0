"""Models: inputs -> outputs, one per class; and the losses that judge them by the labels."""

from varangian.models.architecture import Architecture, Factory
from varangian.models.build import build
from varangian.models.catalogue import MODELS, find
from varangian.models.losses import LOSSES, SAMPLE_LOSSES, Loss, correct, cross_entropy, loss_for, mse, nll

__all__ = [
    "LOSSES",
    "MODELS",
    "SAMPLE_LOSSES",
    "Architecture",
    "Factory",
    "Loss",
    "build",
    "correct",
    "cross_entropy",
    "find",
    "loss_for",
    "mse",
    "nll",
]
