"""Every reply that is no update: what RobustStrategy makes of it, beside what Flower's strategies do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engines.flower.clients import HereGrid, app, crowd, drift, start_model
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import Bulyan, FedAvg, FedMedian, FedTrimmedAvg, Krum, MultiKrum

import varangian as vg
from varangian.flower import RobustStrategy, attack_mod, bulyan, fed_median, fed_trimmed_avg, krum, multi_krum

pytestmark = pytest.mark.flower

N = 7
FAULTY = {"num_malicious_nodes": 1}
PAIRS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "FedAvg": (FedAvg, lambda: RobustStrategy(vg.chain(vg.AdaptiveClipping(f=1), vg.Average(f=1)))),
    "FedMedian": (FedMedian, fed_median),
    "FedTrimmedAvg": (FedTrimmedAvg, fed_trimmed_avg),
    "Krum": (lambda: Krum(**FAULTY), lambda: krum(**FAULTY)),
    "MultiKrum": (
        lambda: MultiKrum(**FAULTY, num_nodes_to_select=4),
        lambda: multi_krum(**FAULTY, num_nodes_to_select=4),
    ),
    "Bulyan": (lambda: Bulyan(**FAULTY), lambda: bulyan(**FAULTY)),
}
REFUSED = {
    "nan": "not finite in 200 of 200 places",
    "infinity": "not finite",
    "other-entry": "entries are not the model's: w, w-other",
    "other-shape": "shape",
    "other-kind": "int32",
    "unreadable": "cannot be read",
    "empty": "0 ArrayRecords",
    "error": "this client fails",
}
USED = {"float64": 1.0, "other-metric": 1.0, "sign-flip": 1.0, "scale": 1e6, "noise": 1e6, "claims": 1e12}
BREAKS: dict[str, set[str]] = {
    "nan": {"FedAvg", "FedMedian"},
    "infinity": {"FedAvg"},
    "other-entry": {*PAIRS},
    "other-shape": {*PAIRS},
    "other-kind": set(),
    "unreadable": {*PAIRS},
    "empty": {*PAIRS},
    "error": set(),
    "other-metric": {*PAIRS},
    "float64": set(),
    "sign-flip": set(),
    "scale": {"FedAvg"},
    "noise": {"FedAvg"},
    "claims": set(),
}
"""What Flower 1.42 was seen to break on: an exception, a model that is not finite, or one far off."""


def one_round(strategy: Any, lie: str, factor: float) -> tuple[Any, str]:
    """Return the model after one round with one liar, and how it went."""
    grid = HereGrid(crowd(N, lie, factor=factor))
    try:
        result = strategy.start(grid, start_model(), num_rounds=1, timeout=5.0)
    except Exception as error:
        return None, f"raises {type(error).__name__}"
    if not result.arrays:
        return None, "no model"
    model = {name: array.numpy() for name, array in result.arrays.items()}
    if not all(np.isfinite(values).all() for values in model.values()):
        return model, "not finite"
    off = max(float(np.sqrt(np.mean((values - 1.0) ** 2))) for values in model.values())
    kinds = {str(values.dtype) for values in model.values()}
    return model, f"off by {off:.1e}, {', '.join(sorted(kinds))}" if off > 0.5 else ", ".join(sorted(kinds))


@pytest.mark.parametrize("lie", [*REFUSED, *USED])
def test_each_lie_beside_flower(lie: str) -> None:
    factor = USED.get(lie, 1.0)
    broken = set()
    print(f"\n{lie}")
    for name, (stock, ours) in PAIRS.items():
        strategy = ours()
        _, theirs = one_round(stock(), lie, factor)
        model, went = one_round(strategy, lie, factor)
        print(f"  {name:14} Flower: {theirs:24} Varangian: {went}")
        if theirs != "float32" and "float64" not in theirs:
            broken.add(name)
        assert went == "float32", name
        assert model is not None
        liar = next(record for record in strategy.records if record.client == N - 1)
        if lie in REFUSED:
            assert REFUSED[lie] in liar.why
        else:
            assert not liar.rejected
    assert broken >= BREAKS[lie], "Flower has got better: say so in the table."


def test_one_float64_changes_the_models_kind_in_flower_only() -> None:
    kinds = {name: one_round(stock(), "float64", 1.0)[1] for name, (stock, _) in PAIRS.items()}
    assert "float64" in kinds["FedMedian"]
    assert "float64" in kinds["FedTrimmedAvg"]


def test_a_claim_of_1e12_examples() -> None:
    near = [
        attack_mod("scale", factor=1.2, clients={N - 1}),
        attack_mod("claims", factor=1e12, clients={N - 1}),
    ]

    def mean(strategy: Any) -> float:
        grid = HereGrid({client: app(drift, mods=near) for client in range(N)})
        arrays = strategy.start(grid, start_model(), num_rounds=1, timeout=5.0).arrays
        return float(arrays["w"].numpy().mean())

    alone = 1.2  # where the liar's own update leads
    assert mean(MultiKrum(num_malicious_nodes=1, num_nodes_to_select=7)) == pytest.approx(alone, abs=0.02)
    assert mean(FedAvg()) == pytest.approx(alone, abs=0.02)
    ours = RobustStrategy(vg.chain(vg.AdaptiveClipping(f=1), vg.Average(f=1)))
    assert mean(ours) == pytest.approx(1.0, abs=0.05)
    (liar,) = [record for record in ours.records if record.client == N - 1]
    assert liar.claim == 1e12
    assert liar.weight is not None
    assert liar.weight <= 2 / N


@pytest.mark.parametrize("claim", [-5.0, float("nan"), float("inf")])
def test_an_impossible_claim_is_refused(claim: float) -> None:
    strategy = RobustStrategy(vg.TrimmedMean(f=1))
    strategy.start(HereGrid(crowd(N, "claims", factor=claim)), start_model(), num_rounds=1, timeout=5.0)
    (liar,) = [record for record in strategy.records if record.rejected]
    assert (liar.client, liar.why) == (N - 1, f"it claims {claim:g} examples")
    assert not strategy.breach


def test_a_rule_without_weights_asks_for_no_claim() -> None:
    strategy = RobustStrategy(vg.Median(f=1))
    strategy.start(HereGrid(crowd(N, "claims", factor=-5.0)), start_model(), num_rounds=1, timeout=5.0)
    assert not any(record.rejected or record.claim for record in strategy.records)


def test_updates_keep_the_digits_that_weights_lose() -> None:
    """Updates of rms 1e-5 at a weight norm of 50: Flower's Krum takes the liar about as often as anybody."""
    d, n, draws = 1_000_000, 7, 30
    random = np.random.default_rng(1)
    chosen = {"Flower": 0, "Varangian": 0}
    base = (random.standard_normal(d) * 50 / np.sqrt(d)).astype(np.float32)
    for draw in range(draws):
        updates = 1e-5 * np.random.default_rng(draw).standard_normal((n, d))
        updates[-1] *= 3  # the liar is three times as far out as anybody
        returned = [(base + update).astype(np.float32) for update in updates]

        def train(model: Any, client: int, number: int, returned: Any = returned) -> dict[str, Any]:
            return {"w": returned[client]}

        apps = {node: app(train) for node in range(n)}
        for name, strategy in (("Flower", Krum(**FAULTY)), ("Varangian", krum(**FAULTY))):
            record = ArrayRecord({"w": Array(base)})
            strategy.fraction_evaluate = 0.0
            got = strategy.start(HereGrid(apps), record, num_rounds=1, timeout=30.0).arrays["w"].numpy()
            chosen[name] += bool(np.array_equal(got, returned[-1]))
    print(f"\nthe liar is chosen in {chosen} of {draws} draws")
    assert chosen["Varangian"] == 0
    assert chosen["Flower"] > 0


def test_four_clients_and_three_liars_are_refused() -> None:
    with pytest.raises(vg.VarangianError, match=r"Krum\(f=3\) received n = 4 vectors.*n >= 2f \+ 3 = 9"):
        krum(num_malicious_nodes=3).start(HereGrid(crowd(4)), start_model(), num_rounds=1, timeout=5.0)
    _, theirs = one_round(Krum(num_malicious_nodes=3), "sign-flip", 1.0)
    assert theirs  # Flower says nothing
