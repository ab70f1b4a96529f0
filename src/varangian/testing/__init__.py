"""Testing: a rule, mixer or attack of your own -> the promise that it breaks, if any."""

from varangian.testing.attacks import ATTACK_CHECKS, AttackSubject, check_attack
from varangian.testing.promises import Check
from varangian.testing.rules import CHECKS, check_rule
from varangian.testing.subject import Subject
from varangian.testing.theorems import Worst, worst_ratio

__all__ = [
    "ATTACK_CHECKS",
    "CHECKS",
    "AttackSubject",
    "Check",
    "Subject",
    "Worst",
    "check_attack",
    "check_rule",
    "worst_ratio",
]
