"""Stages in a row: mixers, then one rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.guard import declare, least
from varangian.core.papers import FIXING
from varangian.core.stages import Composite, Mixer, Stage
from varangian.errors import ChainError


@dataclass(frozen=True, repr=False)
class Chain(Composite):
    """Mixers and a rule, planned as one: one read to measure and one to combine, however long it is.

    Vectors whose table would lose digits are measured again. One rule needs a further read behind a mixer
    that plans on distances: Aksel's median of the mixed vectors exists only once the mixing is planned.

    Make it with :func:`chain`, which checks it.
    """

    parts: tuple[Stage, ...]
    f: int | None

    guarantee: ClassVar[str] = "the mixers' coefficient in front of the rule's, where a paper gives it"
    cost: ClassVar[str] = (
        "two reads; a further one for Aksel, or where folding loses digits; one if only coordinate stages"
    )
    reference: ClassVar[Reference] = FIXING

    def __post_init__(self) -> None:
        """Leave the checks to :func:`chain`."""

    def condition(self) -> Condition:
        """Return the least n that satisfies every stage in turn."""
        return least(self.parts, "every stage's condition in turn")

    def stages(self) -> tuple[Stage, ...]:
        """Return the elementary stages."""
        return tuple(stage for part in self.parts for stage in part.stages())

    def kappa(self, n: int) -> float | None:
        """Return the coefficient where every mixer's paper gives one in front of what follows it."""
        *mixers, last = self.parts
        value = None if last.mixes else last.kappa(n)
        for mixer in reversed(mixers):
            value = mixer.kappa_before(n, value) if value is not None and isinstance(mixer, Mixer) else None
        return value

    def declaring(self, f: int) -> Chain:
        """Return the same chain with another declared f."""
        return replace(
            self, parts=tuple(part if part.f is None else declare(part, f) for part in self.parts), f=f
        )

    def __repr__(self) -> str:
        differ = len({part.f for part in self.parts} - {None}) > 1
        return f"chain({', '.join(map(repr, self.parts))}{', allow_different_f=True' if differ else ''})"


def chain(*parts: Stage, allow_different_f: bool = False) -> Chain:
    """Return the stages as one: mixers first, then at most one rule.

    Raises ChainError for no stage, a rule before another stage, a rule that leaves out what is missing behind
    a mixer, or two stages that declare a different f (unless ``allow_different_f``: the largest then stands
    for the chain).
    """
    if not parts:
        raise ChainError("chain() needs at least one stage.")
    for part in parts:
        if not isinstance(part, Stage):
            raise ChainError(f"chain() takes mixers and rules; {part!r} is a {type(part).__name__}.")
    flat = [part for p in parts for part in (p.parts if isinstance(p, Chain) else (p,))]
    for part, following in pairwise(flat):
        if not part.stages()[-1].mixes:
            raise ChainError(
                f"{part!r} returns one vector, so {following!r} cannot come after it. "
                "Put mixers first, the rule last."
            )
    for part in flat:
        if len(flat) > 1 and part.missing:
            raise ChainError(
                f"{part!r} leaves out what is missing, which a mixer before it cannot tell. Use it alone, or "
                "leave out missing=True: what is missing then counts as zero."
            )
    declared = {part.f: part for part in flat if part.f is not None}
    if len(declared) > 1 and not allow_different_f:
        one, two, *_ = declared.values()
        raise ChainError(
            f"{one!r} and {two!r} declare different f. Declare one f, or pass allow_different_f=True."
        )
    return Chain(tuple(flat), max(declared, default=None))
