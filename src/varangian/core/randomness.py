"""Named random streams: a number depends on (seed, purpose, worker, step) and on nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

_one_at_a_time = threading.RLock()


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
        name = repr((int(self.seed), self.path)).encode()
        return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") >> 1

    def generator(self) -> torch.Generator:
        """Return a fresh PyTorch generator at the start of this stream."""
        return torch.Generator().manual_seed(self.key())

    def numpy(self) -> np.random.Generator:
        """Return a fresh NumPy generator at the start of this stream."""
        return np.random.Generator(np.random.Philox(self.key()))

    @contextmanager
    def instead_of_global(self, device: str | torch.device = "cpu") -> Iterator[None]:
        """Have PyTorch's own generators draw from this stream, for code that knows no other; put them back.

        They belong to the whole process, so threads take turns.
        """
        where = torch.device(device)
        index = torch.cuda.current_device() if where.type == "cuda" and where.index is None else where.index
        devices = [index] if where.type == "cuda" else []
        with _one_at_a_time, torch.random.fork_rng(devices=devices):
            # torch.manual_seed would also reseed accelerators that nothing puts back.
            torch.default_generator.manual_seed(self.key())
            for one in devices:
                torch.cuda.default_generators[one].manual_seed(self.key())
            yield
