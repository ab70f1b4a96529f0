"""Fields of an experiment in the fewest words that the command line reads as the same."""

from __future__ import annotations

import re
from typing import Any

from varangian.specification import Experiment
from varangian.specification.names import attack_names, canonical, rule_names
from varangian.specification.write import literal, plain

SHORT = {
    **{canonical(kind): kind.short_names[0] for kind in rule_names().values() if kind.short_names},
    **{canonical(kind): kind.short_names[0] for kind in attack_names().values() if kind.short_names},
}


def brief(spec: Experiment) -> dict[str, Any]:
    """Return every field, spelled; a rule's f is left out where it is the number of liars.

    >>> from varangian.specification import parse_attack, parse_rule
    >>> rule, attack = parse_rule("nnm+trmean", f=4), parse_attack("alie:z=1")
    >>> told = brief(Experiment(byzantine=4, rule=rule, attack=attack))
    >>> told["rule"], told["attack"], told["seed"]
    ('nnm+trmean', 'alie:z=1.0', 1)
    """
    told = {name: literal(value) if isinstance(value, dict) else value for name, value in plain(spec).items()}
    told["rule"] = re.sub(rf":f={spec.byzantine}(?=[+|]|$)|(?<=:)f={spec.byzantine},", "", told["rule"])
    return {**told, "rule": _short(told["rule"]), "attack": _short(told["attack"])}


def _short(text: str) -> str:
    return re.sub(r"[a-z]+(-[a-z]+)*", lambda name: SHORT.get(name[0], name[0]), text)
