"""The shortest words for a rule."""

from __future__ import annotations

from varangian.core.chain import Chain
from varangian.core.stages import Stage
from varangian.specification import RuleMixture
from varangian.specification.names import canonical


def spelled(stage: Stage | RuleMixture) -> str:
    """Return a stage's shortest spelling on the command line, without its fields.

    >>> from varangian.specification import parse_rule
    >>> spelled(parse_rule("nearest-neighbor-mixing+trimmed-mean", f=2))
    'nnm+trmean'
    """
    if isinstance(stage, RuleMixture):
        return "|".join(map(spelled, stage.rules))
    if isinstance(stage, Chain):
        return "+".join(map(spelled, stage.parts))
    return stage.short_names[0] if stage.short_names else canonical(type(stage))
