"""A sweep on a Ray cluster: the same numbers as without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from experiments.grids import tiny
from experiments.test_store import same

import varangian as vg
from varangian.errors import MissingExtraError, VarangianError
from varangian.experiments.store import Store
from varangian.experiments.sweeps import carry_out, sweep
from varangian.experiments.sweeps.crew import Crew
from varangian.experiments.sweeps.ray import RayCrew
from varangian.specification import identity


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Yield Ray, with a cluster of two processors on this machine."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.mark.ray
@pytest.mark.usefixtures("ray")
def test_a_cluster_gives_the_same_files(tmp_path: Path) -> None:
    rules = [vg.Median(f=1), vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))]
    specs = [
        tiny(seed=seed, byzantine=1, rule=rule, attack=vg.SignFlip(), workers=workers)
        for seed in (1, 2)
        for rule in rules
        for workers in (5, 6)
    ]
    crew = RayCrew("auto")
    assert crew.jobs == 2
    outcome = carry_out(specs, Store(tmp_path / "cluster"), crew)
    assert (outcome.finished, outcome.failures) == (8, [])
    carry_out(specs, Store(tmp_path / "here"), Crew(2))
    for spec in specs:
        files = [
            tmp_path / name / "runs" / identity(spec) / "metrics.parquet" for name in ("cluster", "here")
        ]
        assert files[0].read_bytes() == files[1].read_bytes()
        assert same(Store(tmp_path / "cluster").read(spec), Store(tmp_path / "here").read(spec))


@pytest.mark.ray
@pytest.mark.usefixtures("ray")
def test_a_run_that_fails_on_the_cluster_is_told_and_the_others_are_finished(tmp_path: Path) -> None:
    culprit = tiny(byzantine=3, attack=vg.ALittleIsEnough())
    beside = tiny(byzantine=3, attack=vg.SignFlip())
    outcome = carry_out([culprit, beside], Store(tmp_path), RayCrew("auto", jobs=1))
    assert [failure.experiment for failure in outcome.failures] == [culprit]
    assert "no finite default z" in outcome.failures[0].error
    assert same(Store(tmp_path).read(beside), sweep([beside], tmp_path / "here", jobs=1)[0])


@pytest.mark.ray
def test_a_cluster_that_is_not_there_is_told() -> None:
    for address, said in (
        ("127.0.0.1:1", "refused"),
        ("ray://127.0.0.1:1", "refused"),
        ("here", "host:port"),
    ):
        with pytest.raises(VarangianError, match=f"no Ray cluster at {address}: .*{said}.*ray start --head"):
            RayCrew(address)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[ray\]"):
        RayCrew("auto")
