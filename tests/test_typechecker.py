"""The tests check types and shapes at run time: in the first calls of a function, and again in each test."""

from __future__ import annotations

import pytest
import torch
import typechecker
from jaxtyping import TypeCheckError

from varangian.kernels.distances import pairwise, to_each
from varangian.kernels.shares import Shares

FLAT = torch.zeros(3)


@pytest.mark.parametrize("turn", range(2))
def test_a_wrong_shape_is_found_until_enough_calls_were_right(turn: int) -> None:
    with pytest.raises(TypeCheckError, match="pairwise"):
        pairwise(FLAT)
    for _ in range(typechecker.FIRST):
        pairwise(torch.zeros(3, 2))
    with pytest.raises(IndexError):
        pairwise(FLAT)
    with pytest.raises(TypeCheckError, match="to_each"):
        to_each(FLAT, FLAT)
    typechecker.begin_anew()
    with pytest.raises(TypeCheckError, match="pairwise"):
        pairwise(FLAT)


def test_methods_of_classes_and_properties_are_found() -> None:
    """What is not found would be checked for ever: slowly, but not wrongly."""
    weights = torch.eye(3).double().numpy()
    for _ in range(typechecker.FIRST + 1):
        assert Shares.of(weights, 3, all_rows=False).real
    resting = {function.__qualname__ for function in typechecker.resting()}
    assert {"Shares.of", "Shares.real"} <= resting
