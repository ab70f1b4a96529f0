"""A data set in memory: inputs and labels, to train on and to test on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from varangian.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and their classes, already scaled and normalised.

    Shape       inputs (samples, *input_shape), floating point; labels (samples,), int64 below ``classes``
    Raises      DataError if inputs, labels and classes do not fit together

    >>> inputs, labels = torch.zeros(4, 3), torch.tensor([0, 1, 0, 1])
    >>> Dataset("zeros", inputs, labels, inputs, labels, classes=2).input_shape
    (3,)
    """

    name: str
    train_inputs: Float[Tensor, "_ ..."]
    train_labels: Int64[Tensor, "_"]
    test_inputs: Float[Tensor, "_ ..."]
    test_labels: Int64[Tensor, "_"]
    classes: int

    def __post_init__(self) -> None:
        _check_part(self.name, "train", self.train_inputs, self.train_labels, self.classes)
        _check_part(self.name, "test", self.test_inputs, self.test_labels, self.classes)
        if self.train_inputs.shape[1:] != self.test_inputs.shape[1:]:
            raise DataError(
                f"{self.name}: train inputs of shape {tuple(self.train_inputs.shape[1:])} and test inputs of "
                f"shape {tuple(self.test_inputs.shape[1:])} cannot feed one model; give both the same shape."
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one input."""
        return tuple(self.train_inputs.shape[1:])


def _check_part(name: str, part: str, inputs: Tensor, labels: Tensor, classes: int) -> None:
    if labels.ndim != 1 or labels.dtype != torch.int64 or not inputs.is_floating_point():
        raise DataError(
            f"{name}: the {part} inputs are {inputs.dtype}, the labels {labels.dtype} with {labels.ndim} "
            "axes; inputs must be floating point and labels int64 with one axis."
        )
    if inputs.ndim == 0 or len(inputs) != len(labels) or not len(labels):
        raise DataError(
            f"{name}: {part} inputs of shape {tuple(inputs.shape)} beside {len(labels)} labels; "
            "there must be one label for each input, and at least one."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"{name}: the {part} labels span {low}..{high}; with classes = {classes} they must lie in "
            f"0..{classes - 1}."
        )
