"""Drawn faults: what becomes of the values that neurons send, and of weights, in each draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from varangian.neurons.bits import code_flipped, flipped, rounded


class Change(ABC):
    """What a fault does to the values of one layer, draw by draw."""

    @abstractmethod
    def apply(
        self, values: Float[Tensor, "_ batch n"], true: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "draws batch n"]:
        """Return what is sent: of the ``values`` that neurons compute, and of the ``true`` ones.

        True is what they send where nothing fails. Values have one draw where all draws are alike so far.
        """

    @abstractmethod
    def part(self, draws: slice) -> Change:
        """Return the change of some of the draws."""


@dataclass(frozen=True, eq=False)
class Affine(Change):
    """Send ``keep`` times the computed value, ``trust`` times the true one, and ``shift`` on top."""

    keep: Float[Tensor, "draws n"]
    trust: Float[Tensor, "draws n"] | None = None
    shift: Float[Tensor, "draws n"] | None = None

    def apply(
        self, values: Float[Tensor, "_ batch n"], true: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "draws batch n"]:
        """Return what is sent."""
        sent = values * self.keep[:, None]
        if self.trust is not None:
            sent = sent + true * self.trust[:, None]
        return sent if self.shift is None else sent + self.shift[:, None]

    def part(self, draws: slice) -> Affine:
        """Return the change of some of the draws."""
        return Affine(self.keep[draws], _some(self.trust, draws), _some(self.shift, draws))

    @property
    def factor(self) -> Float[Tensor, "draws n"]:
        """Return what values are multiplied by where the computed ones are the true ones."""
        return self.keep if self.trust is None else self.keep + self.trust


@dataclass(frozen=True, eq=False)
class Flip(Change):
    """Flip ``bit`` of what the neurons in ``mask`` send: of its floating point, or of a k-bit code."""

    mask: Bool[Tensor, "draws n"]
    bit: Int64[Tensor, "draws n"]
    code: tuple[float, float, int] | None

    def apply(
        self, values: Float[Tensor, "_ batch n"], true: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "draws batch n"]:
        """Return what is sent."""
        return torch.where(self.mask[:, None], flip(values, self.bit[:, None], self.code), values)

    def part(self, draws: slice) -> Flip:
        """Return the change of some of the draws."""
        return Flip(self.mask[draws], self.bit[draws], self.code)


@dataclass(frozen=True)
class Round(Change):
    """Send the nearest of the values that k bits stand for, from low to high."""

    low: float
    high: float
    bits: int

    def apply(
        self, values: Float[Tensor, "_ batch n"], true: Float[Tensor, "batch n"]
    ) -> Float[Tensor, "_ batch n"]:
        """Return what is sent, the same in all draws."""
        return rounded(values, self.low, self.high, self.bits)

    def part(self, draws: slice) -> Round:
        """Return the change, which is the same in all draws."""
        return self


@dataclass(frozen=True, eq=False)
class Rewire:
    """Weights of one layer, draw by draw, and what is added to the outputs of each channel or neuron."""

    weight: Float[Tensor, "draws *shape"] | None = None
    shift: Float[Tensor, "draws out"] | None = None

    def part(self, draws: slice) -> Rewire:
        """Return the weights of some of the draws."""
        return Rewire(_some(self.weight, draws), _some(self.shift, draws))


@dataclass(frozen=True, eq=False)
class Drawn:
    """Faults of several draws: by the number of the layer, what neurons send, and how synapses are."""

    draws: int
    neurons: Mapping[int, Change] = field(default_factory=dict)
    synapses: Mapping[int, Rewire] = field(default_factory=dict)

    def part(self, start: int, stop: int) -> Drawn:
        """Return the draws from start up to stop."""
        some = slice(start, stop)
        return Drawn(
            stop - start,
            {number: change.part(some) for number, change in self.neurons.items()},
            {number: rewire.part(some) for number, rewire in self.synapses.items()},
        )


def flip(values: Tensor, bit: Int64[Tensor, "*places"], code: tuple[float, float, int] | None) -> Tensor:
    """Return values with a bit flipped, in floating point or in a code (low, high, bits)."""
    return flipped(values, bit) if code is None else code_flipped(values, bit, *code)


def _some(held: Tensor | None, draws: slice) -> Tensor | None:
    return None if held is None else held[draws]
