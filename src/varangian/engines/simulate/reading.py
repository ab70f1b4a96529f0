"""Gradients of a linear stack in one run, whose samples are read where they lie."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from varangian.engines.simulate.slopes import Passage, judged, passed
from varangian.engines.simulate.stacks import LinearStack
from varangian.kernels.scattered import Scattered


def takes(stack: LinearStack, inputs: Scattered) -> bool:
    """Tell whether the first layer takes the samples as they lie."""
    outputs, width = stack.layers[0].shape
    flat = all(type(part) is nn.Flatten for part in stack.before)
    return flat and inputs.width == width and inputs.readable(outputs)


def read_gradients(
    stack: LinearStack,
    theta: Float[Tensor, " d"],
    inputs: Scattered,
    labels: Int[Tensor, "workers samples"],
    shares: Float[Tensor, "workers samples"],
    out: Float[Tensor, "workers d"],
) -> tuple[Float[Tensor, " workers"], Float[Tensor, " workers"]]:
    """Write the gradients of workers who stand at the same parameters; return their losses, and their norms.

    What is computed of a sample does not depend on how many others there are.
    """
    weights = [theta[layer.weight].view(layer.shape) for layer in stack.layers]
    seen, ways = [inputs], list[Passage]()
    for layer, weight in zip(stack.layers, weights, strict=True):
        made = seen[-1].linear(weight, None if layer.bias is None else theta[layer.bias])
        if layer is not stack.layers[-1]:
            ways.append(passed(layer.after, made))
            seen.append(Scattered.of(ways[-1].value.contiguous().view(*labels.shape, -1)))
    losses, delta = judged(stack.layers[-1].after, stack.loss, made, labels.flatten())
    delta = delta * shares.reshape(-1, 1)
    squares = torch.zeros(len(out), dtype=torch.float64)
    for place in reversed(range(len(weights))):
        layer, several = stack.layers[place], delta.contiguous().view(*labels.shape, -1)
        squares += seen[place].outer_sums(several, out[:, layer.weight].unflatten(-1, layer.shape))
        if layer.bias is not None:
            biases = torch.sum(several, 1, out=out[:, layer.bias])
            squares += torch.linalg.vector_norm(biases, dim=-1, dtype=torch.float64).square()
        if place:
            delta = ways[place - 1].back(Scattered.of(several).linear(weights[place].T, None))
    return (losses.view(labels.shape) * shares).sum(-1), squares.sqrt().to(out)
