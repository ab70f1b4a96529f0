"""What a fault is: how many parts fail, and where; what becomes of them is for its kinds to say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from varangian.core.checks import check_fields
from varangian.core.citations import Reference
from varangian.core.randomness import Stream
from varangian.core.values import Value
from varangian.errors import ParameterError
from varangian.neurons.changes import Change, Drawn, Rewire
from varangian.neurons.papers import NEURONS_FAIL

NEURONS, SYNAPSES = "neurons", "synapses"


class Site(NamedTuple):
    """The neurons of a layer: how many, and the ends of what they send."""

    number: int
    neurons: int
    low: float
    high: float
    dtype: torch.dtype


class Wires(NamedTuple):
    """The synapses into a layer."""

    number: int
    weight: Float[Tensor, "out *shape"]


class Harm(NamedTuple):
    """How far one failing part can move a value: ``size``, and ``growth`` times the error it works on.

    A part that ``replaces`` what it should send is that far from the true value, whatever it works on.
    """

    size: float
    growth: float = 0.0
    replaces: bool = False


@dataclass(frozen=True, kw_only=True)
class Fault(Value, ABC):
    """A kind of fault, as a value: which parts fail, how many, and what becomes of them.

    Parts are neurons (of hidden layers, numbered from 1) or synapses (weights into layers, of which the last
    is the output layer). So many fail: ``count`` in each layer, or a tuple with one for each; or each by
    itself with a ``probability``. ``layers`` are those that can fail, all if it is empty.

    Raises      ParameterError for fields that fit no model; and later, for more parts than a layer has
    """

    count: int | tuple[int, ...] | None = None
    probability: float | None = None
    layers: tuple[int, ...] = ()
    of: str = NEURONS

    parts: ClassVar[tuple[str, ...]] = (NEURONS, SYNAPSES)
    everywhere: ClassVar[bool] = False
    reference: ClassVar[Reference] = NEURONS_FAIL

    def __post_init__(self) -> None:
        check_fields(self)
        if self.of not in self.parts:
            raise ParameterError(f"{self!r}: of must be one of {', '.join(self.parts)}.")
        if self.everywhere != (self.count is None and self.probability is None) or (
            self.count is not None and self.probability is not None
        ):
            need = "neither count nor probability" if self.everywhere else "one of count and probability"
            raise ParameterError(f"{self!r} needs {need}.")
        if self.probability is not None and not (
            isinstance(self.probability, float | int) and 0 <= self.probability <= 1
        ):
            raise ParameterError(f"{self!r}: a probability lies between 0 and 1.")
        counts = self.count if isinstance(self.count, tuple) else (self.count or 0,)
        if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in counts):
            raise ParameterError(f"{self!r}: a count is a whole number, 0 or more.")
        if any(isinstance(layer, bool) or not isinstance(layer, int) or layer < 1 for layer in self.layers):
            raise ParameterError(f"{self!r}: layers are numbered from 1.")
        if isinstance(self.count, tuple) and self.layers:
            raise ParameterError(f"{self!r}: a tuple of counts has one for each layer; leave layers out.")

    def counts(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return how many parts of each layer fail, given how many there are. Raises ParameterError.

        >>> from varangian.neurons.faults import Crash
        >>> Crash(count=2, layers=(2,)).counts((10, 10)), Crash(count=(1, 2)).counts((10, 10))
        ((0, 2), (1, 2))
        """
        if isinstance(self.count, tuple):
            if len(self.count) != len(sizes):
                raise ParameterError(
                    f"{self!r} has {len(self.count)} counts; the model has {len(sizes)} layers of {self.of}."
                )
            found = self.count
        else:
            here = self.touched(len(sizes))
            found = tuple((self.count or 0) if number in here else 0 for number in range(1, len(sizes) + 1))
        for number, (count, size) in enumerate(zip(found, sizes, strict=True), 1):
            if count > size:
                raise ParameterError(
                    f"{self!r}: {count} {self.of} of layer {number} cannot fail; it has {size}. "
                    f"Ask for {size} at most."
                )
        return found

    def touched(self, layers: int) -> tuple[int, ...]:
        """Return the numbers of the layers that can fail. Raises ParameterError."""
        missing = [number for number in self.layers if number > layers]
        if missing:
            raise ParameterError(
                f"{self!r}: there is no layer {missing[0]}; the model has {layers} layers of {self.of}."
            )
        return self.layers or tuple(range(1, layers + 1))

    def masks(
        self, sizes: Sequence[int], draws: int, stream: Stream
    ) -> dict[int, Bool[Tensor, "draws size"]]:
        """Return which parts fail in each draw, by the number of the layer, where any can.

        Randomness  from ``stream``, layer by layer
        """
        if self.everywhere:
            return {n: torch.ones(draws, sizes[n - 1], dtype=torch.bool) for n in self.touched(len(sizes))}
        found, chance = {}, self.probability or 0.0
        counts = self.counts(sizes) if self.probability is None else ()
        for number in range(1, len(sizes) + 1) if counts else self.touched(len(sizes)):
            size = sizes[number - 1]
            random = torch.rand(draws, size, generator=stream.at("parts", layer=number).generator())
            if not counts:
                found[number] = random < chance
            elif counts[number - 1]:
                places = random.topk(counts[number - 1], dim=1).indices
                found[number] = torch.zeros_like(random, dtype=torch.bool).scatter_(1, places, True)
        return found

    def draw(self, sites: Sequence[Site], wires: Sequence[Wires], draws: int, stream: Stream) -> Drawn:
        """Return the faults of several draws. Raises ParameterError."""
        if self.of == NEURONS:
            masks = self.masks([site.neurons for site in sites], draws, stream)
            return Drawn(
                draws, neurons={n: self.change(mask, sites[n - 1], stream) for n, mask in masks.items()}
            )
        masks = self.masks([wire.weight.numel() for wire in wires], draws, stream)
        shaped = {n: mask.view(draws, *wires[n - 1].weight.shape) for n, mask in masks.items()}
        return Drawn(
            draws, synapses={n: self.rewire(mask, wires[n - 1], stream) for n, mask in shaped.items()}
        )

    @abstractmethod
    def change(self, mask: Bool[Tensor, "draws n"], site: Site, stream: Stream) -> Change:
        """Return what the neurons in the mask do."""

    @abstractmethod
    def rewire(self, mask: Bool[Tensor, "draws out *shape"], wires: Wires, stream: Stream) -> Rewire:
        """Return what becomes of the weights in the mask."""

    @abstractmethod
    def harm(self, low: float, high: float, weight: float, reach: float) -> Harm:
        """Return how far one failing part can move a value.

        A neuron sends values from ``low`` to ``high``; a synapse weighs ``weight`` at most, and carries
        values up to ``reach``. Raises ParameterError where that has no end.
        """
