"""Work that lanes share out, unless it is done on a card: that is given its orders by the caller alone.

The stream to which a thread gives its orders is its own, so a lane would give them to another than the caller
has chosen. Nor do orders of many threads get done any sooner, and each holds on to memory for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch

from varangian.kernels.lanes import each, spread

Item = TypeVar("Item")
Made = TypeVar("Made")


def each_on(device: torch.device, function: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """Return ``function`` of every item, in order: by ``each`` if it works on what lies on the CPU.

    >>> each_on(torch.device("cpu"), lambda number: number**2, range(4))
    [0, 1, 4, 9]
    """
    return each(function, items) if device.type == "cpu" else [function(item) for item in items]


def spread_on(device: torch.device, function: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """Return the same by ``spread``.

    >>> spread_on(torch.device("cpu"), lambda number: number**2, [3])
    [9]
    """
    return spread(function, items) if device.type == "cpu" else [function(item) for item in items]
