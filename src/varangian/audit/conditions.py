"""Conditions under which an audit fails, as somebody wrote them: ``worst_accuracy < 0.9``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from varangian.audit.report import Check
from varangian.audit.series import Number
from varangian.errors import ParameterError, UnknownNameError

NUMBERS = {
    "worst_accuracy": "the least test accuracy under attack, 0..1",
    "calm_accuracy": "test accuracy with the rule and nobody lying, 0..1",
    "accuracy_loss": "what the worst attack costs, of the accuracy of plain averaging with nobody lying",
    "coefficient": "the worst coefficient found",
    "proven_coefficient": "the proven coefficient",
    "lower_bound": "f / (n - 2f), which no rule can beat",
    "breakdown": "how many liars are withstood in training",
    "heterogeneity": "B^2 of the honest",
    "heterogeneity_limit": "(n - 2f) / f",
    "condition_share": "share of the steps in which the variance-norm condition held",
    "epsilon": "privacy spent by a run",
    "cost_accuracy": "accuracy lost with nobody lying, against plain averaging",
    "cost_error": "error with nobody lying, in honest standard deviations",
    "cost_seconds": "seconds of one aggregation",
    "largest_share": "the largest weight of a party",
    "differing_clients": "clients that stand out",
    "crashes_borne": "crashed neurons that every hidden layer was seen to bear",
    "crashes_proven": "crashed neurons that every hidden layer is proven to bear",
}
"""What a condition may name."""

TRAINED = (
    "worst_accuracy",
    "calm_accuracy",
    "accuracy_loss",
    "breakdown",
    "cost_accuracy",
    "epsilon",
    "crashes_borne",
    "crashes_proven",
)
"""What only an experiment tells."""
MEASURED = ("heterogeneity", "heterogeneity_limit", "condition_share", "differing_clients", "largest_share")
"""What a rule alone does not tell."""

SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|==|!=|<|>)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(%?)\s*")


@dataclass(frozen=True)
class Condition:
    """A number of a report, a comparison, and a bound: the audit fails if it is true."""

    text: str
    name: str
    sign: str
    bound: float

    def ask(self, kind: str) -> None:
        """Refuse to be asked of a kind of audit that does not measure the number. Raises ParameterError."""
        if (kind != "experiment" and self.name in TRAINED) or (kind == "rule" and self.name in MEASURED):
            raise ParameterError(
                f"{self.text!r}: {self.name} is {NUMBERS[self.name]}, which the audit of "
                f"{'recorded rounds' if kind == 'recording' else 'a rule alone'} does not measure."
            )

    def check(self, numbers: Mapping[str, Number]) -> Check:
        """Return whether the audit fails by it; a number that was not measured fails as well."""
        value = numbers.get(self.name)
        unmeasured = value is None or math.isnan(value)
        return Check(self.text, value, unmeasured or SIGNS[self.sign](float(value or 0.0), self.bound))


def parse_condition(text: str) -> Condition:
    """Return the condition that a text spells: a name, a comparison, a number, perhaps in per cent.

    Raises      UnknownNameError for a number that no report has; ParameterError for any other text

    >>> parse_condition("worst_accuracy < 90%").bound
    0.9
    >>> parse_condition("coefficient > 2").check({"coefficient": math.inf}).holds
    True
    """
    found = FORM.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        name, sign, number, percent = found.groups()
        bound = float(number) / (100 if percent else 1)
    except ValueError:
        raise ParameterError(
            f"{text!r} is no condition. Write a number of the report, a comparison, and a bound: "
            "worst_accuracy < 0.9, for instance."
        ) from None
    if name not in NUMBERS:
        raise UnknownNameError("number of an audit", name, NUMBERS)
    return Condition(text.strip(), name, sign, bound)
