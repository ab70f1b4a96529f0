"""Specification: names and numbers -> one experiment that every engine runs."""

from varangian.specification.experiment import Experiment
from varangian.specification.identity import identity
from varangian.specification.mixture import RuleMixture
from varangian.specification.names import attack_names, parse_attack, parse_rule, rule_names
from varangian.specification.toml import from_strings, from_toml
from varangian.specification.write import to_toml

__all__ = [
    "Experiment",
    "RuleMixture",
    "attack_names",
    "from_strings",
    "from_toml",
    "identity",
    "parse_attack",
    "parse_rule",
    "rule_names",
    "to_toml",
]
