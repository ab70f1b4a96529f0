"""Different numbers below a bound: as NumPy draws them for a key, and the same for many keys at once."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from varangian.kernels.compiled.draws import draws_code
from varangian.kernels.compiled.jit import Compiler, available

_P, _I = ctypes.c_void_p, ctypes.c_int64
_draws = Compiler(draws_code, None, _P, _P, _P, _P, _I, _I, _P, _P, _P, _P)

SHUFFLED = 10_000
"""Numbers of which NumPy chooses more than a fiftieth in another way."""


class _Here(threading.local):
    """The generator that this thread uses again and again, and its state before it has drawn."""

    generator: np.random.Generator | None = None
    start: Mapping[str, Any] = {}


_here = _Here()


def chosen(key: int, bound: int, count: int) -> Int64[np.ndarray, " count"]:
    """Return ``count`` different numbers below ``bound``, in random order, from Philox with this key."""
    if _here.generator is None:
        _here.generator = np.random.Generator(np.random.Philox(key=0))
        _here.start = _here.generator.bit_generator.state
    # Setting a generator back takes a fifth of the time of making one.
    start, keys = _here.start, np.array([key, 0], dtype=np.uint64)
    _here.generator.bit_generator.state = {**start, "state": {**start["state"], "key": keys}}
    return _here.generator.choice(bound, count, replace=False)


class Draws:
    """From whose table how many are drawn, row after row, whatever the keys."""

    def __init__(self, tables: Sequence[Int64[np.ndarray, "_"]], counts: Sequence[int]) -> None:
        self.tables = [np.ascontiguousarray(table) for table in tables]
        self.bounds = np.array([len(table) for table in self.tables], dtype=np.int64)
        self.counts = np.array(counts, dtype=np.int64)
        shuffled = (self.bounds > SHUFFLED) & (self.counts > self.bounds // 50)
        self.compiles = not shuffled.any() and self.bounds.max() < 2**31 and available() and _agree()

    def write(self, keys: UInt64[np.ndarray, " rows"], out: Int64[np.ndarray, "rows width"]) -> None:
        """Write for every key what is drawn; the first number again where a row is longer than its count."""
        for row in self._left(keys, out):
            table, count = self.tables[row], int(self.counts[row])
            drawn = table[chosen(int(keys[row]), len(table), count)]
            out[row] = drawn[0]
            out[row, :count] = drawn

    def _left(self, keys: UInt64[np.ndarray, " rows"], out: Int64[np.ndarray, "rows width"]) -> Iterable[int]:
        """Write what can be written without NumPy; return what is left to it."""
        if not self.compiles:
            return range(len(keys))
        return np.flatnonzero(_write(self.tables, self.bounds, self.counts, keys, out)).tolist()


def _write(
    tables: Sequence[np.ndarray], bounds: np.ndarray, counts: np.ndarray, keys: np.ndarray, out: np.ndarray
) -> Bool[np.ndarray, " rows"]:
    """Write what is drawn; return for which keys that failed, because a word is to be drawn again."""
    places = np.array([table.ctypes.data for table in tables], dtype=np.uint64)
    marks = np.zeros(bounds.max(), dtype=np.uint8)
    words = np.empty(2 * counts.max() + 6, dtype=np.uint32)
    lost = np.empty(len(keys), dtype=np.bool_)
    given = [one.ctypes.data for one in (keys, places, bounds, counts)]
    _draws()(*given, *out.shape, *(one.ctypes.data for one in (marks, words, out, lost)))
    return lost


@cache
def _agree() -> bool:
    """Tell whether compiled code draws what the NumPy that is installed here draws."""
    keys = np.arange(1, 9, dtype=np.uint64) << np.uint64(55)
    tables, counts, out = [np.arange(500)] * 8, np.full(8, 60), np.empty((8, 60), dtype=np.int64)
    lost = _write(tables, np.full(8, 500), counts, keys, out)
    return all(
        lost[row] or np.array_equal(chosen(int(key), 500, 60), out[row]) for row, key in enumerate(keys)
    )
