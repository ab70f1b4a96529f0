"""Adapters for NVFlare and OpenFL: against the packages where they are, else against what they publish."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import varangian as vg
from varangian.errors import InputError, ToleranceError
from varangian.federation import NVFlareAggregator, OpenFLAggregation

RULE = vg.chain(vg.AdaptiveClipping(f=1), vg.Average(f=1))
LocalTensor = namedtuple("LocalTensor", ["col_name", "tensor", "weight"])


@dataclass
class FLModel:
    """What NVFlare publishes of its FLModel."""

    params_type: Any = None
    params: Any = None
    meta: dict[str, Any] = field(default_factory=dict)


def flmodel() -> Any:
    """Return NVFlare's class, or its stand-in."""
    try:
        from nvflare.app_common.abstract.fl_model import FLModel as Real
    except ImportError:
        return FLModel
    return Real


def aggregator(**options: Any) -> Any:
    """Return an adapter in front of NVFlare's own class, or alone."""
    try:
        from nvflare.app_common.aggregators.model_aggregator import ModelAggregator
    except ImportError:
        return NVFlareAggregator(RULE, **options)
    return type("Robust", (NVFlareAggregator, ModelAggregator), {})(RULE, **options)


def difference(client: int, value: float = 1.0, **meta: Any) -> Any:
    params = {"w": np.full(4, value, np.float32), "b": np.full((1, 2), value, np.float32)}
    meta = {"client_name": f"site-{client}", "NUM_STEPS_CURRENT_ROUND": 10, **meta}
    return flmodel()(params_type="DIFF", params=params, meta=meta)


def test_nvflare_differences() -> None:
    held = aggregator(clients=[f"site-{client}" for client in range(6)])
    for client in range(4):
        held.accept_model(difference(client))
    held.accept_model(difference(4, -1e6, NUM_STEPS_CURRENT_ROUND=1e12))
    held.accept_model(difference(0, 1e9))  # a second one is not looked at
    model = held.aggregate_model()
    held.reset_stats()
    assert str(getattr(model.params_type, "value", model.params_type)) == "DIFF"
    assert {name: array.dtype for name, array in model.params.items()} == {"w": np.float32, "b": np.float32}
    assert 0.25 < model.params["w"].min() <= model.params["w"].max() <= 1
    clipped = {record.client: record.clipped for record in held.records}
    assert clipped["site-4"]
    assert [record.client for record in held.records if record.rejected] == ["site-5"]


def test_nvflare_one_bad_model_and_too_many() -> None:
    held = aggregator()
    for client in range(4):
        held.accept_model(difference(client))
    held.accept_model(difference(4, np.nan))
    assert held.aggregate_model().params["w"].tolist() == [1.0] * 4
    for client in range(3):
        held.accept_model(difference(client))
    for client in (3, 4):
        held.accept_model(difference(client, np.inf))
    with pytest.raises(ToleranceError, match="2 misbehaved"):
        held.aggregate_model()
    held.hold = True
    for client in range(5):
        held.accept_model(difference(client, 1.0 if client > 1 else np.nan))
    assert not held.aggregate_model().params["w"].any()


def test_nvflare_whole_models_need_a_start() -> None:
    whole = [
        flmodel()(params_type="FULL", params={"w": np.full(4, 51.0 + client / 10)}) for client in range(5)
    ]
    held = aggregator(claims=False)
    for model in whole:
        held.accept_model(model)
    with pytest.raises(InputError, match="DIFF"):
        held.aggregate_model()

    class Context:
        def get_prop(self, key: str) -> Any:
            return {"weights": {"w": np.full(4, 50.0)}} if key == "global_model" else None

    held.fl_ctx = Context()
    for model in whole:
        held.accept_model(model)
    assert held.aggregate_model().params["w"] == pytest.approx(51.2, abs=0.1)


def history() -> Iterator[dict[str, Any]]:
    yield {"tensor_name": "w", "round": 3, "tags": ("trained", "col1"), "nparray": np.full(4, 99.0)}
    yield {"tensor_name": "w", "round": 2, "tags": ("model",), "nparray": np.full(4, 7.0)}
    yield {"tensor_name": "w", "round": 3, "tags": ("model",), "nparray": np.full(4, 50.0, np.float32)}
    yield {"tensor_name": "v", "round": 3, "tags": ("model",), "nparray": np.full(4, 8.0)}


def local(values: list[float], weights: list[float] | None = None) -> list[LocalTensor]:
    shares = weights or [1 / len(values)] * len(values)
    return [
        LocalTensor(f"col{place}", np.full(4, value, np.float32), share)
        for place, (value, share) in enumerate(zip(values, shares, strict=True))
    ]


def aggregation() -> Any:
    """Return an adapter in front of OpenFL's own class, or alone."""
    try:
        from openfl.interface.aggregation_functions import AggregationFunction
    except ImportError:
        return OpenFLAggregation(RULE)
    kind = type("Robust", (OpenFLAggregation, AggregationFunction), {})
    return kind(RULE)


def test_openfl() -> None:
    held = aggregation()
    got = held.call(local([51, 51, 51, 51, -1e6]), history(), "w", 3, ("trained",))
    assert got.dtype == np.float32
    assert 50.5 < got.min() <= 51
    again = held.call(local([51, 51, 51, 51, np.nan]), history(), "w", 3, ("trained",))
    assert again.tolist() == [51.0] * 4
    metric = [LocalTensor(f"col{place}", np.float64(0.5), 0.2) for place in range(5)]
    assert held.call(metric, iter(()), "accuracy", 3, ("metric",)) == 0.5
    counters = [LocalTensor(f"col{place}", np.array(3), 0.2) for place in range(5)]
    assert held.call(counters, iter(()), "seen", 3, ("trained",)) == 3
    with pytest.raises(ToleranceError, match="w: Round 3: of 5 clients, 2 misbehaved"):
        held.call(local([51, 51, 51, np.inf, np.nan]), history(), "w", 3, ("trained",))


@pytest.mark.flower
def test_openfls_own_database() -> None:
    from openfl.databases import TensorDB
    from openfl.utilities import TensorKey as key  # noqa: N813 - a named tuple of OpenFL's

    database = TensorDB()
    names = [f"col{place}" for place in range(5)]
    database.cache_tensor({key("w", "agg", 3, False, ("model",)): np.full(4, 50.0, np.float32)})
    for place, name in enumerate(names):
        value = np.full(4, -1e6 if place == 4 else 51.0, np.float32)
        database.cache_tensor({key("w", "agg", 3, False, tuple(sorted(("trained", name)))): value})
    wanted = key("w", "agg", 3, False, ("trained",))
    got = database.get_aggregated_tensor(wanted, dict.fromkeys(names, 0.2), aggregation())
    assert 50.5 < got.min() <= 51


@pytest.mark.flower
def test_nvflares_own_messages() -> None:
    from nvflare.apis.fl_context import FLContext
    from nvflare.app_common.utils.fl_model_utils import FLModelUtils

    held, context = aggregator(claims=False), FLContext()
    for client in range(5):
        model = difference(client, 1.0 if client else -1e6)
        assert held.accept(FLModelUtils.to_shareable(model), context)
    model = FLModelUtils.from_shareable(held.aggregate(context))
    assert 0.5 < model.params["w"].min() <= 1
