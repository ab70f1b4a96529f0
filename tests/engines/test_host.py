"""A rule under jax.jit is the rule."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import varangian as vg
from varangian.jax import jitted

RULES: list[Any] = [
    vg.Median(f=1),
    vg.Krum(f=1),
    vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1)),
    vg.NearestNeighborMixing(f=1),
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_compiled_program_calls_the_rule(rule: Any) -> None:
    x = np.random.default_rng(1).standard_normal((2, 7, 33)).astype(np.float32)
    compiled = jax.jit(lambda x: 2 * jitted(rule)(x))
    assert np.array_equal(compiled(x), 2 * rule(x))
    assert np.array_equal(jax.vmap(jitted(rule))(x), rule(x))


def test_what_the_rule_refuses_is_an_error_of_the_program() -> None:
    with pytest.raises(Exception, match="its guarantee needs n >= 2f"):
        jax.block_until_ready(jax.jit(jitted(vg.Krum(f=3)))(np.zeros((4, 3), np.float32)))
