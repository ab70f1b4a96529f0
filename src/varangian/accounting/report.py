"""What an accountant kept, as plain data."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from varangian.accounting.account import Account, Party

if TYPE_CHECKING:
    from varangian.accounting.accountant import Accountant

COLUMNS = (
    "step",
    "n",
    "coefficient",
    "exact",
    "proven",
    "core_coefficient",
    "variance_to_norm",
    "holds",
    "clipped",
)
FORMULAS = "=+-@\t\r"
"""What a spreadsheet would take for the beginning of a formula, in a name that a stranger chose."""


def as_report(accountant: Accountant) -> dict[str, Any]:
    """Return what an accountant kept; what is not finite is None."""
    accounts = list(accountant.history)
    holds = [account.holds for account in accounts if account.holds is not None]
    said: dict[str, Any] = {
        "rule": repr(accountant.rule),
        "f": accountant.f,
        "policy": accountant.policy,
        "steps": accountant.steps,
        "kept": len(accounts),
        "false_accusations_per_step": accountant.rate,
        "honest_differ_by": accountant.differ,
        "false_accusations_expected": accountant.expected,
        "suspected": {
            str(party): {"step": one.step, "sign": one.sign, "size": one.size}
            for party, one in accountant.suspects.items()
        },
        "exceeded": len(accountant.suspects) > accountant.f,
        "largest_coefficient": _most(account.coefficient for account in accounts),
        "largest_core_coefficient": _most(account.core_coefficient for account in accounts),
        "condition_held": sum(holds) / len(holds) if holds else None,
        "mean_clipped": _mean(account.clipped for account in accounts),
        "influence": {
            str(party): {"mean": _mean(shares), "largest": _most(shares)}
            for party, shares in _by_party(accounts).items()
        },
        "history": {name: [getattr(account, name) for account in accounts] for name in COLUMNS},
    }
    plain: dict[str, Any] = _plain(said)
    return plain


def as_csv(accounts: Iterable[Account]) -> str:
    """Return a line for every party in every step."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*COLUMNS, "party", "influence", "suspicion"])
    for account in accounts:
        signs = {one.party: one.sign for one in account.suspicions}
        shared = [_cell(getattr(account, name)) for name in COLUMNS]
        for party, influence in account.influence.items():
            lines.writerow([*shared, _named(party), _cell(influence), signs.get(party, "")])
    return text.getvalue()


def _by_party(accounts: Iterable[Account]) -> dict[Party, list[float]]:
    found: dict[Party, list[float]] = {}
    for account in accounts:
        for party, influence in account.influence.items():
            found.setdefault(party, []).append(influence)
    return found


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and not math.isnan(value)]


def _most(values: Iterable[float | None]) -> float | None:
    return max(_known(values), default=None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return sum(known) / len(known) if known else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _named(party: Party) -> Party:
    """Return a name as no spreadsheet takes it for a formula.

    >>> _named("=1+1")
    "'=1+1"
    """
    return f"'{party}" if isinstance(party, str) and party[:1] in FORMULAS and party else party
