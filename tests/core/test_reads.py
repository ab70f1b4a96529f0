"""A chain reads its vectors once or twice, or once more where folding loses digits, counted at the load."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

import varangian as vg
from varangian import kernels
from varangian.core import measures, swift
from varangian.core.stages import Stage
from varangian.errors import ToleranceError
from varangian.kernels import columns
from varangian.kernels.columns import repaired
from varangian.kernels.compiled import tasks
from varangian.kernels.compiled.tasks import Stretch
from varangian.kernels.parts import Line, Place, over_lines, over_one
from varangian.kernels.rows import Rows, Segment, within
from varangian.kernels.sampled import gathered, measured_on

N, D, F = 15, 400, 2

SCALING: list[Stage] = [vg.Clipping(radius=8.0, f=F), vg.AdaptiveClipping(f=F)]
MIXERS: list[Stage | None] = [None, vg.NearestNeighborMixing(f=F), vg.Bucketing(f=F, s=1), *SCALING]
COLUMNS = [
    vg.Median(f=F),
    vg.TrimmedMean(f=F),
    vg.MeanAroundMedian(f=F),
    vg.Phocas(f=F),
    vg.SignMajority(f=F),
    vg.Condense(f=F),
]
PLANNED = [
    vg.Krum(f=F),
    vg.MultiKrum(f=F),
    vg.Bulyan(f=F),
    vg.MultiBulyan(f=F),
    vg.MinimumDiameterAveraging(f=F),
    vg.ComparativeGradientElimination(f=F),
    vg.GeometricMedian(f=F),
    vg.CenteredClipping(f=F, radius=5.0),
    vg.MoNNA(f=F),
    vg.SMEA(f=F),
    vg.CAF(f=F),
]


class Counter:
    """The columns of the vectors that were loaded: as blocks, or in lines or stretches by compiled code.

    A stretch counts once. Within it, columns may be looked at again to repair what is not finite. Columns
    that are brought together by themselves count apart.
    """

    def __init__(self) -> None:
        self.columns = 0
        self.compiled = 0
        self.sampled = 0
        self._lock = threading.Lock()
        self._here = threading.local()

    def block(self, width: int) -> None:
        if not getattr(self._here, "in_stretch", False):
            with self._lock:
                self.columns += width

    def lines(self, lines: Sequence[Line], lost: Sequence[Place] = ()) -> None:
        """Count what compiled code did, less what is then done again in stretches."""
        done = sum(line.width for line in lines) - sum(stop - start for _, start, stop in lost)
        self.columns += done
        self.compiled += done

    @contextmanager
    def again(self) -> Iterator[None]:
        """Count nothing meanwhile."""
        self._here.in_stretch = True
        try:
            yield
        finally:
            self._here.in_stretch = False

    @contextmanager
    def stretch(self, part: Stretch) -> Iterator[None]:
        with self._lock:
            self.columns += part.stop - part.start
            self.compiled += part.stop - part.start
        with self.again():
            yield


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Counter:
    counter = Counter()
    plain, carry_out = Segment.columns, tasks.carry_out

    def counted(segment: Segment, start: int, stop: int) -> Any:
        counter.block(min(stop, segment.width) - start)
        return plain(segment, start, stop)

    def counted_out(work: Callable[[Stretch], Any], parts: Sequence[Stretch], n: int) -> Any:
        def counted_work(part: Stretch) -> Any:
            with counter.stretch(part):
                return work(part)

        return carry_out(counted_work, parts, n)

    def lines(all_: Sequence[Line], n: int, kept: object) -> Any:
        lost = over_lines(all_, n, kept)
        counter.lines(all_, lost)
        return lost

    def one(line: Line, n: int, pitch: int = 0) -> Any:
        counter.lines([line])
        return over_one(line, n, pitch)

    def again(*given: Any) -> Any:
        with counter.again():
            return repaired(*given)

    def counted_aside(rows: Rows, chosen: torch.Tensor, *options: Any, **more: Any) -> Any:
        counter.sampled += len(within(chosen, rows.first, rows.first + rows.d))
        before = counter.columns, counter.compiled
        table = measured_on(rows, chosen, *options, **more)
        counter.columns, counter.compiled = before
        return table

    def counted_few(rows: Rows, chosen: torch.Tensor) -> Iterator[Rows]:
        counter.sampled += len(within(chosen, rows.first, rows.first + rows.d))
        for few in gathered(rows, chosen):
            before = counter.columns, counter.compiled
            yield few
            counter.columns, counter.compiled = before

    monkeypatch.setattr(measures, "measured_on", counted_aside)
    monkeypatch.setattr(measures, "gathered", counted_few)
    monkeypatch.setattr(Segment, "columns", counted)
    monkeypatch.setattr(columns, "over_lines", lines)
    monkeypatch.setattr(columns, "over_one", one)
    monkeypatch.setattr(swift, "repaired", again)
    for found in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        module = importlib.import_module(found.name)
        if getattr(module, "carry_out", None) is carry_out:
            monkeypatch.setattr(module, "carry_out", counted_out)
    return counter


def measured(stage: Stage, counter: Counter, x: Any = None) -> int:
    """Return the passes of one call, as counted at the load; the call must report the same."""
    vectors = gradients() if x is None else x
    needs = any(pivot.name == "GIVEN" for part in stage.stages() for pivot in part.pivots)
    given = {"pivot": vectors[-3:].mean(0)} if needs else {}
    counter.columns = counter.compiled = counter.sampled = 0
    reported = stage.aggregate(vectors, **given).reads
    passes, rest = divmod(counter.columns, D)
    assert rest == 0, f"{stage!r} read a part of the vectors"
    assert passes == reported
    return passes


def gradients(seed: int = 0) -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed)) * 0.5 + 0.1


def after(mixer: Stage | None, rule: Stage) -> Stage:
    return rule if mixer is None else vg.chain(mixer, rule)


def name(stage: Stage | None) -> str:
    return "alone" if stage is None else type(stage).__name__


@pytest.mark.parametrize("rule", [*COLUMNS, vg.Average()], ids=name)
def test_coordinates_alone_are_read_once(rule: Stage, loaded: Counter) -> None:
    assert measured(rule, loaded) == 1
    assert measured(vg.chain(vg.Bucketing(f=F, s=2), rule), loaded) == 1


@pytest.mark.parametrize("rule", COLUMNS, ids=name)
@pytest.mark.parametrize("mixer", MIXERS, ids=name)
def test_coordinates_after_a_mixer_are_read_twice(mixer: Stage | None, rule: Stage, loaded: Counter) -> None:
    free = mixer is None or isinstance(mixer, vg.Bucketing)
    assert measured(after(mixer, rule), loaded) == (1 if free else 2)


@pytest.mark.parametrize("rule", PLANNED, ids=name)
@pytest.mark.parametrize("mixer", MIXERS, ids=name)
def test_plans_are_read_twice(mixer: Stage | None, rule: Stage, loaded: Counter) -> None:
    assert measured(after(mixer, rule), loaded) == 2


@pytest.mark.parametrize("rule", PLANNED, ids=name)
@pytest.mark.parametrize("mixer", SCALING, ids=name)
def test_scaled_outliers_are_measured_again(mixer: Stage, rule: Stage, loaded: Counter) -> None:
    """A norm tells nothing of the direction of what has shrunk to a part in 10^10.

    But CGE asks for norms alone, and MoNNA's pivot is as far out.
    """
    x = gradients()
    x[-F:] *= 1e10
    free = isinstance(rule, (vg.ComparativeGradientElimination, vg.MoNNA))
    assert measured(vg.chain(mixer, rule), loaded, x) == (2 if free else 3)


@pytest.mark.parametrize("mixer", MIXERS, ids=name)
def test_a_median_after_a_planned_mixer_is_one_more(mixer: Stage | None, loaded: Counter) -> None:
    """Aksel alone: the median of mixed vectors exists only once the mixing is planned."""
    free = mixer is None or isinstance(mixer, vg.Bucketing)
    assert measured(after(mixer, vg.Aksel(f=F)), loaded) == (2 if free else 3)


@pytest.mark.parametrize("coordinates", [50, 10_000])
@pytest.mark.parametrize("norms", SCALING, ids=name)
def test_subsets_are_all_that_is_measured_beside_all_pairs(
    norms: Stage, coordinates: int, loaded: Counter
) -> None:
    nnm, dnc = vg.NearestNeighborMixing(f=F), vg.DnC(f=F, coordinates=coordinates)
    bucketing, sampled = vg.Bucketing(f=F, s=2), 3 * min(D, coordinates)
    for chain, passes in [
        ((dnc,), 1),
        ((bucketing, dnc), 1),
        ((norms, dnc), 2),
        ((nnm, dnc), 2),
        ((nnm, nnm, dnc), 2),
        ((bucketing, nnm, dnc), 2),
        ((norms, nnm, dnc), 2),
        ((nnm, norms, dnc), 2),
    ]:
        assert (measured(vg.chain(*chain), loaded), loaded.sampled) == (passes, sampled)
    assert measured(vg.chain(bucketing, nnm, nnm, dnc), loaded) <= 2
    outliers = gradients()
    outliers[-F:] *= 1e10
    assert measured(dnc, loaded, outliers) == 1


@pytest.mark.parametrize("rule", [*PLANNED, *COLUMNS], ids=name)
def test_long_chains_cost_no_more(rule: Stage, loaded: Counter) -> None:
    nnm = vg.NearestNeighborMixing(f=F)
    assert measured(vg.chain(vg.Bucketing(f=F, s=1), nnm, nnm, rule), loaded) <= 2
    assert measured(vg.chain(*SCALING, nnm, rule), loaded) <= 2


def test_trust_reads_three_times(loaded: Counter) -> None:
    assert measured(vg.FLTrust(f=F), loaded) == 3


@pytest.mark.parametrize("rule", [vg.GeometricMedian(f=F), vg.CenteredClipping(f=F, radius=5.0)], ids=name)
def test_a_hostile_spread_costs_iterative_rules_one_more(rule: Stage, loaded: Counter) -> None:
    x = gradients()
    x[-F:] *= 1e10
    assert measured(rule, loaded, x) == 3
    assert measured(vg.chain(vg.NearestNeighborMixing(f=F), rule), loaded, x) <= 4


@pytest.mark.parametrize(
    "rule",
    [rule for rule in PLANNED if not isinstance(rule, (vg.GeometricMedian, vg.CenteredClipping))],
    ids=name,
)
def test_outliers_cost_other_rules_nothing(rule: Stage, loaded: Counter) -> None:
    x = gradients()
    x[-F:] *= 1e10
    assert measured(rule, loaded, x) == 2


@pytest.mark.parametrize("rule", COLUMNS, ids=name)
def test_compiled_columns_are_read_once(rule: Stage, loaded: Counter, compiled: None) -> None:
    """And so they are in two segments, as vectors that lie apart, and with values that are not finite."""
    x = gradients()
    broken = x.clone()
    broken[0, 3], broken[-1, -1] = torch.nan, torch.inf
    halves = [[row[:30].clone(), row[30:].double()] for row in x]
    for vectors in (x, broken, list(x), halves):
        assert measured(rule, loaded, vectors) == 1
        assert loaded.compiled == D


@pytest.mark.parametrize("rule", COLUMNS, ids=name)
def test_columns_are_read_once_without_a_compiler(rule: Stage, loaded: Counter, no_compiler: None) -> None:
    assert measured(rule, loaded) == 1
    assert loaded.compiled == 0


def test_many_vectors_are_read_once(loaded: Counter) -> None:
    x = torch.randn(300, D, generator=torch.Generator().manual_seed(0))
    assert measured(vg.Median(f=2), loaded, x) == 1


def test_a_refusal_reads_nothing(loaded: Counter) -> None:
    with pytest.raises(ToleranceError, match="n = 15"):
        vg.Krum(f=7)(gradients())
    assert loaded.columns == 0
