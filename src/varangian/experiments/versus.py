"""The question everyone asks first: what an attack costs, and what a rule wins back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from varangian.aggregators import Average
from varangian.specification import Experiment


@dataclass(frozen=True)
class Versus:
    """One experiment three times: nobody lies, plain averaging is attacked, the rule is attacked."""

    calm: Experiment
    averaged: Experiment
    robust: Experiment

    def __iter__(self) -> Iterator[tuple[str, Experiment]]:
        liars = f"{self.robust.byzantine} of {self.robust.workers} lie"
        yield "nobody lies, Average", self.calm
        yield f"{liars}, Average", self.averaged
        yield f"{liars}, {self.robust.rule!r}", self.robust


def versus(experiment: Experiment) -> Versus:
    """Return the experiment beside the same without attack, and under plain averaging.

    >>> from varangian.attacks import SignFlip
    >>> from varangian.aggregators import Median
    >>> three = versus(Experiment(byzantine=4, rule=Median(f=4), attack=SignFlip()))
    >>> [label for label, _ in three]
    ['nobody lies, Average', '4 of 20 lie, Average', '4 of 20 lie, Median(f=4)']
    """
    averaged = replace(experiment, rule=Average())
    return Versus(replace(averaged, attack=None), averaged, experiment)
