"""The checks of a rule or a mixer, one by one and all at once."""

from __future__ import annotations

from varangian.core.stages import Stage
from varangian.testing import hostility, purity, shapes, symmetries, theorems, values
from varangian.testing.promises import Check
from varangian.testing.subject import Subject

CHECKS: tuple[tuple[str, Check], ...] = tuple(
    (check.__name__, check)
    for check in (
        values.value,
        values.documented,
        values.coefficients,
        values.reads,
        shapes.shape,
        shapes.empty,
        shapes.dtype,
        shapes.kind,
        shapes.batch,
        shapes.tolerance,
        purity.untouched,
        purity.layout,
        purity.deterministic,
        purity.global_generators,
        symmetries.order,
        symmetries.agreement,
        symmetries.translation,
        symmetries.scaling,
        hostility.nonfinite,
        hostility.huge,
        theorems.theorem,
    )
)
"""Every promise of a rule or a mixer: its name, and a function of a stage or a ``Subject``."""


def check_rule(
    stage: Stage,
    n: int | None = None,
    d: int = 4,
    *,
    order: bool | None = None,
    agreement: bool | None = None,
    translation: bool | None = None,
    scaling: bool | None = None,
    bounded: bool | None = None,
    device: str = "cpu",
) -> None:
    """Check every promise of a rule, a mixer or a chain; the claims as ``Subject`` says.

    Raises AssertionError, which names the broken promise and shows an input that breaks it.

    >>> import varangian as vg
    >>> check_rule(vg.TrimmedMean(f=1))
    """
    subject = Subject(stage, n, d, order, agreement, translation, scaling, bounded, device)
    for _, check in CHECKS:
        check(subject)
