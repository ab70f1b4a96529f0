"""The faults: crashes, Byzantine parts, stuck values, flipped bits, and few bits for everything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.core.randomness import Stream
from varangian.errors import ParameterError
from varangian.neurons.bits import rounded, step, word_size
from varangian.neurons.changes import Affine, Change, Flip, Rewire, Round, flip
from varangian.neurons.fault import NEURONS, Fault, Harm, Site, Wires

MOST_BITS = 24
"""Codes are computed in float32 as well, which counts no further."""


@dataclass(frozen=True)
class Crash(Fault):
    """Parts that send nothing: the output is 0, or the weight is.

    >>> Crash(count=3), Crash(probability=0.01, of="synapses")
    (Crash(count=3), Crash(probability=0.01, of='synapses'))
    """

    def change(self, mask: Bool[Tensor, "draws n"], site: Site, stream: Stream) -> Change:
        """Return what is sent: nothing."""
        return Affine(keep=(~mask).to(site.dtype))

    def rewire(self, mask: Bool[Tensor, "draws out *shape"], wires: Wires, stream: Stream) -> Rewire:
        """Return the weights that are left."""
        return Rewire(weight=wires.weight * ~mask)

    def harm(self, low: float, high: float, weight: float, reach: float) -> Harm:
        """Return that of a value which is not there."""
        if self.of == NEURONS:
            return Harm(max(abs(low), abs(high)), replaces=True)
        return Harm(weight * reach)


@dataclass(frozen=True)
class Byzantine(Fault):
    """Parts that send anything within ``capacity`` of the true value; drawn: that far off, up or down.

    A Byzantine synapse is off by as much before its weight is applied.
    """

    capacity: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.capacity < 0:
            raise ParameterError(f"{self!r}: the capacity is a distance, 0 or more.")

    def change(self, mask: Bool[Tensor, "draws n"], site: Site, stream: Stream) -> Change:
        """Return the true values, and the capacity with a random sign."""
        held = mask.to(site.dtype)
        return Affine(1 - held, held, held * self.lies(mask, stream.at("sign", layer=site.number)))

    def rewire(self, mask: Bool[Tensor, "draws out *shape"], wires: Wires, stream: Stream) -> Rewire:
        """Return what the lies, weighed, add to each output."""
        lies = self.lies(mask, stream.at("sign", layer=wires.number)).to(wires.weight.dtype)
        return Rewire(shift=(wires.weight * mask * lies).flatten(2).sum(-1))

    def lies(self, mask: Bool[Tensor, "draws *shape"], stream: Stream) -> Float[Tensor, "draws *shape"]:
        """Return the capacity, with random signs."""
        heads = torch.rand(mask.shape, generator=stream.generator()) < 0.5
        return self.capacity * (1.0 - 2.0 * heads)

    def harm(self, low: float, high: float, weight: float, reach: float) -> Harm:
        """Return the capacity."""
        if self.of == NEURONS:
            return Harm(self.capacity, replaces=True)
        return Harm(weight * self.capacity)


@dataclass(frozen=True)
class StuckAt(Fault):
    """Neurons, or weights, that have one ``value`` whatever happens."""

    value: float

    def change(self, mask: Bool[Tensor, "draws n"], site: Site, stream: Stream) -> Change:
        """Return the value."""
        held = mask.to(site.dtype)
        return Affine(keep=1 - held, shift=self.value * held)

    def rewire(self, mask: Bool[Tensor, "draws out *shape"], wires: Wires, stream: Stream) -> Rewire:
        """Return weights with the value among them."""
        return Rewire(weight=torch.where(mask, self.value, wires.weight))

    def harm(self, low: float, high: float, weight: float, reach: float) -> Harm:
        """Return how far the value can be from the true one."""
        if self.of == NEURONS:
            return Harm(max(abs(self.value - low), abs(self.value - high)), replaces=True)
        off = weight + abs(self.value)
        return Harm(off * reach, growth=off)


@dataclass(frozen=True)
class BitFlip(Fault):
    """One random bit of each failing part is flipped: in floating point, or in a code of ``width`` bits.

    A code spans what the neurons of a layer send, or its weights from the most negative to the most positive.
    A flip in floating point can make a number astronomic, or none, so it has no bound.
    """

    width: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width is not None:
            _check_bits(self, "width", self.width)

    def change(self, mask: Bool[Tensor, "draws n"], site: Site, stream: Stream) -> Change:
        """Return the flips."""
        bit = self._bits(mask, site.dtype, stream.at("bit", layer=site.number))
        return Flip(mask, bit, None if self.width is None else (site.low, site.high, self.width))

    def rewire(self, mask: Bool[Tensor, "draws out *shape"], wires: Wires, stream: Stream) -> Rewire:
        """Return weights with bits flipped."""
        weight = wires.weight
        bit = self._bits(mask, weight.dtype, stream.at("bit", layer=wires.number))
        most = float(weight.abs().max())
        code = None if self.width is None else (-most, most, self.width)
        return Rewire(weight=torch.where(mask, flip(weight, bit, code), weight))

    def _bits(self, mask: Tensor, dtype: torch.dtype, stream: Stream) -> Tensor:
        width = self.width or word_size(dtype)
        return torch.randint(width, mask.shape, generator=stream.generator())

    def harm(self, low: float, high: float, weight: float, reach: float) -> Harm:
        """Return the value of the highest bit, and the rounding."""
        if self.width is None:
            raise ParameterError(
                f"{self!r} flips bits of floating point, of which one multiplies a number by 2^128: no bound "
                "holds. Measure it, or say width=8 for values kept in 8 bits."
            )
        if self.of == NEURONS:
            return Harm(step(low, high, self.width) * (2 ** (self.width - 1) + 0.5))
        off = step(-weight, weight, self.width) * (2 ** (self.width - 1) + 0.5)
        return Harm(off * reach, growth=off)


@dataclass(frozen=True)
class Quantised(Fault):
    """Everything is rounded to so many ``bits``: what neurons send, or the weights."""

    bits: int

    everywhere = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bits(self, "bits", self.bits)

    def change(self, mask: Bool[Tensor, "draws n"], site: Site, stream: Stream) -> Change:
        """Return the rounding."""
        return Round(site.low, site.high, self.bits)

    def rewire(self, mask: Bool[Tensor, "draws out *shape"], wires: Wires, stream: Stream) -> Rewire:
        """Return rounded weights, the same in all draws."""
        most = float(wires.weight.abs().max())
        return Rewire(
            weight=rounded(wires.weight, -most, most, self.bits).expand(len(mask), *wires.weight.shape)
        )

    def harm(self, low: float, high: float, weight: float, reach: float) -> Harm:
        """Return half a step."""
        if self.of == NEURONS:
            return Harm(step(low, high, self.bits) / 2)
        off = step(-weight, weight, self.bits) / 2
        return Harm(off * reach, growth=off)


FAULTS = (Crash, Byzantine, StuckAt, BitFlip, Quantised)


def _check_bits(fault: Fault, name: str, bits: int) -> None:
    if not 1 <= bits <= MOST_BITS:
        raise ParameterError(f"{fault!r}: {name} is a number of bits, from 1 to {MOST_BITS}.")
