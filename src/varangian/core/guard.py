"""The guard's second half: as many vectors as the theorem needs, or a refusal that says the fix."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from varangian.core.conditions import Condition
from varangian.errors import ToleranceError

if TYPE_CHECKING:
    from varangian.core.stages import Stage


def admit(stage: Stage, n: int) -> None:
    """Refuse n vectors where a condition does not hold, of the first stage of a chain that fails.

    Raises ToleranceError.
    """
    parts: Sequence[Stage] = getattr(stage, "parts", (stage,))
    arrived = n
    for place, part in enumerate(parts):
        if not part.condition().holds(arrived):
            where = f", stage {place + 1} of {stage!r}," if len(parts) > 1 else ""
            made = f", made of the n = {n} that arrived" if arrived != n else ""
            raise ToleranceError(
                f"{part!r}{where} received n = {arrived} vectors{made}; "
                f"its guarantee needs {part.condition()}.\n{_advice(stage, n)}."
            )
        arrived = part.outputs(arrived)


def walk(parts: Sequence[Stage], n: int) -> bool:
    """Tell whether n vectors satisfy every stage in turn."""
    for part in parts:
        if not part.condition().holds(n):
            return False
        n = part.outputs(n)
    return True


def least(parts: Sequence[Stage], words: str, start: int = 1, most: int = 100_000) -> Condition:
    """Return the condition of stages in a row: the least n that satisfies each in turn, or ``most``.

    More vectors never make fewer outputs, so that what holds for n holds for n + 1.
    """
    n = bisect_left(range(most), True, lo=start, key=lambda n: walk(parts, n))
    return Condition(n, words)


def _advice(stage: Stage, n: int) -> str:
    missing = stage.condition().minimum - n
    tolerable = largest_f(stage, n)
    add = f"Add at least {missing} worker{'s' if missing > 1 else ''}"
    return add if tolerable is None else f"{add}, or declare f <= {tolerable}"


def largest_f(stage: Stage, n: int) -> int | None:
    """Return the largest f that the stage could declare for n vectors, or None if there is none."""
    declared = stage.f or 0
    for f in range(min(declared - 1, n), -1, -1):
        if declare(stage, f).condition().holds(n):
            return f
    return None


def declare(stage: Stage, f: int) -> Stage:
    """Return the stage with another declared f."""
    remade = getattr(stage, "declaring", None)
    result: Stage = remade(f) if remade else replace(stage, f=f)  # type: ignore[type-var]
    return result
