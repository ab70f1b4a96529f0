"""Rounds: a quorum, deadlines, busy nodes, breaches, restarts, and what is told of each client."""

from __future__ import annotations

import json
import math
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.flower.clients import HereGrid, app, crowd, drift, start_model
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

import varangian as vg
from varangian.errors import DataError, ParameterError, ToleranceError
from varangian.flower import QuorumGrid, RobustStrategy, bulyan, fed_median, fed_trimmed_avg, krum

pytestmark = pytest.mark.flower


def values(record: Any) -> dict[str, Any]:
    return {name: array.numpy() for name, array in record.items()}


def start(strategy: Any, apps: Any, rounds: int = 1, timeout: float = 5.0, **delays: Any) -> Any:
    return strategy.start(HereGrid(apps, **delays), start_model(), num_rounds=rounds, timeout=timeout)


def test_the_mean_is_fedavg() -> None:
    sizes = [10, 20, 30]
    apps = {node: app(drift, examples=size) for node, size in enumerate(sizes)}
    ours = start(RobustStrategy(vg.Average(), cap=1.0, wait_for_all=True), apps, rounds=3)
    theirs = start(FedAvg(), apps, rounds=3)
    for name, array in values(theirs.arrays).items():
        np.testing.assert_allclose(values(ours.arrays)[name], array, rtol=1e-6)
    assert ours.train_metrics_clientapp[3] == {"loss": 1.0}
    assert ours.evaluate_metrics_clientapp[3] == {"accuracy": 0.5}


def test_it_takes_fedavgs_arguments_and_those_of_flowers_rules() -> None:
    def mean(records: list[RecordDict], key: str) -> MetricRecord:
        return MetricRecord({"mine": float(len(records))})

    strategy = RobustStrategy(
        vg.Median(f=1),
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=3,
        min_available_nodes=4,
        weighted_by_key="num-examples",
        arrayrecord_key="arrays",
        configrecord_key="config",
        train_metrics_aggr_fn=mean,
    )
    assert start(strategy, crowd(5)).train_metrics_clientapp[1] == {"mine": 5.0}
    assert krum(1.0, 0.0, 2, 2, 2, 1).rule == vg.Krum(f=1)
    assert bulyan(num_malicious_nodes=1, on_breach="raise").on_breach == "raise"
    assert fed_trimmed_avg(beta=0.2).rule(4) == vg.TrimmedMean(f=1)
    assert fed_median().rule(5) == vg.Median(f=2)
    with pytest.raises(ParameterError, match="selection_rule"):
        bulyan(selection_rule=lambda contents, f, m: contents)
    with pytest.raises(TypeError):
        krum(no_such_argument=1)


def test_a_metrics_function_that_fails_ends_no_run() -> None:
    def broken(records: list[RecordDict], key: str) -> MetricRecord:
        raise KeyError("loss")

    result = start(RobustStrategy(vg.Median(f=1), train_metrics_aggr_fn=broken), crowd(5))
    assert result.train_metrics_clientapp == {}
    assert values(result.arrays)["w"].mean() == pytest.approx(1, abs=0.05)


def test_the_first_valid_replies_are_enough() -> None:
    strategy = RobustStrategy(vg.Median(f=2))
    begun = time.monotonic()
    start(strategy, crowd(7, "nan"), rounds=2, timeout=300.0, delays={0: 200.0})
    assert time.monotonic() - begun < 100
    why = {(record.round, record.client): record.why for record in strategy.records}
    assert why[1, 0] == "no reply"
    assert why[2, 0] == "still at work on an earlier round"
    assert "not finite" in why[1, 6]
    assert not strategy.breach


def test_fast_garbage_fills_no_quorum() -> None:
    strategy = RobustStrategy(vg.Median(f=2))
    slow = dict.fromkeys(range(5), 0.3)
    apps = {**crowd(5), **{node: crowd(1, "nan")[0] for node in (5, 6)}}
    grid = HereGrid({**apps, 5: crowd(6, "nan")[5], 6: crowd(7, "nan")[6]}, delays=slow)
    result = strategy.start(grid, start_model(), num_rounds=1, timeout=60.0)
    assert values(result.arrays)["w"].mean() == pytest.approx(1, abs=0.05)
    assert sum(not record.rejected for record in strategy.records) == 5


def test_a_late_reply_is_dropped_and_its_node_asked_again() -> None:
    grid = HereGrid(crowd(5), delays={0: math.inf})
    strategy = RobustStrategy(vg.Median(f=1), fraction_evaluate=0.0)
    quorum = QuorumGrid(grid, strategy._enough)
    asked = strategy.configure_train(1, start_model(), ConfigRecord(), quorum)
    replies = quorum.send_and_receive(asked, timeout=300.0)
    assert len(replies) == 4
    assert quorum.busy() == {0}
    grid.hurry()
    assert quorum.busy() == set()
    arrays, _ = strategy.aggregate_train(1, replies)
    assert {
        m.metadata.dst_node_id for m in strategy.configure_train(2, arrays, ConfigRecord(), quorum)
    } == set(range(5))


def test_an_accountant_ends_a_run_in_which_more_are_suspected_than_declared() -> None:
    clients = {**crowd(7), 6: crowd(7, "scale", factor=1e4)[6]}
    accountant = vg.Accountant(vg.Average(), warm=3)
    honest = RobustStrategy(vg.Average(), accountant=accountant, wait_for_all=True)
    start(honest, crowd(7), rounds=6)
    assert not honest.breach
    assert [one.n for one in accountant.history] == [7] * 6
    result = start(honest, clients, rounds=2)
    assert "1 party is suspected, and f = 0 were declared" in honest.breach
    assert "6, step 7: a long vector" in honest.breach
    assert values(result.arrays)["w"].mean() == 0, "The model is kept."


def test_the_deadline_ends_a_round() -> None:
    strategy = RobustStrategy(vg.Median(f=1))
    begun = time.monotonic()
    result = start(strategy, crowd(5), timeout=0.5, delays={0: None, 1: None})
    assert time.monotonic() - begun < 60  # who never answers is not waited for
    assert (
        "0 misbehaved and 2 were silent, and Median(f=1) withstands 1. The model is kept." in strategy.breach
    )
    assert not values(result.arrays)["w"].any()


def test_nodes_that_never_connect_are_waited_for_no_longer_than_the_timeout() -> None:
    strategy = RobustStrategy(vg.Median(f=1), min_available_nodes=9)
    with pytest.raises(ToleranceError, match="5 of 9 nodes were connected within"):
        start(strategy, crowd(5), timeout=0.2)


def test_nodes_that_leave_are_silent_clients() -> None:
    strategy = RobustStrategy(vg.Median(f=1), min_available_nodes=5)
    grid = HereGrid(crowd(5))

    def leave(number: int, arrays: Any) -> None:
        grid.apps.pop(5 - number, None)  # a node after each round

    result = strategy.start(grid, start_model(), num_rounds=3, timeout=2.0, evaluate_fn=leave)
    why = {(record.round, record.client): record.why for record in strategy.records}
    assert (why[1, 4], why[2, 4]) == ("", "not connected")
    assert "Round 3: of 5 clients, 0 misbehaved and 2 were silent" in strategy.breach
    assert values(result.arrays)["w"].mean() == pytest.approx(2, abs=0.05)


def liars(from_round: int) -> dict[int, Any]:
    """Return seven clients, two of which send garbage from some round on."""

    def lie(model: Any, client: int, number: int) -> dict[str, Any]:
        garbage = {name: np.full_like(array, np.nan) for name, array in model.items()}
        return garbage if number >= from_round else drift(model, client, number)

    return {**crowd(5), 5: app(lie), 6: app(lie)}


def test_too_many_liars_stop_the_run_and_the_model_is_kept() -> None:
    strategy = RobustStrategy(vg.Median(f=1))
    result = start(strategy, liars(from_round=3), rounds=5)
    assert values(result.arrays)["w"].mean() == pytest.approx(2, abs=0.05)
    assert max(record.round for record in strategy.records) == 3
    assert "Round 3: of 7 clients, 2 misbehaved" in strategy.breach


def test_too_many_liars_raise_or_hold() -> None:
    with pytest.raises(ToleranceError, match="Round 2: of 7 clients, 2 misbehaved"):
        start(RobustStrategy(vg.Median(f=1), on_breach="raise"), liars(from_round=2), rounds=3)
    holding = RobustStrategy(vg.Median(f=1), on_breach="hold")
    result = start(holding, liars(from_round=2), rounds=4)
    assert values(result.arrays)["w"].mean() == pytest.approx(1, abs=0.05)
    assert max(record.round for record in holding.records) == 4
    with pytest.raises(ParameterError, match="on_breach"):
        RobustStrategy(vg.Median(f=1), on_breach="shrug")


@pytest.mark.parametrize("rule", [vg.CenteredClipping(f=1, radius=5.0), vg.TrimmedMean(f=1)], ids=repr)
def test_a_restarted_server_goes_on_as_if_nothing_had_been(rule: vg.Stage, tmp_path: Path) -> None:
    apps = crowd(6, "scale", factor=-100.0)
    whole = start(RobustStrategy(rule, wait_for_all=True), apps, rounds=4)
    file = tmp_path / "server.npz"
    start(RobustStrategy(rule, wait_for_all=True, state=file), apps, rounds=2)
    again = RobustStrategy(rule, wait_for_all=True, state=file)
    result = start(again, apps, rounds=4)
    assert {record.round for record in again.records} == {3, 4}
    for name, array in values(whole.arrays).items():
        np.testing.assert_array_equal(values(result.arrays)[name], array)
    assert start(again, apps, rounds=4).arrays is not None  # nothing is left to do
    with pytest.raises(ParameterError, match="was written by a run of"):
        start(RobustStrategy(vg.Median(f=1), state=file), apps)


def test_a_state_is_data(tmp_path: Path) -> None:
    file = tmp_path / "server.npz"

    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "run",))

    for bad in (pickle.dumps(Hostile()), b"", b"no state"):
        file.write_bytes(bad)
        with pytest.raises(DataError, match="holds no state of a server"):
            start(RobustStrategy(vg.Median(f=1), state=file), crowd(5))
    np.savez(file, head=np.array([Hostile()], dtype=object))
    with pytest.raises(DataError):
        start(RobustStrategy(vg.Median(f=1), state=file), crowd(5))
    assert not (tmp_path / "run").exists()


def test_what_is_told_of_each_client(tmp_path: Path) -> None:
    lines = tmp_path / "clients.jsonl"
    strategy = RobustStrategy(vg.chain(vg.AdaptiveClipping(f=1), vg.Average(f=1)), lines=lines)
    strategy.wait_for_all = True
    start(strategy, crowd(5, "scale", factor=-1000.0), rounds=2)
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(one["round"], one["client"]) for one in told] == [(r, c) for r in (1, 2) for c in range(5)]
    liar, honest = told[4], told[0]
    assert liar["clipped"] is True
    assert liar["norm"] == pytest.approx(1000 * honest["norm"], rel=0.1)
    assert liar["cosine"] < -0.9 < 0.9 < honest["cosine"]
    assert liar["weight"] < 0.001 < honest["weight"] == pytest.approx(0.2, abs=0.01)
    assert strategy.table().splitlines()[0].split()[:3] == ["round", "client", "norm"]
    assert len(strategy.table().splitlines()) == 11


def test_a_name_made_to_spoil_the_log_is_one_short_line() -> None:
    def lie(model: Any, client: int, number: int) -> dict[str, Any]:
        return {"\x1b[2J\n" + "x" * 10_000: model["w"]}

    strategy = RobustStrategy(vg.Median(f=1))
    start(strategy, {**crowd(4), 4: app(lie)})
    (why,) = {record.why for record in strategy.records if record.rejected}
    assert len(why) < 300
    assert why.isprintable()


def test_counters_and_scalars_of_a_model_are_kept() -> None:
    model = {
        "w": np.zeros((2, 2), np.float32),
        "s": np.zeros((), np.float16),
        "seen": np.array(7),
        "none": np.zeros((0, 3), np.float32),
    }

    def train(model: Any, client: int, number: int) -> dict[str, Any]:
        lie = 10**9 if client == 4 else 1
        return {**model, "w": model["w"] + 1, "s": model["s"] + np.float16(1), "seen": model["seen"] + lie}

    strategy = RobustStrategy(vg.Median(f=1))
    grid = HereGrid({node: app(train) for node in range(5)})
    record = ArrayRecord({name: Array(np.asarray(array)) for name, array in model.items()})
    new = values(strategy.start(grid, record, num_rounds=1, timeout=5.0).arrays)
    assert {name: (a.dtype, a.shape) for name, a in new.items()} == {
        name: (a.dtype, a.shape) for name, a in model.items()
    }
    assert (new["seen"], new["s"], new["w"].min()) == (8, 1, 1)
