"""Splits as they are spelled on the command line."""

from __future__ import annotations

from collections.abc import Callable

from varangian.data.splits import (
    IID,
    Dirichlet,
    ExplicitSizes,
    GammaSimilarity,
    Pooled,
    SortedBlocks,
    SortedShards,
    Split,
)
from varangian.errors import ParameterError, UnknownNameError


def parse_split(text: str) -> Split:
    """Return the split that a text names.

    Known are ``iid``, ``dirichlet:A``, ``shards:K``, ``similarity:G``, ``sizes:a,b``, ``pooled`` and
    ``blocks:H``.

    Raises      UnknownNameError; ParameterError if the number after the colon is missing or impossible

    >>> parse_split("dirichlet:0.3")
    Dirichlet(alpha=0.3)
    """
    name, colon, argument = text.strip().partition(":")
    if name.lower() not in _READERS:
        raise UnknownNameError("split", name, _READERS)
    example, read = _READERS[name.lower()]
    try:
        return read(argument if colon else None)
    except ParameterError:
        raise
    except (TypeError, ValueError) as error:
        raise ParameterError(f"The split {text!r} cannot be read; write it as {example!r}.") from error


def _bare(split: Split) -> Callable[[str | None], Split]:
    def read(argument: str | None) -> Split:
        if argument is not None:
            raise ValueError
        return split

    return read


def _read_shards(argument: str | None) -> Split:
    return SortedShards() if argument is None else SortedShards(int(argument))


def _read_sizes(argument: str | None) -> Split:
    if argument is None:
        raise ValueError
    words = argument.split(",")
    if any(mark in argument for mark in ".eE"):
        return ExplicitSizes(tuple(float(word) for word in words))
    return ExplicitSizes(tuple(int(word) for word in words))


def _count(argument: str | None) -> int:
    if argument is None:
        raise ValueError
    return int(argument)


def _number(argument: str | None) -> float:
    if argument is None:
        raise ValueError
    return float(argument)


_READERS: dict[str, tuple[str, Callable[[str | None], Split]]] = {
    "iid": ("iid", _bare(IID())),
    "dirichlet": ("dirichlet:0.3", lambda argument: Dirichlet(_number(argument))),
    "shards": ("shards:2", _read_shards),
    "similarity": ("similarity:0.5", lambda argument: GammaSimilarity(_number(argument))),
    "sizes": ("sizes:100,200,300", _read_sizes),
    "pooled": ("pooled", _bare(Pooled())),
    "blocks": ("blocks:20", lambda argument: SortedBlocks(_count(argument))),
}
