"""Privacy as it is spelled."""

from __future__ import annotations

from typing import Any

import pytest
from specification.plain import outcomes

from varangian.errors import ParameterError, UnknownNameError
from varangian.privacy import Privacy
from varangian.specification.privacy import parse_privacy


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("epsilon=0.2,norm=0.01,delta=1e-6", Privacy(0.2, 0.01)),
        (" norm = 1 , epsilon = 2 , clip = batch ", Privacy(2, 1, clip="batch")),
        ({"epsilon": 0.2, "norm": 0.01}, Privacy(0.2, 0.01)),
        ({"epsilon": 0.2, "norm": 0.01, "delta": 1e-5, "clip": "sample"}, Privacy(0.2, 0.01, 1e-5)),
        ("none", None),
        (" None ", None),
    ],
)
def test_spellings(spelled: Any, value: Privacy | None) -> None:
    assert parse_privacy(spelled) == value


@pytest.mark.parametrize(
    ("spelled", "error", "word"),
    [
        ("epsilom=0.2,norm=1", UnknownNameError, "epsilon"),
        ({"epsilon": 0.2, "norm": 1.0, "sigma": 2.0}, UnknownNameError, "sigma"),
        ("epsilon=0.2", ParameterError, "needs norm"),
        ("", ParameterError, "needs epsilon and norm"),
        ({}, ParameterError, "needs epsilon and norm"),
        ("0.2", ParameterError, "field=value"),
        ("epsilon=,norm=1", ParameterError, "field=value"),
        ("epsilon=0.2,epsilon=0.3,norm=1", ParameterError, "twice"),
        ("epsilon=0.2,norm=1,clip=Batch", ParameterError, "sample, batch"),
        ({"epsilon": True, "norm": 1.0}, ParameterError, "finite number"),
    ],
)
def test_misspellings(spelled: Any, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        parse_privacy(spelled)


WRONG = {
    "parse_privacy('epsilon=big,norm=1')": "epsilon must be a finite number",
    "parse_privacy('epsilon=0.2,norm=none')": "norm must be a finite number",
    "parse_privacy({'epsilon': '0.2', 'norm': 1.0})": "epsilon must be a finite number",
    "parse_privacy({'epsilon': 0.2, 'norm': 1.0, 'clip': None})": "clip must be one of sample, batch",
    "parse_privacy({'epsilon': 0.2, 'norm': 1.0, 'clip': ['sample']})": "clip must be one of sample, batch",
}


def test_values_of_another_kind_are_refused_by_name() -> None:
    module = "__import__('varangian.specification.privacy', fromlist=['x'])."
    found = outcomes([module + expression for expression in WRONG])
    for expression, words in WRONG.items():
        outcome = found[module + expression]
        assert "ParameterError" in outcome.kinds, outcome
        assert words in outcome.words
