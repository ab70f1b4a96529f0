"""Measure cases: ours, the read floor, PyTorch's operators, and other libraries, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from varangian.core.stages import Stage
from varangian.errors import VarangianError
from varangian.experiments.bench.cases import DTYPES, Case, vectors
from varangian.experiments.bench.floor import ways
from varangian.experiments.bench.operators import operators
from varangian.experiments.bench.peers import LeftOut, Peer
from varangian.experiments.bench.timing import Times, alternate, timed

OURS = "varangian"
FLOOR = "read floor"
SAME = 1e-4
"""Results are the same if they differ by less, relative to the largest number; or by a few roundings."""
ROUNDINGS = 4


@dataclass
class Measured:
    """What came out for one case: times by name, ours and the floor first, and what else is to be told.

    ``apart`` is the largest difference between our result and another's, relative to our largest number.
    """

    case: Case
    reads: int = 0
    way: str = ""
    times: dict[str, Times] = field(default_factory=dict)
    apart: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def others(self) -> dict[str, Times]:
        """Return the times of all but ours and the floor."""
        return {name: times for name, times in self.times.items() if name not in (OURS, FLOOR)}

    def same(self, name: str) -> bool | None:
        """Tell whether another result is ours but for rounding; None where there is nothing to compare."""
        if name not in self.apart:
            return None
        return self.apart[name] <= max(SAME, ROUNDINGS * torch.finfo(DTYPES[self.case.dtype]).eps)


def measured(
    todo: Sequence[Case], peers: Sequence[Peer], seconds: float, watch: Callable[[Case], object]
) -> Iterator[Measured]:
    """Yield what each case came to, about so many seconds after the last, and after one call of everyone.

    Who takes longer than that for one call is not called again.
    """
    for case in todo:
        watch(case)
        yield _measure(case, peers, seconds)


def _measure(case: Case, peers: Sequence[Peer], seconds: float) -> Measured:
    rule, x, found = case.rule, vectors(case.n, case.d, case.dtype), Measured(case)
    ours = case.work(x)
    try:
        result = ours()
    except VarangianError as error:
        found.notes[OURS] = _words(error)
        return found
    found.reads = result.reads
    floors = ways(x)
    works: dict[str, Callable[[], object]] = {OURS: ours, **floors}
    for work in works.values():
        work()
    for name, work, comparable in _candidates(rule, x, peers, found.notes):
        made: list[Any] = []
        try:
            spent = timed(partial(_keep, work, made))
            if comparable:
                found.apart[name] = _difference(result.value, made[0])
        except Exception as error:  # whatever goes wrong in there is theirs
            found.notes[name] = f"failed: {_words(error)}"
            continue
        if spent.wall > seconds:
            found.times[name] = Times((spent,))
        else:
            works[name] = work
    times = alternate(works, seconds)
    found.way = min(floors, key=lambda way: times[way].wall)
    kept = {name: times[name] for name in works if name not in (OURS, *floors)}
    found.times = {OURS: times[OURS], FLOOR: times[found.way], **kept, **found.times}
    return found


def _keep(work: Callable[[], object], made: list[Any]) -> None:
    made.append(work())


def _candidates(
    rule: Stage, x: Tensor, peers: Sequence[Peer], notes: dict[str, str]
) -> Iterator[tuple[str, Callable[[], object], bool]]:
    """Yield names, calls, and whether results are comparable; note who is left out."""
    yield from operators(rule, x)
    for peer in peers:
        try:
            work = peer.work(rule, x)
        except LeftOut as error:
            notes[peer.name] = f"left out: {error}"
        except Exception as error:  # as above
            notes[peer.name] = f"failed: {_words(error)}"
        else:
            if work is not None:
                yield peer.name, work, True


def _difference(mine: Tensor, its: Any) -> float:
    scale = float(mine.double().abs().max()) or 1.0
    return float((mine.double() - torch.as_tensor(its).reshape(mine.shape).double()).abs().max()) / scale


def _words(error: Exception) -> str:
    """Return the first line of what an error says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
