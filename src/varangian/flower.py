"""For Flower: ``RobustStrategy(rule)`` in place of FedAvg, and clients that lie, to test it."""

from varangian.errors import MissingExtraError

try:
    from varangian.engines.flower import (
        QuorumGrid,
        RobustStrategy,
        attack_mod,
        bulyan,
        fed_median,
        fed_trimmed_avg,
        krum,
        multi_krum,
    )
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "flwr":
        raise
    raise MissingExtraError("varangian.flower", "flower") from error

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
