"""Memory that was let go of, handed back to the system: else the C library keeps it for later."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


def hand_back() -> None:
    """Give the system what nothing here uses any more, where the C library can be asked to; else do nothing.

    Cost        about a millisecond; what is needed again is zeroed by the system first
    """
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> Any:
    """Return glibc's malloc_trim, or None where there is none: other systems, other C libraries."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
