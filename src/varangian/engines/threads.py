"""How many threads a run is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 200_000
"""Parameters below which a step's operations are too short to be shared: threads would only wait."""


@contextmanager
def threads_for(d: int) -> Iterator[None]:
    """Use one thread while training a small model, and put PyTorch's setting back."""
    before = torch.get_num_threads()
    if d < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
