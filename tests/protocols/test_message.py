"""Topics are in the order of a protocol's run, and a form admits what was agreed on."""

from __future__ import annotations

import numpy as np
import pytest

from varangian.protocols import Form, Topic


def test_topics_are_in_the_order_of_steps() -> None:
    assert Topic(1, "b") < Topic(2, "a", -5) < Topic(2, "a", 1) < Topic(2, "a", 1, 3)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(2, np.float32),
        np.zeros(4, np.float32),
        np.zeros(3, np.float64),
        np.zeros((1, 3), np.float32),
        [0.0] * 3,
        None,
    ],
)
def test_a_form_admits_nothing_else(bad: object) -> None:
    form = Form(np.dtype(np.float32), 3)
    assert not form.admits(bad)
    assert form.admits(np.zeros(3, np.float32))
    assert form.size == 12
