"""Named random streams: a number depends on (seed, purpose, worker, step) and on nothing else."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt64

from varangian.errors import InputError, ParameterError
from varangian.kernels.draws import chosen

_one_at_a_time = threading.RLock()


ANYBODY = 10**12
"""Stands for a worker's number in a name."""


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


@dataclass(frozen=True)
class Stream:
    """A name for a sequence of random numbers; children are named after their parents.

    The global generators are never read nor written, so a run draws the same numbers whatever runs
    beside it, on any engine. Numbers are drawn on the CPU for the same reason.

    Raises      ParameterError for a seed that is no whole number

    >>> Stream(1).at("batch", worker=3, step=7).generator().initial_seed() == (
    ...     Stream(1).at("batch", worker=3, step=7).generator().initial_seed())
    True
    """

    seed: int = 0
    path: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if type(self.seed) is not int:  # asked first, for streams are made at every stage
            try:
                object.__setattr__(self, "seed", index(self.seed))
            except TypeError:
                raise ParameterError(f"Stream(seed={self.seed!r}): a seed is a whole number.") from None

    def at(self, purpose: str, **where: int) -> Stream:
        """Name a child stream, for instance ``stream.at("batch", worker=3, step=7)``."""
        coordinates = "".join(f",{key}={value}" for key, value in sorted(where.items()))
        return Stream(self.seed, (*self.path, purpose + coordinates))

    def key(self) -> int:
        """Return the 63-bit seed that stands for this name."""
        return int.from_bytes(_digest(self._name()), "big") >> 1

    def _name(self) -> str:
        return repr((self.seed, self.path))

    def keys(self, purpose: str, workers: Sequence[int], **where: int) -> UInt64[np.ndarray, " workers"]:
        """Return the keys of ``self.at(purpose, worker=worker, **where)`` for many workers at once.

        >>> stream, workers = Stream(1), [3, 4]
        >>> stream.keys("batch", workers, step=7).tolist() == [
        ...     stream.at("batch", worker=worker, step=7).key() for worker in workers]
        True
        """
        before, _, after = self.at(purpose, worker=ANYBODY, **where)._name().rpartition(str(ANYBODY))
        digests = b"".join(_digest(f"{before}{worker}{after}") for worker in workers)
        return np.frombuffer(digests, dtype=">u8").astype(np.uint64) >> np.uint64(1)

    def generator(self) -> torch.Generator:
        """Return a fresh PyTorch generator at the start of this stream."""
        return torch.Generator().manual_seed(self.key())

    def numpy(self) -> np.random.Generator:
        """Return a fresh NumPy generator at the start of this stream."""
        return np.random.Generator(np.random.Philox(self.key()))

    def chosen(self, of: int, count: int) -> Int64[np.ndarray, "count"]:
        """Return ``count`` different numbers below ``of``, in random order.

        >>> sorted(Stream(1).chosen(4, 4).tolist())
        [0, 1, 2, 3]
        """
        return chosen(self.key(), of, count)

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


def as_stream(stream: Any) -> Stream:
    """Return a stream as it is, and the first for None. Raises InputError for anything else."""
    if stream is None:
        return Stream()
    if not isinstance(stream, Stream):
        raise InputError(f"stream = {stream!r} arrived; pass a varangian.Stream, Stream(seed) for instance.")
    return stream
