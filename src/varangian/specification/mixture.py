"""A mixture of rules, one of which is drawn at every step."""

from __future__ import annotations

from dataclasses import dataclass

from varangian.core.checks import check_number
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.core.values import Value
from varangian.errors import ParameterError


@dataclass(frozen=True)
class RuleMixture(Value):
    """Several rules, of which the server draws one per step, with the probabilities given.

    ``shares`` are relative; all are equal if there are none. An attack that sees the rule sees the one drawn.

    Raises      ParameterError

    >>> from varangian.aggregators import Krum, Median
    >>> mixture = RuleMixture((Krum(f=1), Median(f=1)), (1.0, 3.0))
    >>> [type(mixture.at(Stream(step))).__name__ for step in range(4)]
    ['Median', 'Median', 'Median', 'Krum']
    """

    rules: tuple[Stage, ...]
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        object.__setattr__(self, "shares", tuple(self.shares))
        if len(self.rules) < 2 or not all(isinstance(rule, Stage) for rule in self.rules):
            raise ParameterError(f"{self!r}: mix at least two rules, each a value such as Krum(f=1).")
        if self.shares and len(self.shares) != len(self.rules):
            raise ParameterError(
                f"{self!r} gives {len(self.shares)} shares to {len(self.rules)} rules; give one to each."
            )
        for share in self.shares:
            check_number(self, "share", share)

    def at(self, stream: Stream) -> Stage:
        """Return the rule that the stream draws."""
        shares = self.shares or (1.0,) * len(self.rules)
        place = float(stream.numpy().random()) * sum(shares)
        for rule, share in zip(self.rules, shares, strict=True):
            place -= share
            if place < 0:
                return rule
        return self.rules[-1]
