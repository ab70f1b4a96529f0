"""What many parties leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from varangian.engines.result import Result


@dataclass(frozen=True, eq=False)
class Gathered(Result):
    """The result that the first honest holder of a model has, and what was seen of all parties.

    ``accuracies`` are those of the honest parties that hold a model; ``refused`` counts messages that were
    not taken, by who refused, whose they were, and why; ``elapsed`` is in seconds of the parties' clock.
    """

    accuracies: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    messages: int = 0
    elapsed: float = 0.0
