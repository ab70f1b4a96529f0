"""Column kernels on whole rows, shared out in compiled code: one call, however many parts and threads."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from varangian.kernels.compiled import tasks
from varangian.kernels.compiled.jit import Compiler
from varangian.kernels.compiled.lines import WORDS, one_line_code, part_code
from varangian.kernels.compiled.tasks import Scratch, step_of
from varangian.kernels.compiled.tiles import address_of
from varangian.kernels.helpers import ROOM, crew, together
from varangian.kernels.lanes import lanes

AT_ONCE = 2**28
"""Numbers after which Python looks whether it is interrupted."""

_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_part = Compiler(part_code, _NUMBER, _POINTER, _NUMBER, _POINTER)
_one_line = Compiler(one_line_code, _NUMBER, _POINTER)
_Told = _NUMBER * (WORDS + 10)


class Line(NamedTuple):
    """A kernel (where it is, and whether it writes past the caches) on one problem's rows, a table of n."""

    code: int
    rows: int
    past: int
    out: int
    width: int
    tile: int


class Place(NamedTuple):
    """Columns of a line."""

    line: int
    start: int
    stop: int


def over_one(line: Line, n: int, pitch: int = 0) -> list[Place] | None:
    """Run a kernel on one line; its ``rows`` are a matrix if each is ``pitch`` bytes from the one before.

    Return where a value was not finite; or None if nothing is done: there are too many numbers for a call, or
    no helpers, or somebody else has them.
    """
    if n * line.width > AT_ONCE:
        return None
    step, count = _cut(line.width, n, line.tile, lanes())
    helpers = _helpers(n * line.width, count)
    team = crew() if helpers else None
    if helpers and team is None:
        return None
    with Scratch(ROOM + count) as room:
        told = (*line[:5], step, line.tile, 0, line.rows, pitch, n, room + ROOM, _part_address(), count)
        board = (team.grow(helpers), room, team.board, team.share_address) if team else (0, room, 0, 0)
        lost = _one_line()(_Told(*told, *board))
        marks = ctypes.string_at(room + ROOM, count) if lost > 0 else b""
    return None if lost < 0 else [_place(0, line, step, place) for place, mark in enumerate(marks) if mark]


def over_lines(lines: Sequence[Line], n: int, kept: object) -> list[Place]:
    """Run kernels on lines of n rows each, and return where a value was not finite.

    What is ``kept`` is where the rows are, and where the results go.
    """
    if not lines:
        return []
    cuts = [_cut(line.width, n, line.tile, lanes()) for line in lines]
    ends = np.cumsum([count for _, count in cuts])
    firsts = ends - [count for _, count in cuts]
    words = np.array(
        [
            (*line[:5], step, line.tile, first)
            for line, (step, _), first in zip(lines, cuts, firsts, strict=True)
        ],
        dtype=np.int64,
    )
    total = int(ends[-1])
    owners = np.repeat(np.arange(len(lines)), np.diff(ends, prepend=0))
    marks = np.zeros(total, np.uint8)
    args = np.array([words.ctypes.data, owners.ctypes.data, marks.ctypes.data], dtype=np.int64)
    numbers = n * sum(line.width for line in lines)
    given = _helpers(numbers, total), -(-numbers // AT_ONCE), (words, owners, marks, kept)
    if not together(_part(), args, total, *given):
        return []
    return [
        _place(which, lines[which], cuts[which][0], place - int(firsts[which]))
        for place in np.flatnonzero(marks).tolist()
        for which in [int(owners[place])]
    ]


def _helpers(numbers: int, count: int) -> int:
    """Return how many threads beside this one are worth waking for so many numbers in so many parts."""
    return 0 if numbers <= tasks.STRETCH else min(lanes(), count) - 1


def _cut(width: int, n: int, tile: int, lanes: int) -> tuple[int, int]:
    """Return how many columns a part has, and how many parts there are."""
    step = step_of(width, n, tile, lanes)
    return step, len(range(0, width - tile + 1, step))


def _place(which: int, line: Line, step: int, part: int) -> Place:
    start = part * step
    return Place(which, start, start + step if start + step <= line.width - line.tile else line.width)


def _part_address() -> int:
    return address_of(_part())
