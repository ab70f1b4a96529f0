"""How Condense draws its mask, and that a program and the first vector make one result wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from torch import Tensor

import varangian as vg
from varangian.core.randomness import Stream

D = 2**22


@pytest.mark.parametrize("p", [0.5 / 2**16, 2.25 / 2**16, 0.1, 0.75, 0.9, 1 - 0.25 / 2**16])
def test_the_median_is_taken_as_often_as_asked_also_of_what_two_bytes_cannot_tell(p: float) -> None:
    taken = int(vg.Condense(f=1, p=p).mask(D, Stream(4)).sum())
    assert abs(taken - p * D) < 5 * np.sqrt(D * p * (1 - p))


def test_the_mask_is_the_same_for_a_name_and_another_for_the_next() -> None:
    rule = vg.Condense(f=1, p=0.5)
    assert torch.equal(rule.mask(99, Stream(1)), rule.mask(99, Stream(1)))
    assert not torch.equal(rule.mask(99, Stream(1)), rule.mask(99, Stream(2)))
    assert rule.mask(0, Stream(1)).shape == (0,)
    assert vg.Condense(f=1, p=1.0).mask(99, Stream(1)).all()


def halves(x: Tensor) -> list[list[Tensor]]:
    return [[row[:100].clone(), row[100:].clone()] for row in x]


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "a matrix": lambda x: x,
    "vectors": list,
    "several parameters": halves,
    "every second column": lambda x: x.repeat_interleave(2, dim=1)[:, ::2],
    "blocks": lambda x: vg.InBlocks(lambda: x.split(77, dim=1), tuple(x.shape)),
}


def whole(result: Tensor | Sequence[Tensor]) -> np.ndarray:
    return (result if isinstance(result, Tensor) else torch.cat(list(result))).double().numpy()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
def test_however_the_vectors_lie_the_result_is_that_of_the_definition(form: str, dtype: torch.dtype) -> None:
    """The first vector's values that are not finite count as zero, as everybody's."""
    x = torch.randn(7, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, ::10], x[2, 5] = torch.nan, torch.inf
    rule, stream = vg.Condense(f=2, p=0.5), Stream(3)
    told = rule.aggregate(FORMS[form](x), stream=stream)
    known = oracle.condense(x.nan_to_num(0.0, 0.0, 0.0).double().numpy(), rule.mask(300, stream).numpy())
    assert np.array_equal(whole(told.value), known)
    assert told.nonfinite.tolist() == [30, 0, 1, 0, 0, 0, 0]
    assert told.reads == 1


def test_every_problem_of_a_batch_has_its_own_first_vector() -> None:
    x = torch.randn(2, 3, 7, 200, generator=torch.Generator().manual_seed(0))
    rule, stream = vg.Condense(f=2, p=0.5), Stream(3)
    together = rule(x, stream=stream)
    assert torch.equal(together[1, 2], rule(x[1, 2], stream=stream))


def test_a_subclass_that_treats_columns_in_another_way_has_the_last_word() -> None:
    class Least(vg.Condense):
        def columns(self, values: Tensor) -> Tensor:
            return values.amin(-2)

    x = torch.randn(7, 200, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Least(f=2, p=1.0)(x), x.amin(0))
