"""What compiled code draws is what NumPy draws, number for number."""

from __future__ import annotations

import numpy as np
import pytest

from varangian.kernels.draws import Draws, _write, chosen

ROWS = [
    (1, 1),
    (2, 2),
    (23, 6),
    (160, 6),
    (5, 5),
    (83, 83),
    (1176, 83),
    (60_000, 83),
    (60_000, 1),
    (9_999, 3_000),
]


def keys(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 2**63, count, dtype=np.uint64)


def written(rows: list[tuple[int, int]], rounds: int, width: int) -> tuple[Draws, np.ndarray, np.ndarray]:
    tables = [np.random.default_rng(bound).permutation(bound) + 7 for bound, _ in rows] * rounds
    draws, given = Draws(tables, [count for _, count in rows] * rounds), keys(len(tables))
    out = np.full((len(tables), width), -1)
    draws.write(given, out)
    return draws, given, out


def check(draws: Draws, given: np.ndarray, out: np.ndarray) -> None:
    for key, table, count, row in zip(given, draws.tables, draws.counts, out, strict=True):
        want = table[chosen(int(key), len(table), int(count))]
        np.testing.assert_array_equal(row[:count], want)
        assert (row[count:] == want[0]).all()


@pytest.mark.usefixtures("compiled")
def test_rows_of_every_size_are_numpys() -> None:
    draws, given, out = written(ROWS, rounds=20, width=3_000)
    assert draws.compiles
    check(draws, given, out)


@pytest.mark.usefixtures("compiled")
def test_few_rows_are_left_to_numpy_and_some_are() -> None:
    tables, counts = [np.arange(2**22)] * 400, np.full(400, 20)
    out = np.empty((400, 20), dtype=np.int64)
    lost = _write(tables, np.full(400, 2**22), counts, keys(400), out)
    assert 0 < lost.sum() < 40
    draws = Draws(tables, counts.tolist())
    draws.write(keys(400), out)
    check(draws, keys(400), out)


def test_what_numpy_shuffles_is_left_to_it() -> None:
    draws, given, out = written([(10_001, 201), (10_001, 200)], rounds=2, width=201)
    assert not draws.compiles
    check(draws, given, out)


def test_without_a_compiler_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    draws, given, out = written(ROWS[:5], rounds=2, width=9)
    monkeypatch.setattr(draws, "compiles", False)
    again = np.empty_like(out)
    draws.write(given, again)
    np.testing.assert_array_equal(again, out)


def test_no_two_numbers_of_a_row_are_the_same() -> None:
    assert sorted(chosen(5, 83, 83).tolist()) == list(range(83))
