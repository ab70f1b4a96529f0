"""Named random streams: a number depends on (seed, purpose, worker, step) and on nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Stream:
    """A name for a sequence of random numbers; children are named after their parents.

    The global generators are never read nor written, so a run draws the same numbers whatever runs
    beside it, on any engine. Numbers are drawn on the CPU for the same reason.

    >>> Stream(1).at("batch", worker=3, step=7).generator().initial_seed() == (
    ...     Stream(1).at("batch", worker=3, step=7).generator().initial_seed())
    True
    """

    seed: int = 0
    path: tuple[str, ...] = ()

    def at(self, purpose: str, **where: int) -> Stream:
        """Name a child stream, for instance ``stream.at("batch", worker=3, step=7)``."""
        coordinates = "".join(f",{key}={value}" for key, value in sorted(where.items()))
        return Stream(self.seed, (*self.path, purpose + coordinates))

    def key(self) -> int:
        """Return the 63-bit seed that stands for this name."""
        name = repr((self.seed, self.path)).encode()
        return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1

    def generator(self) -> torch.Generator:
        """Return a fresh PyTorch generator at the start of this stream."""
        return torch.Generator().manual_seed(self.key())

    def numpy(self) -> np.random.Generator:
        """Return a fresh NumPy generator at the start of this stream."""
        return np.random.Generator(np.random.Philox(self.key()))
