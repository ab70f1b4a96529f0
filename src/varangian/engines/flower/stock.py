"""In place of Flower's own robust strategies: the same arguments, and rules that hold."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from flwr.serverapp import strategy

from varangian.aggregators import Bulyan, Krum, Median, MultiKrum, TrimmedMean
from varangian.core.stages import Stage
from varangian.engines.flower.strategy import RobustStrategy
from varangian.errors import ParameterError

OURS = {name for name in inspect.signature(RobustStrategy).parameters if name not in ("rule", "options")}
OUR_AVERAGES = ("train_metrics_aggr_fn", "evaluate_metrics_aggr_fn")


def _in_place_of(
    stock: type,
    name: str,
    made: Callable[[dict[str, Any]], Stage | Callable[[int], Stage]],
    own: tuple[str, ...],
) -> Callable[..., RobustStrategy]:
    """Return a function that takes the arguments of one of Flower's strategies, and RobustStrategy's as well.

    As Flower does, it waits for all clients, up to the timeout, unless told otherwise.
    """
    signature = inspect.signature(stock)

    @wraps(stock, assigned=(), updated=())
    def strategy_of(*args: Any, **options: Any) -> RobustStrategy:
        ours = {"wait_for_all": True} | {key: options.pop(key) for key in OURS & options.keys()}
        bound = signature.bind(*args, **options)
        bound.apply_defaults()
        told = dict(bound.arguments)
        rule = made({key: told.pop(key) for key in own})
        theirs = {key: value for key, value in told.items() if key not in OUR_AVERAGES or value is not None}
        return RobustStrategy(rule, **ours, **theirs)

    strategy_of.__name__ = strategy_of.__qualname__ = name
    strategy_of.__doc__ = (
        f"Return a RobustStrategy for the arguments of Flower's {stock.__name__}, and its own."
    )
    return strategy_of


def _bulyan(own: dict[str, Any]) -> Stage:
    if own["selection_rule"] is not None:
        raise ParameterError("selection_rule arrived; Bulyan selects by Krum, again and again. Leave it out.")
    return Bulyan(f=own["num_malicious_nodes"])


def _median(own: dict[str, Any]) -> Callable[[int], Stage]:
    def median(n: int) -> Stage:
        return Median(f=(n - 1) // 2)

    return median


def _trimmed(own: dict[str, Any]) -> Callable[[int], Stage]:
    beta = own["beta"]
    if not 0 <= beta < 1 / 2:
        raise ParameterError(
            f"beta = {beta!r} arrived; the share that is cut at either end is below one half."
        )

    def trimmed(n: int) -> Stage:
        return TrimmedMean(f=min(math.ceil(beta * n), (n - 1) // 2))

    return trimmed


FAULTS = ("num_malicious_nodes",)
krum = _in_place_of(strategy.Krum, "krum", lambda own: Krum(f=own["num_malicious_nodes"]), FAULTS)
multi_krum = _in_place_of(
    strategy.MultiKrum,
    "multi_krum",
    lambda own: MultiKrum(f=own["num_malicious_nodes"], m=own["num_nodes_to_select"]),
    (*FAULTS, "num_nodes_to_select"),
)
bulyan = _in_place_of(strategy.Bulyan, "bulyan", _bulyan, (*FAULTS, "selection_rule"))
fed_median = _in_place_of(strategy.FedMedian, "fed_median", _median, ())
fed_trimmed_avg = _in_place_of(strategy.FedTrimmedAvg, "fed_trimmed_avg", _trimmed, ("beta",))
