"""What this machine's processor is, and what its registers hold."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache

WHOLE = {"znver4": 256, "znver5": 64}
"""Processors that compare four vectors of whole numbers in the time of two of others, by LLVM's names.

Each with the number of rows up to which comparing, and not memory, takes the time.
"""

SECOND = ("znver4",)
"""Processors whose first cache waits for few lines of memory at a time, and the second for far more."""

FAR = 2048
"""Bytes ahead that the second cache is asked to hold."""


@dataclass(frozen=True)
class Processor:
    """A processor by LLVM's names, how many bytes a register holds, and how many there are.

    Numbers of up to ``whole`` rows are best compared as whole numbers; ``asked`` is the cache that memory is
    asked to fill: 3 for the first, 2 for the second.
    """

    name: str
    features: str
    register_bytes: int
    registers: int
    whole: int = 0
    asked: int = 3

    def lanes(self, number_bytes: int) -> int:
        """Return how many numbers a register holds."""
        return self.register_bytes // number_bytes

    def ahead(self, near: int, far: int = FAR) -> int:
        """Return how many bytes ahead memory is asked for: near for the first cache, far for the second."""
        return near if self.asked == 3 else max(near, far)

    @property
    def attributes(self) -> str:
        """Return what tells LLVM to use whole registers."""
        bits = 8 * self.register_bytes
        return f'attributes #0 = {{ "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}" }}'


@cache
def processor() -> Processor:
    """Return this machine's processor. Raises RuntimeError if it does not convert float16 by itself."""
    from llvmlite import binding

    has = binding.get_host_cpu_features()
    arm = platform.machine().lower() in ("arm64", "aarch64")
    if not arm and not has.get("f16c"):
        raise RuntimeError("This processor does not convert float16.")
    if has.get("avx512f") and has.get("avx512dq"):
        size, count = 64, 32
    elif has.get("avx2"):
        size, count = 32, 16
    elif arm:
        size, count = 16, 32
    else:
        size, count = 16, 16
    name = binding.get_host_cpu_name()
    return Processor(name, has.flatten(), size, count, WHOLE.get(name, 0), 2 if name in SECOND else 3)
