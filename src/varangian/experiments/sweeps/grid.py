"""A grid file -> the experiments that it spells."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from varangian.errors import ParameterError, UnknownNameError, VarangianError
from varangian.specification import Experiment, from_strings, identity
from varangian.specification.toml import NAMES, read_toml

GRID = "grid"


def read_grid(path: str | os.PathLike[str]) -> list[Experiment]:
    """Return the experiments of a file: its fields, and every combination of what its ``[grid]`` lists.

    A name in ``[grid]`` is a field, and its list holds the values; or it is a word of yours, and its list
    holds tables of fields that vary together. What ``[grid]`` says goes over the fields above it. A
    combination that stands twice is one run.

    Raises      DataError for a file that cannot be read; ParameterError, UnknownNameError for what it says,
                naming the combination
    """
    return expand(read_toml(path), str(path))


def expand(given: Mapping[str, Any], name: str = "the grid") -> list[Experiment]:
    """Return the experiments of a grid file's content.

    >>> base = {"workers": 11, "rule": "median"}
    >>> grid = {"seed": [1, 2], "who": [{"byzantine": 2}, {"byzantine": 4, "attack": "alie:z=1"}]}
    >>> [(spec.seed, spec.rule, spec.attack) for spec in expand({**base, "grid": grid})][1:3]
    [(1, Median(f=4), ALittleIsEnough(z=1)), (2, Median(f=2), None)]
    """
    base = {field: value for field, value in given.items() if field != GRID}
    made: dict[str, Experiment] = {}
    for combination in _combinations(_axes(given.get(GRID, {}), name)):
        try:
            spec = from_strings({**base, **combination})
        except VarangianError as error:
            told = ", ".join(f"{field} = {value!r}" for field, value in combination.items())
            raise ParameterError(f"{name}{f', where {told}' if told else ''}: {error}") from None
        made.setdefault(identity(spec), spec)
    return list(made.values())


def _axes(grid: Any, name: str) -> list[list[dict[str, Any]]]:
    """Return, for everything that varies, the fields that each of its values sets."""
    if not isinstance(grid, Mapping):
        raise ParameterError(
            f"{name}: grid must be a table; write [grid], and under it rule = [...], seed = [...]."
        )
    axes: list[list[dict[str, Any]]] = []
    owners: dict[str, str] = {}
    for axis, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ParameterError(
                f"{name}: grid.{axis} must list values; write {axis} = [...], with at least one."
            )
        tied = axis not in NAMES and all(isinstance(value, Mapping) for value in values)
        if not tied and axis not in NAMES:
            raise UnknownNameError(f"field of an experiment in [grid] of {name}", axis, NAMES)
        axes.append([dict(value) if tied else {axis: value} for value in values])
        for field in {field for choice in axes[-1] for field in choice}:
            if field not in NAMES:
                raise UnknownNameError(f"field of an experiment in grid.{axis} of {name}", field, NAMES)
            if owners.setdefault(field, axis) != axis:
                raise ParameterError(
                    f"{name}: grid.{owners[field]} and grid.{axis} both set {field}; keep it in one of them."
                )
    return axes


def _combinations(axes: list[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for choices in product(*axes):
        yield {field: value for choice in choices for field, value in choice.items()}
