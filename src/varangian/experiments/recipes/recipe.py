"""What a recipe is: experiments of a paper as specifications, its numbers as data, its figures."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from varangian.core.checks import check_count
from varangian.core.citations import Reference
from varangian.core.values import Value
from varangian.experiments.recipes.report import Comparison
from varangian.experiments.view import Run
from varangian.specification import Experiment


@dataclass(frozen=True, kw_only=True)
class Scope(Value):
    """How much of a paper to run, and how.

    ``full`` is all of it; otherwise the part that the recipe calls quick. ``seeds``, ``steps`` and ``data``
    are the recipe's own unless given. ``as_released`` repeats what the authors' code does where it differs
    from their paper.
    """

    full: bool = False
    seeds: int | None = None
    steps: int | None = None
    as_released: bool = False
    data: str | None = None
    data_dir: str | os.PathLike[str] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("seeds", "steps"):
            if getattr(self, name) is not None:
                check_count(self, name, getattr(self, name), least=1)


class Recipe(Value, ABC):
    """A paper to reproduce: a frozen dataclass without state.

    ``summary`` is one line for lists, ``quick`` and ``full`` say what is run and about how long it takes on
    two cores. ``datasets`` are those that the paper used, the default first.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[Reference]
    quick: ClassVar[str]
    full: ClassVar[str]
    datasets: ClassVar[tuple[str, ...]]

    @abstractmethod
    def settings(self, scope: Scope) -> list[Experiment]:
        """Return every run, in the order in which they are best run. Raises ParameterError."""

    @abstractmethod
    def report(self, runs: Sequence[Run], scope: Scope) -> Comparison:
        """Return the paper's numbers beside those of the runs; what was not run is NaN."""

    @abstractmethod
    def draw(self, runs: Sequence[Run], folder: Path) -> list[Path]:
        """Draw the paper's figures into a folder that exists, the CSV beside each; return all paths.

        Raises MissingExtraError without matplotlib, DataError for what cannot be written.
        """

    def data(self, scope: Scope) -> str:
        """Return the data set: the scope's, or the recipe's first."""
        return scope.data or self.datasets[0]
