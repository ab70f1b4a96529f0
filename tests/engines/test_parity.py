"""The vectorised engine gives the numbers of the loop: alone, in company, for models of every kind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from engines.by_hand import DATA, small
from torch import nn

import varangian as vg
from varangian.engines import Result, batches, simulate, train
from varangian.engines.simulate.batch import Batch
from varangian.engines.simulate.batched import Stacked
from varangian.engines.simulate.differentiation import OneByOne
from varangian.engines.simulate.mapped import Mapped
from varangian.errors import ParameterError, ShapeError
from varangian.optim import PLACES
from varangian.privacy import Privacy

STEPS = 20
BOUNDS = {"float32": 1e-5, "float64": 1e-10}
RULES: tuple[vg.Stage, ...] = (
    vg.Median(f=2),
    vg.Krum(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
)
ATTACKS: tuple[vg.Attack, ...] = (vg.ALittleIsEnough(z=1.5), vg.SignFlip(), vg.Mimic())
PRIVACY = (None, Privacy(epsilon=0.5, norm=0.5))

GRID: list[dict[str, Any]] = [
    {"momentum_at": place, "nesterov": nesterov, "rule": rule, "attack": attack, "privacy": privacy}
    for place, nesterov, rule, attack, privacy in itertools.product(
        PLACES, (False, True), RULES, ATTACKS, PRIVACY
    )
]

VARIANTS: dict[str, dict[str, Any]] = {
    "trusted vector": {"rule": vg.FLTrust(), "attack": vg.SignFlip()},
    "poisoned labels": {"attack": vg.LabelFlip()},
    "random labels, pooled data": {"attack": vg.RandomLabel(), "split": vg.Pooled()},
    "a rule with memory": {"rule": vg.CenteredClipping(f=2, radius=0.2), "attack": vg.SignFlip()},
    "a rule drawn per step": {
        "rule": vg.RuleMixture((vg.Krum(f=2), vg.CenteredClipping(f=2, radius=0.2)), (1.0, 2.0)),
        "attack": vg.SignFlip(),
    },
    "random groups, random lies": {
        "rule": vg.chain(vg.Bucketing(f=2, s=2), vg.Median(f=1), allow_different_f=True),
        "attack": vg.Gaussian(),
    },
    "random coordinates": {"rule": vg.DnC(f=2, coordinates=5), "attack": vg.MinMax()},
    "local steps, every penalty, clipping": {
        "local_steps": 3,
        "clip": 0.5,
        "l1": 0.02,
        "l2": 0.03,
        "l2_norm": 0.05,
        "weight_decay": 0.1,
        "attack": vg.SignFlip(),
    },
    "local steps, nesterov": {"local_steps": 2, "nesterov": True, "attack": vg.SignFlip()},
    "local steps, privacy": {"local_steps": 2, "privacy": Privacy(epsilon=0.5, norm=0.3), "clip": None},
    "batch clipped for privacy": {"privacy": Privacy(epsilon=0.5, norm=0.3, clip="batch")},
    "shards smaller than a batch": {
        "split": vg.Dirichlet(0.2),
        "batch_size": 30,
        "attack": vg.Optimal(),
        "privacy": Privacy(epsilon=0.9, norm=2.0),
    },
    "white box at the server": {"momentum_at": "server", "dampening": 0.4, "attack": vg.Optimal()},
    "dampening, nobody lies": {"dampening": 0.4, "attack": None},
    "a schedule": {"learning_rate": vg.InverseDecay(0.3, 2.0, 2), "attack": vg.MinSum()},
    "declared and real differ": {"rule": vg.TrimmedMean(f=3), "byzantine": 1, "attack": vg.SignFlip()},
}


def difference(one: Result, other: Result) -> float:
    """Return the relative difference of the final parameters, all metrics being as near as can be told."""
    assert set(one.metrics) == set(other.metrics)
    for name, column in other.metrics.items():
        got = torch.tensor(one.metrics[name], dtype=torch.float64)
        torch.testing.assert_close(
            got,
            torch.tensor(column, dtype=torch.float64),
            rtol=2e-3 if one.experiment.dtype == "float32" else 1e-7,
            atol=1e-5 if one.experiment.dtype == "float32" else 1e-10,
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
        )
    apart = (one.parameters.double() - other.parameters.double()).norm()
    return float(apart / other.parameters.double().norm())


def run_in_batches(specs: Sequence[vg.Experiment]) -> list[Result]:
    results: dict[int, Result] = {}
    for places in batches(specs):
        results |= dict(zip(places, simulate([specs[place] for place in places]), strict=True))
    return [results[place] for place in range(len(specs))]


# Every pair of choices is in this fifth of the product.
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("part", [slice(3, None, 5), pytest.param(slice(None), marks=pytest.mark.slow)])
def test_every_combination_is_the_loops_side_by_side(part: slice, dtype: str) -> None:
    specs = [small(steps=STEPS, evaluate_every=7, dtype=dtype, **fields) for fields in GRID[part]]
    assert len(batches(specs)) == len(PRIVACY)
    for spec, got in zip(specs, run_in_batches(specs), strict=True):
        assert difference(got, train(spec)) <= BOUNDS[dtype], spec


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_is_the_loops(name: str, dtype: str) -> None:
    fields = {"rule": vg.Median(f=2), "steps": STEPS, "evaluate_every": 7, "dtype": dtype, **VARIANTS[name]}
    assert difference(simulate([small(**fields)])[0], train(small(**fields))) <= BOUNDS[dtype]


@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_run_alone_is_the_same_in_company(dtype: str) -> None:
    mixed = [{**fields, "seed": seed} for seed, fields in enumerate(GRID[:: len(GRID) // 16][:16], 1)]
    specs = [
        small(steps=STEPS, dtype=dtype, learning_rate=0.05 * (1 + i % 3), **f) for i, f in enumerate(mixed)
    ]
    assert len(specs) == 16
    for spec, got in zip(specs, simulate(specs), strict=True):
        assert difference(got, simulate([spec])[0]) <= BOUNDS[dtype], spec


def layers(*parts: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        for part in parts:
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
    return nn.Sequential(*parts)


class Residual(nn.Module):
    """A module that is no stack."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 5)
        self.outer = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(x + torch.tanh(self.inner(x)))  # type: ignore[no-any-return]


class Chancy(Residual):
    """A module that draws random numbers where nobody can see it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + 0.1 * torch.randn_like(x))


class Branching(Residual):
    """A module whose path depends on the values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.sum() > 0 else 2 * x)


class Centring(Residual):
    """A module that mixes the samples of a batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(0))


class Counting(Residual):
    """A module that remembers how often it was used, and says so."""

    def __init__(self, buffered: bool) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.uses, self.buffered = 0, buffered

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.uses += not self.buffered
        self.seen = self.seen + self.buffered
        return super().forward(x + 0.1 * self.seen + 0.1 * self.uses)


class Doubling(nn.Sequential):
    """A sequence that does more than its layers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def watched() -> nn.Module:
    model = layers(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4))
    model[0].register_forward_hook(lambda layer, given, made: 2 * made)  # type: ignore[operator]
    return model


ACTIVATION = nn.Tanh()
STACKS = {
    "a layer at two places": layers(
        nn.Linear(5, 8), ACTIVATION, nn.Linear(8, 6), ACTIVATION, nn.Linear(6, 4)
    ),
    "deep": layers(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6, bias=False), nn.GELU(), nn.Linear(6, 4)),
    "linear after linear": layers(nn.Linear(5, 3), nn.Linear(3, 4), nn.LogSoftmax(-1)),
    "flattened, sigmoid": layers(nn.Flatten(), nn.Linear(5, 8), nn.Sigmoid(), nn.Linear(8, 4)),
}
FUNCTIONS = {
    "more than its layers": Doubling(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4)),
    "watched": watched(),
    "no sequence": Residual(),
    "normalised samples": layers(nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 4)),
    "in place": layers(nn.Linear(5, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)),
    "frozen": layers(nn.Linear(5, 8).requires_grad_(False), nn.ReLU(), nn.Linear(8, 4)),
}
OTHERS = {
    "random layers": layers(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4)),
    "batch statistics": layers(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)),
    "chance of its own": Chancy(),
    "mixes samples": Centring(),
    "mixes samples without statistics": layers(
        nn.Linear(5, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU(), nn.Linear(8, 4)
    ),
    "counts in a buffer": Counting(buffered=True),
    "counts by itself": Counting(buffered=False),
    "branches on values": Branching(),
}


BATCH_NORMALISED = [OTHERS["batch statistics"], OTHERS["mixes samples without statistics"]]
WAYS = {Stacked: STACKS, Mapped: FUNCTIONS, OneByOne: OTHERS}


@pytest.mark.parametrize("privacy", PRIVACY, ids=["plain", "private"])
@pytest.mark.parametrize("nesterov", [False, True], ids=["", "nesterov"])
@pytest.mark.parametrize(("way", "name"), [(way, name) for way, models in WAYS.items() for name in models])
def test_models_of_every_kind(way: type, name: str, nesterov: bool, privacy: Privacy | None) -> None:
    if WAYS[way][name] in BATCH_NORMALISED and privacy is not None:
        with pytest.raises(ParameterError, match="mixes the samples of a batch"):
            simulate([small(model=WAYS[way][name], privacy=privacy)])
        return
    fields = {"rule": vg.Median(f=2), "attack": vg.SignFlip(), "nesterov": nesterov, "privacy": privacy}
    spec = small(model=WAYS[way][name], steps=STEPS, split=vg.Dirichlet(0.3), batch_size=16, **fields)
    two = [spec, replace(spec, seed=2)]
    assert isinstance(Batch(two).ways[0][2], way)
    for got, one in zip(simulate(two), two, strict=True):
        assert difference(got, train(one)) <= BOUNDS["float64"]


def test_a_large_model_goes_worker_by_worker() -> None:
    """Mapping a large model takes longer than a loop on a CPU."""
    wide = nn.Sequential(nn.Linear(5, 20_000), nn.LayerNorm(20_000), nn.Linear(20_000, 4))
    assert isinstance(Batch([small(model=wide)]).ways[0][2], OneByOne)


def test_what_differs_in_shape_is_refused() -> None:
    with pytest.raises(ParameterError, match="differ in batch_size, byzantine"):
        simulate([small(), small(batch_size=7, byzantine=1)])
    with pytest.raises(ParameterError, match="no experiment"):
        simulate([])


def test_batches_keep_to_the_budget() -> None:
    specs = [small(seed=seed) for seed in range(1, 31)]
    assert batches(specs) == [list(range(30))]
    cut = batches(specs, budget=100_000)
    assert sorted(place for places in cut for place in places) == list(range(30))
    assert 1 < len(cut) < 30
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    assert batches(specs, budget=1) == [[place] for place in range(30)]


class Replay(vg.SignFlip):
    """Send what an honest worker sent in the step before."""

    def vectors(self, scene: Any) -> tuple[torch.Tensor, Any]:
        last = scene.honest[..., :1, :] if scene.state is None else scene.state
        return last.expand(*last.shape[:-2], scene.b, -1), scene.honest[..., :1, :]


@pytest.mark.parametrize("place", PLACES)
def test_what_an_attack_remembers_is_not_written_over(place: str) -> None:
    spec = small(attack=Replay(), momentum_at=place, steps=STEPS, rule=vg.TrimmedMean(f=2))
    assert difference(simulate([spec])[0], train(spec)) <= BOUNDS["float64"]


def spoiled(sample: int, value: float) -> vg.Dataset:
    inputs = DATA.train_inputs.clone()
    inputs[sample] = value
    return replace(DATA, train_inputs=inputs)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e19])
@pytest.mark.parametrize("privacy", PRIVACY, ids=["plain", "private"])
@pytest.mark.parametrize("model", ["logistic", FUNCTIONS["no sequence"]], ids=["stack", "function"])
def test_one_spoiled_sample_is_the_loops(model: Any, privacy: Privacy | None, value: float) -> None:
    """Sample 0 fills up no other worker's batch, and privacy counts it as zero."""
    fields = {"model": model, "split": vg.Dirichlet(0.3), "batch_size": 16, "privacy": privacy}
    spec = small(data=spoiled(0, value), rule=vg.Median(f=2), attack=vg.SignFlip(), steps=6, **fields)
    assert difference(simulate([spec])[0], train(spec)) <= BOUNDS["float64"]


def test_a_whole_number_is_a_seed_whatever_its_type() -> None:
    assert vg.Stream(True).key() == vg.Stream(1).key()


def test_outputs_of_a_wrong_shape_are_refused_as_in_the_loop() -> None:
    spec = small(model=nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()), loss="mse")
    for engine in (train, lambda spec: simulate([spec])):
        with pytest.raises(ShapeError, match="mse received outputs"):
            engine(spec)


def test_random_layers_are_the_runs_own_on_every_lane() -> None:
    """PyTorch's generator belongs to the whole process; batches in other threads must not draw from it."""
    model = OTHERS["random layers"]
    specs = [small(model=model, batch_size=4 + i, steps=10, seed=i + 1) for i in range(8)]
    alone = [simulate([spec])[0].parameters for spec in specs]
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        together = vg.run(specs)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one, result.parameters) for one, result in zip(alone, together, strict=True))
