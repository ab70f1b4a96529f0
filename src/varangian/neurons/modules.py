"""A model as a chain of modules: what may stand in it, and what is refused, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.errors import InputError, ParameterError
from varangian.neurons.activations import facts

LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
MEAN_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
POOLS = (*MAX_POOLS, *MEAN_POOLS)
SILENT = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""What changes no value while a model is evaluated."""
HEADS = {nn.LogSoftmax: 2.0, nn.Softmax: 0.5}
"""What may follow the output layer, and how much it can stretch the largest error of its inputs.

A log-probability is a logit minus the logarithm of a sum, and either moves by the error at most; a row of the
Jacobian of softmax has 2 p (1 - p) as its sum of absolute values.
"""


_PLAIN_POOLS: tuple[tuple[str, Any], ...] = (
    ("padding", 0),
    ("dilation", 1),
    ("ceil_mode", False),
    ("divisor_override", None),
)
"""How pools must be made so that each output is pooled of as many values as the next."""


def chain_of(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the modules of a chain, nested chains opened.

    Raises      ParameterError for a model that is no chain, or of modules that no bound is known for
    """
    if not isinstance(model, nn.Sequential):
        raise ParameterError(
            f"{type(model).__name__} is no torch.nn.Sequential, so its layers cannot be told from outside; "
            "bounds need a chain of layers.\nWrite it as one, or hand it to varangian.neurons.traced first."
        )
    chain = tuple(_opened(model))
    for place, module in enumerate(chain):
        _check_known(place, module)
    return chain


def _opened(model: nn.Module) -> Iterator[nn.Module]:
    for module in model if isinstance(model, nn.Sequential) else ():
        if isinstance(module, nn.Sequential):
            yield from _opened(module)
        else:
            yield module


def _check_known(place: int, module: nn.Module) -> None:
    kind = type(module)
    told = f"Module {place} is a {kind.__name__}"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        raise ParameterError(
            f"{told}, which no bound is known for: fold it into the layer before, with torch.nn.utils.fusion."
        )
    if kind not in (*LINEAR, *POOLS, *SILENT, *HEADS) and facts(module) is None:
        known = "linear and convolutional layers, activations, max and average pooling"
        raise ParameterError(f"{told}, which no bound is known for; known are {known}.")
    if kind in LINEAR:
        _check_weights(told, module)
        if getattr(module, "padding_mode", "zeros") != "zeros":
            raise ParameterError(f"{told} with padding_mode={module.padding_mode!r}; bounds need 'zeros'.")
    for name, plain in _PLAIN_POOLS if kind in POOLS else ():
        held = getattr(module, name, plain)
        if _several(held) != {plain}:
            raise ParameterError(f"{told} with {name}={held!r}; bounds need {name}={plain!r}.")


def _check_weights(told: str, module: nn.Module) -> None:
    for name, values in module.named_parameters(recurse=False):
        bad = int((~values.detach().isfinite()).sum())
        if bad:
            raise ParameterError(
                f"{told} whose {name} holds {bad} values that are not finite; nothing can be said of such a "
                "model. Train it again, or repair the file."
            )


def check_inputs(model: nn.Module, inputs: Float[Tensor, "batch *shape"]) -> None:
    """Refuse inputs that are none, or of which one is not finite. Raises InputError."""
    if not len(inputs):
        raise InputError("No input arrived; bounds and measurements need at least one.")
    if not bool(inputs.isfinite().all()):
        raise InputError("An input is not finite; leave it out, or repair it.")
    held = next((values for values in model.parameters()), None)
    if held is not None and held.dtype != inputs.dtype:
        raise InputError(
            f"The model computes in {held.dtype}, and inputs arrived in {inputs.dtype}; convert one of them."
        )


def run_all(modules: Sequence[nn.Module], inputs: Float[Tensor, "batch *shape"]) -> list[Tensor]:
    """Return the inputs, and what comes out of each module of a chain. Raises InputError."""
    values = [inputs]
    for place, module in enumerate(modules):
        try:
            values.append(module(values[-1]))
        except (RuntimeError, ValueError, IndexError) as error:
            told = str(error).partition("\n")[0]
            raise InputError(
                f"Inputs of shape {tuple(inputs.shape)} do not fit the model: module {place}, a "
                f"{type(module).__name__}, received {tuple(values[-1].shape)} and said: {told}."
            ) from None
    return values


def fan_in(module: nn.Module) -> int:
    """Return how many values an output of a linear or pooling module is made of at most.

    >>> fan_in(nn.Linear(7, 3)), fan_in(nn.Conv2d(2, 5, 3)), fan_in(nn.MaxPool2d(2))
    (7, 18, 4)
    """
    if isinstance(module, POOLS):
        return window(module)
    return int(module.weight[0].numel())  # type: ignore[index]


def fan_out(module: nn.Module) -> int:
    """Return how many outputs of a linear or pooling module a value can be part of at most.

    >>> fan_out(nn.Linear(7, 3)), fan_out(nn.Conv2d(2, 5, 3)), fan_out(nn.MaxPool2d(3, 2))
    (3, 45, 4)
    """
    if isinstance(module, nn.Linear):
        return module.out_features
    stride: Any = module.stride
    dilation: Any = getattr(module, "dilation", 1)
    sides = kernel(module)
    steps = stride if isinstance(stride, tuple) else (stride,) * len(sides)
    spread = dilation if isinstance(dilation, tuple) else (dilation,) * len(sides)
    count = 1
    for side, step, apart in zip(sides, steps, spread, strict=True):
        count *= side if apart > 1 else -(-side // step)
    if isinstance(module, POOLS):
        return count
    return count * module.out_channels // module.groups  # type: ignore[operator, return-value]


def window(module: nn.Module) -> int:
    """Return how many values a pooling module pools."""
    return torch.Size(kernel(module)).numel()


def kernel(module: nn.Module) -> tuple[int, ...]:
    """Return the sides of the kernel of a convolution or a pooling."""
    sides: Any = module.kernel_size
    axes = int(type(module).__name__[-2])
    return tuple(sides) if isinstance(sides, tuple) else (sides,) * axes


def _several(value: Any) -> set[Any]:
    return set(value) if isinstance(value, tuple) else {value}
