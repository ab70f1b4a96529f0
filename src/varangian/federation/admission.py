"""What a client returned, held against the model it was sent: an update, or the reason to refuse it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varangian.errors import InputError

Arrays = Mapping[str, NDArray[Any]]
"""A model, or an update of it: arrays by name."""

SHOWN = 5
LONGEST = 80


def is_float(array: NDArray[Any]) -> bool:
    """Tell whether a rule aggregates such an entry; all others are counters."""
    return array.dtype.kind == "f" and array.dtype.itemsize <= np.dtype(np.float64).itemsize


def update(
    model: Arrays, returned: Mapping[Any, Any], *, differences: bool = False
) -> dict[str, NDArray[Any]]:
    """Return what a client changed: floats minus the model's, in the model's dtypes; counters as they are.

    With ``differences``, the client has subtracted the model already.

    Raises InputError, which says what is wrong and tells no value.
    """
    odd = sorted({*map(str, returned)} ^ {*model})
    if odd:
        raise InputError(f"its entries are not the model's: {_listed(odd)}")
    return {name: _changed(name, base, returned[name], differences) for name, base in model.items()}


def printable(words: Any) -> str:
    """Return words of a client's as they may stand in a log: one short line."""
    plain = "".join(letter if letter.isprintable() else " " for letter in str(words))
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…"


def _changed(name: str, base: NDArray[Any], array: Any, differences: bool) -> NDArray[Any]:
    shown = printable(name)
    if not isinstance(array, np.ndarray):
        raise InputError(f"entry {shown} is a {type(array).__name__}, no array")
    if array.shape != base.shape:
        raise InputError(f"entry {shown} has shape {array.shape}, the model's has {base.shape}")
    if not is_float(base):
        if array.dtype != base.dtype:
            raise InputError(f"entry {shown} is {array.dtype}, the model's is {base.dtype}")
        return array
    if not is_float(array):
        raise InputError(f"entry {shown} is {array.dtype}, no floating point of at most 64 bits")
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.asarray(array if differences else array - base).astype(base.dtype)
    wrong = change.size - int(np.count_nonzero(np.isfinite(change)))
    if wrong:
        raise InputError(f"entry {shown} is not finite in {wrong} of {change.size} places")
    return change


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more
