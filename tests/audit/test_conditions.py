"""Conditions: a tiny language, and nothing else."""

from __future__ import annotations

import math

import pytest

from varangian.audit.conditions import MEASURED, NUMBERS, TRAINED, parse_condition
from varangian.errors import ParameterError, UnknownNameError


@pytest.mark.parametrize(
    ("text", "value", "fails"),
    [
        ("worst_accuracy < 0.9", 0.89, True),
        ("worst_accuracy < 0.9", 0.9, False),
        ("worst_accuracy<=90%", 0.9, True),
        ("coefficient > 1e0", math.inf, True),
        ("coefficient >= 1", 1.0, True),
        ("differing_clients != 0", 2.0, True),
        ("differing_clients == 0", 2.0, False),
        ("epsilon > 3", None, True),
        ("epsilon > 3", math.nan, True),
    ],
)
def test_a_condition_makes_the_audit_fail_if_it_is_true(text: str, value: float | None, fails: bool) -> None:
    condition = parse_condition(text)
    assert condition.check({condition.name: value}).holds is fails


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worst_accuracy",
        "worst_accuracy < ",
        "worst_accuracy < 0.9.1",
        "worst_accuracy = 1",
        "0.9 > worst_accuracy",
        "worst_accuracy < coefficient",
        "coefficient > 1 and coefficient > 2",
        "__import__('os') < 1",
        "coefficient.real < 1",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="is no condition"):
        parse_condition(text)


def test_an_unknown_number_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'worst_accuracy'"):
        parse_condition("worst_acuracy < 1")
    assert {*TRAINED, *MEASURED} <= set(NUMBERS)
