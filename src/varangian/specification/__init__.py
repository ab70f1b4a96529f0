"""Specification: names and numbers -> one experiment that every engine runs."""

from varangian.specification.experiment import Experiment
from varangian.specification.names import attack_names, parse_attack, parse_rule, rule_names
from varangian.specification.toml import from_strings, from_toml

__all__ = [
    "Experiment",
    "attack_names",
    "from_strings",
    "from_toml",
    "parse_attack",
    "parse_rule",
    "rule_names",
]
