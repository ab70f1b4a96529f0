"""Rules, attacks, splits, schedules and privacy -> the text or table that reads as the same value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from typing import Any

from varangian.aggregators import HALVES, RULES
from varangian.attacks import ATTACKS, Attack
from varangian.core.chain import Chain
from varangian.core.stages import Stage
from varangian.data import Dirichlet, ExplicitSizes, GammaSimilarity, SortedBlocks, SortedShards, Split
from varangian.data.splits import SPLITS
from varangian.errors import ParameterError
from varangian.mixers import MIXERS
from varangian.optim import InverseDecay, Piecewise, Schedule
from varangian.privacy import Privacy
from varangian.specification.mixture import RuleMixture
from varangian.specification.names import canonical

STAGES = (*RULES, *MIXERS, *HALVES)


def spell_rule(rule: Stage | RuleMixture) -> str:
    """Return a rule, chain or mixture as ``parse_rule`` reads it, each stage with the f that it declares.

    A chain of one stage is spelled as that stage.

    Raises      ParameterError for a class that no catalogue lists

    >>> from varangian.aggregators import Krum, Median
    >>> from varangian.core.chain import chain
    >>> from varangian.mixers import NearestNeighborMixing
    >>> spell_rule(chain(NearestNeighborMixing(f=2), Krum(f=2, neighbours=4)))
    'nearest-neighbor-mixing:f=2+krum:f=2,neighbours=4'
    >>> spell_rule(RuleMixture((Krum(f=1), Median(f=1)), (1, 3)))
    '1.0*krum:f=1|3.0*median:f=1'
    """
    if isinstance(rule, RuleMixture):
        shares = [f"{spell_number(float(share))}*" for share in rule.shares] or [""] * len(rule.rules)
        return "|".join(share + spell_rule(part) for share, part in zip(shares, rule.rules, strict=True))
    if isinstance(rule, Chain):
        return "+".join(map(spell_rule, rule.parts))
    return _spell(rule, STAGES, "rule")


def spell_attack(attack: Attack | None) -> str:
    """Return an attack as ``parse_attack`` reads it.

    Raises      ParameterError for a class that no catalogue lists

    >>> from varangian.attacks import InnerProductManipulation, Optimal
    >>> spell_attack(Optimal(InnerProductManipulation(epsilon=1), rounds=3)), spell_attack(None)
    ('optimal:rounds=3,attack=inner-product-manipulation:epsilon=1.0', 'none')
    """
    return "none" if attack is None else _spell(attack, ATTACKS, "attack")


def spell_split(split: Split) -> str:
    """Return a split as ``parse_split`` reads it. Raises ParameterError for one of your own.

    >>> spell_split(Dirichlet(alpha=1)), spell_split(ExplicitSizes((0.5, 0.25)))
    ('dirichlet:1.0', 'sizes:0.5,0.25')
    """
    match split:
        case _ if type(split) not in SPLITS:
            raise _unspeakable("split", split)
        case Dirichlet(alpha):
            return f"dirichlet:{float(alpha)!r}"
        case SortedShards(per_worker):
            return f"shards:{int(per_worker)}"
        case SortedBlocks(holders):
            return f"blocks:{int(holders)}"
        case GammaSimilarity(gamma):
            return f"similarity:{float(gamma)!r}"
        case ExplicitSizes(sizes):
            return f"sizes:{','.join(map(repr, sizes))}"
    return type(split).__name__.lower()


def spell_rate(rate: float | Schedule) -> float | dict[str, Any]:
    """Return a learning rate as a TOML file gives it. Raises ParameterError for a schedule of your own.

    >>> spell_rate(Piecewise(((0, 0.1), (5, 1))))
    {'steps': [0, 5], 'rates': [0.1, 1.0]}
    """
    match rate:
        case Schedule() if type(rate) not in (InverseDecay, Piecewise):
            raise _unspeakable("learning rate", rate)
        case InverseDecay(initial, decay, every):
            return {"initial": float(initial), "decay": float(decay), "every": int(every)}
        case Piecewise(pieces):
            return {"steps": [int(step) for step, _ in pieces], "rates": [float(rate) for _, rate in pieces]}
        case Schedule():
            raise _unspeakable("learning rate", rate)
    return float(rate) + 0.0


def spell_privacy(privacy: Privacy | None) -> str | None:
    """Return privacy as ``parse_privacy`` reads it; what is default is left out.

    >>> spell_privacy(Privacy(epsilon=0.2, norm=1))
    'epsilon=0.2,norm=1.0'
    """
    return None if privacy is None else ",".join(_pairs(privacy))


def spell_number(value: float) -> str:
    """Return a number as text without a plus sign, which joins the stages of a chain.

    >>> spell_number(1e20), spell_number(-2.5e-7), spell_number(3)
    ('1e20', '-2.5e-07', '3')
    """
    return repr(value).replace("e+", "e")


def _spell(value: Stage | Attack, known: Iterable[type], what: str) -> str:
    if type(value) not in known:
        raise _unspeakable(what, value)
    pairs = _pairs(value)
    return canonical(type(value)) + (f":{','.join(pairs)}" if pairs else "")


def _pairs(value: Any) -> list[str]:
    """Return field=value for every field that is not at its default; an attack within comes last."""
    told = {field.name: _word(field, getattr(value, field.name)) for field in fields(value)}
    silent = {field.name for field in fields(value) if getattr(value, field.name) == _default(field)}
    inner = {field.name for field in fields(value) if isinstance(getattr(value, field.name), Attack)}
    return [f"{name}={told[name]}" for name in sorted(told, key=inner.__contains__) if name not in silent]


def _word(field: Field[Any], value: Any) -> str:
    match value:
        case Attack():
            return spell_attack(value)
        case None:
            return "none"
        case bool() | str():
            return str(value).lower() if isinstance(value, bool) else value
    return spell_number(float(value) if "float" in str(field.type) else int(value))


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _unspeakable(what: str, value: object) -> ParameterError:
    return ParameterError(
        f"The {what} {value!r} is of a class of your own, {type(value).__name__}, and has no spelling. "
        "Take one of the catalogue, or keep the result of vg.run(...) yourself: that needs no spelling."
    )
