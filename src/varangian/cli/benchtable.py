"""What ``varangian bench`` prints: a line per case, and what is not as one would expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from varangian.experiments.bench import FLOOR, OURS, Measured, Start

Key = tuple[str, int, str]
NUMBERS = ("ms", "CPU ms", "GB/s", "% of floor", "by CPU")


def legend(found: Sequence[Measured]) -> list[str]:
    """Return what the columns mean."""
    ways = ", ".join(dict.fromkeys(one.way for one in found if one.way))
    return [
        "ms, CPU ms: a call, on the wall and of all cores. GB/s: of the input, as if it were read once.",
        "% of floor: the time in which the input is read once and nothing else is done, over ours, on the "
        f"wall and of all cores. Read by: {ways or 'nothing'}.",
        "reads: how often a rule reads the input.",
        "first, from disk: the first call in a new process, before and after its code is on disk, in ms.",
        "Others: how many times as long as ours they took, on the wall / of all cores; * where their result "
        "is another.",
    ]


def summary(
    found: Sequence[Measured], begun: Mapping[Key, Start]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the columns, the rows, and which columns are numbers."""
    who = list(dict.fromkeys(name for one in found for name in one.others))
    torch = [name for name in who if _is_operator(name)]
    peers = [name for name in who if not _is_operator(name)]
    columns = ["rule", "n", "f", "d", "dtype", *NUMBERS, "reads", "first", "from disk"]
    columns += ["torch"] * bool(torch) + peers
    rows = []
    for one in found:
        case, start = one.case, begun.get(key(one))
        row = [case.text, str(case.n), str(case.declared), f"{case.d:g}", case.dtype, *_numbers(one)]
        row += [str(one.reads or ""), *(_ms(value) for value in start or (None, None))]
        if torch:
            row.append(
                ", ".join(
                    f"{name.removeprefix('torch.')} {_ratio(one, name)}"
                    for name in torch
                    if name in one.others
                )
            )
        row += [_ratio(one, name) for name in peers]
        rows.append(row)
    return columns, rows, [column for column in columns if column not in ("rule", "dtype", "torch")]


def notes(found: Sequence[Measured]) -> Iterator[str]:
    """Yield who failed or was left out, and whose result is another, by how much of our largest number."""
    told: dict[str, list[str]] = {}
    for one in found:
        for name, words in one.notes.items():
            told.setdefault(f"{name}, {one.case.text}: {words}", []).append(f"n = {one.case.n}")
        for name, apart in one.apart.items():
            if not one.same(name):
                words = f"{name}, {one.case.text}: another result"
                told.setdefault(words, []).append(f"n = {one.case.n} by {apart:.1g}")
    yield from (f"{words} ({', '.join(dict.fromkeys(places))})" for words, places in told.items())


def key(one: Measured) -> Key:
    """Return what the first call of a case is known by."""
    return one.case.text, one.case.n, one.case.dtype


def _numbers(one: Measured) -> list[str]:
    if OURS not in one.times:
        return [""] * len(NUMBERS)
    ours = one.times[OURS]
    wall, cpu = ours.over(one.times[FLOOR])
    return [
        _ms(ours.wall),
        _ms(ours.cpu),
        f"{one.case.bytes / ours.wall / 1e9:.1f}",
        f"{100 / wall:.0f}",
        f"{100 / cpu:.0f}" if cpu else "",
    ]


def _ratio(one: Measured, name: str) -> str:
    """Return how many times as long as ours another took, on the wall and of all cores."""
    if name not in one.times:
        return ""
    star = "*" if one.same(name) is False else ""
    return f"{'/'.join(map(_times, one.times[name].over(one.times[OURS])))}{star}"


def _times(ratio: float) -> str:
    """Return a ratio, to two digits at least.

    >>> _times(8.66), _times(14.2)
    ('8.7x', '14x')
    """
    return f"{ratio:.0f}x" if ratio >= 9.95 else f"{ratio:.1f}x"


def _ms(seconds: float | None) -> str:
    """Return milliseconds, to three digits.

    >>> _ms(0.0123456), _ms(1.5), _ms(None)
    ('12.3', '1500', '')
    """
    if seconds is None:
        return ""
    ms = 1e3 * seconds
    return f"{ms:.0f}" if ms >= 99.95 else f"{ms:.3g}"


def _is_operator(name: str) -> bool:
    return name.startswith("torch.") or "@" in name
