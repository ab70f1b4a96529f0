"""Gradients of linear stacks: every worker's of every run by grouped products, layer by layer.

Automatic differentiation would also compute the gradient of the inputs, and one small product per worker.
Here the backward pass stops above the first layer, the forward pass is one product per run, and a sample's
gradient, an outer product, is clipped by its norm without ever being written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from varangian.core.parameters import FlatParameters
from varangian.engines.simulate.slopes import Passage, SampleLoss, after, judged, passed
from varangian.kernels.products import grouped_linear, linear, outer_sums
from varangian.models import SAMPLE_LOSSES, Loss

EVERY_NUMBER = (
    nn.ELU,
    nn.GELU,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Tanh,
)
"""Layers without parameters that treat every number by itself."""

EVERY_SAMPLE = (nn.LogSoftmax, nn.Softmax)
"""Layers without parameters that treat every sample by itself, along their last axis."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer's place in the flat vector, and the layers without parameters after it."""

    weight: slice
    bias: slice | None
    shape: tuple[int, int]
    after: nn.Sequential


@dataclass(frozen=True, eq=False)
class LinearStack:
    """Linear layers in a row, with layers without parameters between, and a loss per sample."""

    before: nn.Sequential
    layers: tuple[Layer, ...]
    loss: SampleLoss
    d: int

    @classmethod
    def of(cls, module: nn.Module, flat: FlatParameters, loss: Loss) -> LinearStack | None:
        """Return the stack that a module is, or None if it is something else."""
        plain = type(module) is nn.Sequential and not any(map(_is_watched, module.modules()))
        if not plain or loss not in SAMPLE_LOSSES:
            return None
        places = _places(flat)
        before: list[nn.Module] = []
        layers: list[Layer] = []
        idle: nn.Sequential | None = None
        for name, part in module._modules.items():  # a layer may stand at two places
            assert part is not None
            if type(part) is nn.Linear and f"{name}.weight" in places:
                bias = None if part.bias is None else places.get(f"{name}.bias")
                if (bias is None) != (part.bias is None):
                    return None
                idle = nn.Sequential()
                shape = (part.out_features, part.in_features)
                layers.append(Layer(places[f"{name}.weight"], bias, shape, idle))
            elif not _is_plain(part, first=idle is None):
                return None
            else:
                (before if idle is None else idle).append(part)
        used = sum(2 if layer.bias else 1 for layer in layers)
        if not layers or used != len(flat.names):
            return None
        return cls(nn.Sequential(*before), tuple(layers), SAMPLE_LOSSES[loss], flat.d)

    def gradients(
        self,
        theta: Float[Tensor, "runs workers d"],
        inputs: Float[Tensor, "runs workers samples ..."],
        labels: Int[Tensor, "runs workers samples"],
        shares: Float[Tensor, "runs workers samples"],
        out: Float[Tensor, "runs workers d"],
        *,
        clip: Float[Tensor, " runs"] | None = None,
        shared: bool = True,
    ) -> Float[Tensor, "runs workers"]:
        """Write every worker's gradient; return their losses.

        ``shared`` says that the workers of a run stand at the same parameters. Losses, and what comes back,
        count each sample with its share. ``clip`` bounds the norm of every sample's own gradient; infinite
        for a run that does not clip.
        """
        count = labels.numel()
        seen: list[Tensor] = []
        ways: list[Passage] = []
        inner: Tensor = self.before(inputs.flatten(0, 2))
        for layer in self.layers:
            seen.append(inner)
            leaf = self._linear(layer, theta, inner, shared)
            if layer is not self.layers[-1]:
                ways.append(passed(layer.after, leaf))
                inner = ways[-1].value
        losses, delta = judged(self.layers[-1].after, self.loss, leaf, labels.reshape(count))
        factors = shares.reshape(count, 1)
        deltas = [delta if clip is not None else delta * factors]
        for layer, way in zip(self.layers[:0:-1], reversed(ways), strict=True):
            deltas.append(way.back(self._back(layer, theta, deltas[-1], shared)))
        deltas.reverse()
        if clip is not None:
            norms = self._norms(seen, deltas)
            limits = clip.to(norms).repeat_interleave(count // len(clip))
            factors = factors * torch.where(norms > limits, limits / norms, 1.0).to(factors)[:, None]
            if not bool(norms.isfinite().all()):  # such a sample counts as zero, whatever it was
                lost = ~norms.isfinite()[:, None]
                seen = [x.masked_fill(lost, 0.0) for x in seen]
                deltas = [delta.masked_fill(lost, 0.0) for delta in deltas]
                factors = factors.masked_fill(lost, 0.0)
            deltas = [delta * factors for delta in deltas]
        for layer, x, delta in zip(self.layers, seen, deltas, strict=True):
            every, several = x.unflatten(0, labels.shape), delta.unflatten(0, labels.shape)
            for run, rows in enumerate(out):
                outer_sums(several[run], every[run], rows[:, layer.weight].unflatten(-1, layer.shape))
            if layer.bias is not None:
                torch.sum(several, 2, out=out[..., layer.bias])
        weighed: Tensor = losses.unflatten(0, labels.shape) * shares
        return weighed.sum(-1)

    def outputs(self, theta: Float[Tensor, " d"], inputs: Float[Tensor, "samples ..."]) -> Tensor:
        """Return what the stack with these parameters makes of some samples."""
        inner: Tensor = self.before(inputs)
        for layer in self.layers:
            bias = None if layer.bias is None else theta[layer.bias]
            inner = after(layer.after, linear(inner, theta[layer.weight].view(layer.shape), bias))
        return inner

    def _linear(self, layer: Layer, theta: Tensor, x: Tensor, shared: bool) -> Tensor:
        """Return x times the layer's weights plus its bias, for all samples of all workers of all runs."""
        weight, bias = _read(layer, theta, shared)
        groups = weight.shape[:2]
        return grouped_linear(x.view(*groups, -1, x.shape[-1]), weight, bias).flatten(0, 2)

    def _back(self, layer: Layer, theta: Tensor, delta: Tensor, shared: bool) -> Tensor:
        weight, _ = _read(layer, theta, shared)
        grouped = delta.view(*weight.shape[:2], -1, delta.shape[-1])
        return grouped_linear(grouped, weight.mT).flatten(0, 2)

    def _norms(self, seen: Sequence[Tensor], deltas: Sequence[Tensor]) -> Tensor:
        """Return the norm of every sample's gradient, in float64; of outer products, norms multiply."""
        square = torch.zeros(len(deltas[0]), dtype=torch.float64, device=deltas[0].device)
        for layer, x, delta in zip(self.layers, seen, deltas, strict=True):
            length, back = (torch.linalg.vector_norm(v, dim=-1, dtype=torch.float64) for v in (x, delta))
            square += back.square() * (length.square() + (layer.bias is not None))
        return square.sqrt()


def _read(layer: Layer, theta: Tensor, shared: bool) -> tuple[Tensor, Tensor | None]:
    """Return the layer's weights and biases, by run, and by worker unless they are shared."""
    theta = theta[:, :1] if shared else theta
    bias = None if layer.bias is None else theta[..., layer.bias]
    return theta[..., layer.weight].unflatten(-1, layer.shape), bias


def _places(flat: FlatParameters) -> dict[str, slice]:
    """Return where in the flat vector each parameter lies."""
    places, start = {}, 0
    for name, shape in zip(flat.names, flat.shapes, strict=True):
        places[name] = slice(start, start + shape.numel())
        start += shape.numel()
    return places


def _is_plain(part: nn.Module, *, first: bool) -> bool:
    """Tell whether a layer is without parameters, and treats every sample by itself."""
    if type(part) is nn.Flatten:
        return (first and part.start_dim == 1 and part.end_dim == -1) or (not first and part.start_dim == 0)
    if type(part) is nn.Dropout:
        return not part.training
    if type(part) in EVERY_SAMPLE:
        return part.dim in (-1, 1)
    return type(part) in EVERY_NUMBER and not getattr(part, "inplace", False)


def _is_watched(part: nn.Module) -> bool:
    """Tell whether somebody has put a hook on a layer, which may change what passes."""
    kinds = ("forward", "forward_pre", "backward", "backward_pre")
    return any(getattr(part, f"_{kind}_hooks") for kind in kinds)
