"""What every kind of audit is asked beside its subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from varangian.audit.conditions import Condition
from varangian.errors import ParameterError

ALLOWED = 0.1
"""What of the accuracy an attack may cost."""

Watch = Callable[[str, float], None]
"""Told what is under way, and which share of all is done, 0..1."""


@dataclass(frozen=True)
class Asked:
    """What every kind of audit is asked beside its subject."""

    byzantine: int | None
    allowed: float
    seed: int
    conditions: tuple[Condition, ...]
    watch: Watch
    parts: bool | None = None

    def liars(self, n: int, otherwise: int) -> int:
        """Return how many lie in the audit. Raises ParameterError for a number that cannot be."""
        b = otherwise if self.byzantine is None else self.byzantine
        if not isinstance(b, int) or isinstance(b, bool) or not 0 <= b <= n - 2:
            raise ParameterError(
                f"byzantine = {b!r} arrived for n = {n}; two must be honest, so take 0 to {n - 2}."
            )
        return b
