"""Ways to deal the samples of a data set among workers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from varangian.core.randomness import Stream
from varangian.errors import ParameterError


@dataclass(frozen=True)
class Split(ABC):
    """A way to deal samples; every worker gets at least one, and none goes to two unless all are ``Pooled``.

    Shape       labels (samples,) -> one (size,) int64 tensor of indices per worker
    Randomness  every draw comes from the stream given
    Raises      ParameterError if these samples cannot be dealt among so many workers
    """

    def assign(
        self, labels: Int[Tensor, "samples"], workers: int, stream: Stream
    ) -> list[Int64[Tensor, "_"]]:
        """Return the indices of each worker's samples."""
        if workers < 1:
            raise ParameterError(f"{self} received workers = {workers}; name at least 1.")
        if len(labels) < workers:
            raise ParameterError(
                f"{self} received {len(labels)} samples for {workers} workers; every worker needs one. "
                f"Take at most {len(labels)} workers."
            )
        shards = self._deal(labels.cpu().numpy(), workers, stream.numpy())
        return [torch.from_numpy(np.ascontiguousarray(shard, np.int64)) for shard in shards]

    @abstractmethod
    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        """Deal; there are at least as many samples as workers."""


@dataclass(frozen=True)
class IID(Split):
    """Shuffle, then cut into equal shards.

    >>> [len(shard) for shard in IID().assign(torch.zeros(8, dtype=torch.int64), 3, Stream(1))]
    [3, 3, 2]
    """

    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        return np.array_split(random.permutation(len(labels)), workers)


@dataclass(frozen=True)
class Dirichlet(Split):
    """Give each worker a share of every class, drawn from a symmetric Dirichlet distribution.

    The smaller ``alpha``, the fewer classes a worker sees. A worker left without a sample takes one from
    the worker that has most.

    Reference   Hsu et al., arXiv 2019 (measuring the effects of non-identical data distribution)
    """

    alpha: float

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise ParameterError(f"Dirichlet received alpha = {self.alpha}; it must be positive and finite.")

    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        parts: list[list[Int64[np.ndarray, "_"]]] = [[] for _ in range(workers)]
        for label in np.unique(labels):
            members = random.permutation(np.flatnonzero(labels == label))
            shares = random.dirichlet(np.full(workers, self.alpha))
            cuts = np.rint(np.cumsum(shares[:-1]) * len(members)).astype(np.int64)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        return _fill_empty([np.concatenate(part) for part in parts])


@dataclass(frozen=True)
class SortedShards(Split):
    """Sort by label, cut into ``per_worker`` shards a worker, and deal the shards at random.

    With ``per_worker`` = 1 each worker gets one contiguous block, in order, and nothing is random.

    Reference   McMahan et al., AISTATS 2017
    """

    per_worker: int = 2

    def __post_init__(self) -> None:
        if self.per_worker < 1:
            raise ParameterError(
                f"SortedShards received per_worker = {self.per_worker}; deal at least 1 shard to each worker."
            )

    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        count = workers * self.per_worker
        if len(labels) < count:
            raise ParameterError(
                f"{self} received {len(labels)} samples for {workers} workers, that is {count} shards; every "
                f"shard needs a sample. Take per_worker <= {len(labels) // workers}, or fewer workers."
            )
        shards = np.array_split(np.argsort(labels, kind="stable"), count)
        order = np.arange(count) if self.per_worker == 1 else random.permutation(count)
        return [np.concatenate([shards[i] for i in hand]) for hand in order.reshape(workers, -1)]


@dataclass(frozen=True)
class GammaSimilarity(Split):
    """Deal a fraction ``gamma`` of the samples i.i.d., and the rest sorted by label, in contiguous blocks.

    ``gamma`` = 1 is i.i.d., ``gamma`` = 0 gives each worker one block of classes.

    Reference   Karimireddy et al., ICML 2020; Allouah et al., AISTATS 2023
    """

    gamma: float

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ParameterError(f"GammaSimilarity received gamma = {self.gamma}; it must lie in 0..1.")

    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        shuffled = random.permutation(len(labels))
        mixed, rest = np.split(shuffled, [round(self.gamma * len(labels))])
        rest = np.sort(rest)
        rest = rest[np.argsort(labels[rest], kind="stable")]
        # The rest is cut so that both halves together are as equal as can be, and no worker stays empty.
        sizes = _equal_sizes(len(labels), workers) - _equal_sizes(len(mixed), workers)
        blocks = np.split(rest, np.cumsum(sizes)[:-1])
        hands = zip(np.array_split(mixed, workers), blocks, strict=True)
        return [np.concatenate(hand) for hand in hands]


@dataclass(frozen=True)
class ExplicitSizes(Split):
    """Shuffle, then deal each worker as many samples as said: counts, or fractions of all samples.

    Whole numbers are counts; numbers with a fraction point (1.0 too) are fractions and add up to at most 1.
    What is left over goes to nobody.

    >>> split = ExplicitSizes((0.5, 0.25))
    >>> [len(shard) for shard in split.assign(torch.zeros(8, dtype=torch.int64), 2, Stream(1))]
    [4, 2]
    """

    sizes: tuple[int, ...] | tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        kinds = {type(size) for size in self.sizes}
        if kinds not in ({int}, {float}):
            raise ParameterError(
                f"{self}: give all sizes as whole numbers (counts) or all as decimals (fractions)."
            )
        if not all(0 < size < math.inf for size in self.sizes):
            raise ParameterError(f"{self}: every size must be positive; every worker needs a sample.")
        if kinds == {float} and math.fsum(self.sizes) > 1 + _ROUNDING:
            raise ParameterError(
                f"{self}: the fractions add up to {math.fsum(self.sizes):g}; at most 1 can be dealt. "
                "Lower them, or write counts as whole numbers."
            )

    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        if len(self.sizes) != workers:
            raise ParameterError(
                f"{self} names {len(self.sizes)} sizes for {workers} workers; name one for each worker."
            )
        counts = self._counts(len(labels))
        if sum(counts) > len(labels):
            raise ParameterError(
                f"{self} asks for {sum(counts)} samples and there are {len(labels)}; lower the sizes."
            )
        if min(counts) < 1:
            raise ParameterError(
                f"{self} leaves a worker without any of the {len(labels)} samples; raise its fraction to at "
                f"least {1 / len(labels):.2g}."
            )
        return np.split(random.permutation(len(labels)), np.cumsum(counts))[:workers]

    def _counts(self, samples: int) -> list[int]:
        """Return counts; those of fractions are rounded where they end, so that 1/3 three times is all."""
        if isinstance(self.sizes[0], int):
            return [int(size) for size in self.sizes]
        ends = [
            min(samples, math.floor(math.fsum(self.sizes[: i + 1]) * samples + 0.5 + _ROUNDING))
            for i in range(len(self.sizes))
        ]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True)
class Pooled(Split):
    """Let every worker draw from all the samples: nothing is dealt, and nobody's data differ.

    >>> [len(shard) for shard in Pooled().assign(torch.zeros(8, dtype=torch.int64), 2, Stream(1))]
    [8, 8]
    """

    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        return [np.arange(len(labels))] * workers


@dataclass(frozen=True)
class SortedBlocks(Split):
    """Sort by label and deal contiguous blocks to the first ``holders`` workers; the others draw i.i.d.

    So the holders have all the data between them, whatever liars come after them: each of those gets a
    share of the same size, drawn from all of the samples.

    Reference   Karimireddy et al., ICLR 2022

    >>> split = SortedBlocks(holders=2)
    >>> [shard.tolist() for shard in split.assign(torch.tensor([1, 0, 1, 0]), 3, Stream(1))[:2]]
    [[1, 3], [0, 2]]
    """

    holders: int

    def __post_init__(self) -> None:
        if isinstance(self.holders, bool) or not isinstance(self.holders, int) or self.holders < 1:
            raise ParameterError(
                f"SortedBlocks received holders = {self.holders!r}; it must be a whole number of at least 1."
            )

    def _deal(
        self, labels: Int[np.ndarray, "samples"], workers: int, random: np.random.Generator
    ) -> Sequence[Int64[np.ndarray, "_"]]:
        if self.holders > workers:
            raise ParameterError(
                f"{self} names {self.holders} holders among {workers} workers; name at most {workers}."
            )
        blocks = np.array_split(np.argsort(labels, kind="stable"), self.holders)
        size = len(blocks[0])
        others = [random.permutation(len(labels))[:size] for _ in range(workers - self.holders)]
        return [*blocks, *others]


SPLITS: tuple[type[Split], ...] = (
    IID,
    Dirichlet,
    SortedShards,
    GammaSimilarity,
    ExplicitSizes,
    Pooled,
    SortedBlocks,
)
"""The catalogue of splits."""

_ROUNDING = 1e-9


def _equal_sizes(samples: int, workers: int) -> Int64[np.ndarray, "workers"]:
    """Return sizes that differ by at most one, the larger first."""
    return samples // workers + (np.arange(workers) < samples % workers).astype(np.int64)


def _fill_empty(shards: list[Int64[np.ndarray, "_"]]) -> list[Int64[np.ndarray, "_"]]:
    """Move one sample from the largest shard to each empty one."""
    for worker, shard in enumerate(shards):
        if not len(shard):
            largest = max(range(len(shards)), key=lambda i: len(shards[i]))
            shards[worker], shards[largest] = shards[largest][-1:], shards[largest][:-1]
    return shards
