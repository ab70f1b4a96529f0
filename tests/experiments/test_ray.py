"""A sweep on a Ray cluster: the same numbers as without."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from experiments.grids import tiny
from experiments.test_store import same

import varangian as vg
from varangian.engines import Progress, simulate
from varangian.errors import DataError, MissingExtraError, VarangianError
from varangian.experiments.store import Store
from varangian.experiments.sweeps import carry_out, sweep
from varangian.experiments.sweeps.crew import Crew
from varangian.experiments.sweeps.ray import RayCrew, RayWorker
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


class Here:
    """A cluster that is this process; ``asked`` is how many stretches it was given."""

    class exceptions:  # noqa: N801 (Ray's name)
        class RayTaskError(Exception):
            """Never raised here."""

    def __init__(self) -> None:
        self.asked = 0

    def remote(self, **_: Any) -> Any:
        return lambda function: SimpleNamespace(remote=function)

    def get(self, made: Any) -> Any:
        self.asked += 1
        return made


class PowerCutError(Exception):
    """Ends a sweep."""


def test_what_was_cut_off_goes_on_from_the_last_stretch(tmp_path: Path) -> None:
    specs = [tiny(seed=seed, steps=7) for seed in (1, 2)]
    cluster, checkpoint, steps = Here(), tmp_path / "checkpoint", list[int]()

    def heard(progress: Progress) -> None:
        steps.append(progress.step)
        if steps == [2, 4]:
            raise PowerCutError

    worker = RayWorker(queue.SimpleQueue(), cluster)
    with pytest.raises(PowerCutError):
        worker._engine(specs, heard, checkpoint=checkpoint, every=2)
    got = worker._engine(specs, heard, checkpoint=checkpoint, every=2)
    assert (steps, cluster.asked) == ([2, 4, 6], 4)
    assert all(same(one, other) for one, other in zip(got, simulate(specs), strict=True))
    assert worker._engine(specs, heard)
    assert cluster.asked == 5


def test_a_checkpoint_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    worker = RayWorker(queue.SimpleQueue(), Here())
    with pytest.raises(DataError, match=r"checkpoint .*missing.* cannot be written: No such file"):
        worker._engine([tiny()], checkpoint=tmp_path / "missing" / "checkpoint", every=2)


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
