"""The table of metrics: columns of one length, NaN where nothing was measured."""

from __future__ import annotations

import math

import pytest

from varangian.metrics import Table


def filled() -> Table:
    table = Table()
    table.append({"step": 1, "loss": 3.0})
    table.append({"step": 2, "loss": 2.0, "accuracy": 0.5})
    table.append({"step": 3, "accuracy": math.nan, "late": 7})
    return table


def test_columns_have_one_length() -> None:
    table = filled()
    assert list(table) == ["step", "loss", "accuracy", "late"]
    assert len(table) == 4
    assert {len(column) for column in table.values()} == {3}
    assert table["step"] == [1.0, 2.0, 3.0]
    assert table["loss"][:2] == [3.0, 2.0]
    assert math.isnan(table["loss"][2])
    assert math.isnan(table["late"][0])
    assert all(isinstance(value, float) for column in table.values() for value in column)


def test_last_and_measured_skip_what_is_missing() -> None:
    table = filled()
    assert table.last("loss") == 2.0
    assert table.last("accuracy") == 0.5
    assert math.isnan(table.last("nothing"))
    assert table.measured("step", "accuracy") == ([2.0], [0.5])
    assert table.measured("step", "loss") == ([1.0, 2.0], [3.0, 2.0])


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        filled()["nothing"]
    assert "nothing" not in filled()
    assert Table().get("loss") is None
    assert math.isnan(Table().last("loss"))


def test_the_row_is_copied() -> None:
    table, row = Table(), {"a": 1.0}
    table.append(row)
    row["a"] = 2.0
    assert table["a"] == [1.0]
