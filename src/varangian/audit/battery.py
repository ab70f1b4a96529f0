"""The fixed attacks of the field, as combinations of base points: what their papers send, and no search."""

from __future__ import annotations

from contextlib import suppress

import torch
from jaxtyping import Float
from torch import Tensor

from varangian.attacks.lines import little_z
from varangian.audit.ground import Ground
from varangian.errors import ParameterError

NAMES = (
    "zero",
    "sign-flip",
    "scale:c=-10",
    "ipm",
    "alie:z=1.5",
    "mimic",
    "min-max",
    "min-max:along=unit",
    "min-max:along=sign",
    "min-sum",
    "alie",
)
"""The fixed attacks; the last exists for some counts only."""


def battery(ground: Ground) -> dict[str, Float[Tensor, "1 k"]]:
    """Return what each fixed attack sends on this ground, by the name that the command line knows.

    Zeros stand for vectors that are not finite as well, since rules read these as zero. Attacks that send
    noise are not among them: noise is blind, and no paper claims it to be the worst.
    """
    seen, centre = ground.seen, ground.centre
    unit = torch.eye(seen.k, dtype=torch.float64)
    back = unit[seen.place("origin")] - centre
    less = centre - unit[seen.place("deviation")]
    signs = centre - unit[seen.place("signs")]
    made = {
        "zero": centre + back,
        "sign-flip": centre + 2 * back,
        "scale:c=-10": centre + 11 * back,
        "ipm": centre + 1.1 * back,
        "alie:z=1.5": centre + 1.5 * less,
        "mimic": unit[_mimicked(ground)],
        "min-max": centre + _min_max(ground, less) * less,
        "min-max:along=unit": centre + _min_max(ground, back) * back,
        "min-max:along=sign": centre + _min_max(ground, signs) * signs,
        "min-sum": centre + _min_sum(ground, less) * less,
    }
    with suppress(ParameterError):  # the paper's quantile does not exist for some counts
        made["alie"] = centre + little_z(ground.n, ground.b) * less
    return {name: forged[None] for name, forged in made.items()}


def _mimicked(ground: Ground) -> int:
    """Return the honest vector that reaches furthest in the widest direction."""
    apart = ground.rows - ground.centre
    gram = -0.5 * apart @ ground.seen.table @ apart.mT
    projected = gram @ torch.linalg.eigh(gram).eigenvectors[:, -1]
    return ground.honest[int(projected.abs().argmax())]


def _min_max(ground: Ground, direction: Tensor) -> float:
    """Return how far one may go while nobody honest is further away than the furthest two are apart."""
    base, square = ground.seen.table, _square(ground, direction)
    apart = ground.rows - ground.centre
    distances = (-0.5 * (apart @ base) * apart).sum(-1)
    slopes = apart @ base @ direction / 2
    honest = list(ground.honest)
    room = base[honest][:, honest].amax() - distances
    inside = (slopes.square() + square * room).clamp(min=0.0).sqrt()
    return float(((inside - slopes) / square).amin().clamp(min=0.0)) if square > 0 else 0.0


def _min_sum(ground: Ground, direction: Tensor) -> float:
    """Return how far one may go while the summed squared distances stay within the worst honest vector's."""
    honest, square = list(ground.honest), _square(ground, direction)
    sums = ground.seen.table[honest][:, honest].sum(-1)
    room = float(sums.amax()) - len(honest) * ground.variance
    return (max(0.0, room) / (len(honest) * square)) ** 0.5 if square > 0 else 0.0


def _square(ground: Ground, direction: Tensor) -> float:
    return float(-0.5 * direction @ ground.seen.table @ direction)
