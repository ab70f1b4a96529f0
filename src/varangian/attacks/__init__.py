"""Attacks: what honest workers send -> what liars send instead."""

from varangian.attacks.attack import Attack, DataAttack, Forgery, Sight
from varangian.attacks.blind import Gaussian, NonFinite, Random, Zero
from varangian.attacks.lines import (
    ALittleIsEnough,
    InnerProductManipulation,
    LineAttack,
    MinMax,
    MinSum,
    Scale,
    SignFlip,
)
from varangian.attacks.mimic import Mimic
from varangian.attacks.poison import LabelFlip, MalformedInput, RandomLabel
from varangian.attacks.search import HiddenVulnerability, Optimal

ATTACKS: tuple[type[Attack], ...] = (
    NonFinite,
    Gaussian,
    Zero,
    Random,
    SignFlip,
    Scale,
    InnerProductManipulation,
    ALittleIsEnough,
    Optimal,
    HiddenVulnerability,
    Mimic,
    MinMax,
    MinSum,
    LabelFlip,
    RandomLabel,
    MalformedInput,
)
"""The catalogue of attacks."""

__all__ = [
    "ATTACKS",
    "ALittleIsEnough",
    "Attack",
    "DataAttack",
    "Forgery",
    "Gaussian",
    "HiddenVulnerability",
    "InnerProductManipulation",
    "LabelFlip",
    "LineAttack",
    "MalformedInput",
    "Mimic",
    "MinMax",
    "MinSum",
    "NonFinite",
    "Optimal",
    "Random",
    "RandomLabel",
    "Scale",
    "Sight",
    "SignFlip",
    "Zero",
]
