"""Other libraries, where they are installed: the rule of theirs that is meant to be the same as ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from jaxtyping import Float
from torch import Tensor

import varangian.aggregators as ours
from varangian.core.chain import Chain
from varangian.core.stages import Stage
from varangian.mixers import NearestNeighborMixing

Made = Callable[[Any], Any]
Maker = Callable[[Any, int], Made]
"""What makes of our rule, and n, their function of the vectors."""

SUBSETS = 500
"""Rules that try all subsets one by one are left out beyond so many."""
ROOM = 2**32
"""Bytes that a copy of all neighbours of all vectors may take."""
NEAREST, CONVERGED = 1e-6, 6
"""What ByzFL's geometric median counts as near, and after how many steps it stops, 3 unless it is told: so
many bring it to within 1e-6 of the optimum, on the vectors that are measured."""


class LeftOut(Exception):  # noqa: N818 (no error, a decision)
    """This rule of theirs would take hours, or more memory than there is."""


@dataclass(frozen=True)
class Peer:
    """A library: its package, how its vectors are held, and its rules."""

    name: str
    package: str
    held: Callable[[Tensor], Any]
    makers: Mapping[type[Stage], Maker]
    returned: Callable[[Any], Tensor] = lambda made: made

    def work(self, rule: Stage, x: Float[Tensor, "n d"]) -> Callable[[], Tensor] | None:
        """Return their call on the same numbers, made ready, or None if they have no such rule.

        Raises LeftOut where it is not worth trying.
        """
        parts = rule.parts if isinstance(rule, Chain) else (rule,)
        if not all(type(part) in self.makers for part in parts):
            return None
        _check_room(self, rule, x)
        held, functions = self.held(x), [self.makers[type(part)](part, len(x)) for part in parts]

        def work() -> Tensor:
            made = held
            for function in functions:
                made = function(made)
            return self.returned(made)

        return work


def installed() -> Iterator[tuple[Peer | None, str]]:
    """Yield the libraries that are here with their versions, or without a Peer why one cannot be used."""
    for package, load in LIBRARIES.items():
        if find_spec(package) is None:
            continue
        try:
            yield load(), f"{package} {_version(package)}"
        except Exception as error:  # not there, or not where it was, or whatever else breaks as it is loaded
            why = str(error).split("\n")[0] or type(error).__name__
            yield None, f"{package} is installed, and cannot be used: {why}"


@cache
def byzfl() -> Peer:
    """Return ByzFL."""
    kit = import_module("byzfl")
    return Peer(
        "ByzFL",
        "byzfl",
        lambda x: x,
        {
            ours.Average: lambda rule, n: kit.Average(),
            ours.Median: lambda rule, n: kit.Median(),
            ours.TrimmedMean: lambda rule, n: kit.TrMean(f=rule.f),
            ours.MeanAroundMedian: lambda rule, n: kit.Meamed(f=rule.f),
            ours.Krum: lambda rule, n: kit.Krum(f=rule.f),
            ours.MultiKrum: lambda rule, n: kit.MultiKrum(f=rule.f),
            ours.GeometricMedian: lambda rule, n: kit.GeometricMedian(nu=NEAREST, T=CONVERGED),
            ours.CAF: lambda rule, n: kit.CAF(f=rule.f),
            ours.CenteredClipping: lambda rule, n: partial(_afresh, kit.CenteredClipping, rule),
            ours.MinimumDiameterAveraging: _few(lambda rule, n: kit.MDA(f=rule.f)),
            ours.SMEA: _few(lambda rule, n: kit.SMEA(f=rule.f)),
            NearestNeighborMixing: lambda rule, n: kit.NNM(f=rule.f),
        },
    )


@cache
def byzpy() -> Peer:
    """Return ByzPy."""
    columns = partial(_member, "byzpy.aggregators.coordinate_wise")
    geometric = partial(_member, "byzpy.aggregators.geometric_wise")
    norms = partial(_member, "byzpy.aggregators.norm_wise")
    nearest = _member("byzpy.pre_aggregators", "nnm.NearestNeighborMixing")
    median = columns("median.CoordinateWiseMedian")
    trimmed = columns("trimmed_mean.CoordinateWiseTrimmedMean")
    krum, multikrum = geometric("krum.Krum"), geometric("krum.MultiKrum")
    centre = geometric("geometric_median.GeometricMedian")
    smallest = geometric("minimum_diameter_average.MinimumDiameterAveraging")
    spread, filtered = geometric("smea.SMEA"), norms("caf.CAF")
    clipping = norms("center_clipping.CenteredClipping")
    shortest = norms("comparative_gradient_elimination.ComparativeGradientElimination")
    return Peer(
        "ByzPy",
        "byzpy",
        lambda x: list(x.unbind()),
        {
            ours.Median: lambda rule, n: median().aggregate,
            ours.TrimmedMean: lambda rule, n: trimmed(rule.f).aggregate,
            ours.Krum: lambda rule, n: krum(rule.f).aggregate,
            ours.MultiKrum: lambda rule, n: multikrum(rule.f, rule.m or n - rule.f - 2).aggregate,
            ours.GeometricMedian: lambda rule, n: centre().aggregate,
            ours.CAF: lambda rule, n: filtered(rule.f).aggregate,
            ours.CenteredClipping: lambda rule, n: (
                clipping(c_tau=float(rule.radius), M=rule.steps, init="zero").aggregate
            ),
            ours.ComparativeGradientElimination: lambda rule, n: shortest(rule.f).aggregate,
            ours.MinimumDiameterAveraging: _few(lambda rule, n: smallest(rule.f).aggregate),
            ours.SMEA: _few(lambda rule, n: spread(rule.f).aggregate),
            NearestNeighborMixing: lambda rule, n: nearest(rule.f).pre_aggregate,
        },
    )


@cache
def flower() -> Peer:
    """Return Flower, whose rules take lists of NumPy arrays."""
    import torch

    kit = import_module("flwr.server.strategy.aggregate")
    return Peer(
        "Flower",
        "flwr",
        lambda x: [([row], 1) for row in x.numpy()],
        {
            ours.Average: lambda rule, n: kit.aggregate,
            ours.Median: lambda rule, n: kit.aggregate_median,
            # Half a vector more, so that what they round down to is f.
            ours.TrimmedMean: lambda rule, n: (
                lambda held: kit.aggregate_trimmed_avg(held, (rule.f + 0.5) / n)
            ),
            ours.Krum: lambda rule, n: lambda held: kit.aggregate_krum(held, rule.f, 0),
            ours.MultiKrum: lambda rule, n: (
                lambda held: kit.aggregate_krum(held, rule.f, rule.m or n - rule.f - 2)
            ),
            ours.Bulyan: lambda rule, n: (
                lambda held: kit.aggregate_bulyan(list(held), rule.f, kit.aggregate_krum, to_keep=0)
            ),
        },
        lambda made: torch.from_numpy(made[0]),
    )


@cache
def krum() -> Peer:
    """Return krum."""
    kit = import_module("krum.primitives.aggregators")

    def plain(module: str, name: str, **fields: Callable[[Any, int], int]) -> Maker:
        found = getattr(import_module(f"{kit.__name__}.{module}"), name)

        def make(rule: Any, n: int) -> Made:
            given = {field: value(rule, n) for field, value in fields.items()}
            return lambda x: found.aggregate(x, **given)

        return make

    def count(rule: Any, n: int) -> int:
        return n

    def liars(rule: Any, n: int) -> int:
        return int(rule.f)

    brute = plain("brute", "Brute", n=count, f=liars)
    return Peer(
        "krum",
        "krum",
        lambda x: x,
        {
            ours.Average: plain("average", "Average"),
            ours.Median: plain("median", "Median"),
            ours.TrimmedMean: plain("trimmed_mean", "TrimmedMean", f=liars),
            ours.Krum: plain("krum", "Krum", n=count, f=liars),
            ours.MultiKrum: plain(
                "multikrum", "MultiKrum", n=count, f=liars, m=lambda rule, n: rule.m or n - rule.f - 2
            ),
            ours.Bulyan: plain("bulyan", "Bulyan", n=count, f=liars, m=lambda rule, n: 1),
            ours.Aksel: plain("aksel", "Aksel", f=liars),
            ours.GeometricMedian: plain("geometric_median", "GeometricMedian", n=count, f=liars),
            ours.MinimumDiameterAveraging: _few(brute),
        },
    )


LIBRARIES: dict[str, Callable[[], Peer]] = {"byzfl": byzfl, "byzpy": byzpy, "flwr": flower, "krum": krum}


def _few(maker: Maker) -> Maker:
    """Leave out what tries all subsets of n - f vectors if there are many."""

    def make(rule: Any, n: int) -> Made:
        if math.comb(n, rule.f) > SUBSETS:
            raise LeftOut(f"tries {math.comb(n, rule.f)} subsets one by one")
        return maker(rule, n)

    return make


def _afresh(kind: Any, rule: Any, x: Tensor) -> Any:
    """Clip from the origin; theirs would go on from its last output."""
    return kind(L=rule.steps, tau=float(rule.radius))(x)


def _member(room: str, path: str) -> Any:
    module, name = path.split(".")
    return getattr(import_module(f"{room}.{module}"), name)


def _check_room(peer: Peer, rule: Stage, x: Tensor) -> None:
    copies = [part for part in rule.stages() if isinstance(part, NearestNeighborMixing)]
    needed = sum(4 * x.numel() * (len(x) - part.f) for part in copies)
    if peer.package == "byzfl" and needed > ROOM:
        raise LeftOut(f"copies {needed / 2**30:.0f} GiB")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of no known version"
