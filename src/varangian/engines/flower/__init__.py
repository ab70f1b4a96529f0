"""Flower: a federation with a trusted server; replies of clients -> the next model, by a rule."""

from varangian.engines.flower.attack import attack_mod
from varangian.engines.flower.grid import QuorumGrid
from varangian.engines.flower.stock import bulyan, fed_median, fed_trimmed_avg, krum, multi_krum
from varangian.engines.flower.strategy import RobustStrategy

__all__ = [
    "QuorumGrid",
    "RobustStrategy",
    "attack_mod",
    "bulyan",
    "fed_median",
    "fed_trimmed_avg",
    "krum",
    "multi_krum",
]
