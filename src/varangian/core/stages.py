"""What a stage is: a mixer, a geometric rule, or a coordinate rule; its theorem comes with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING
from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from varangian.core.checks import check_count, check_flags
from varangian.core.citations import Reference
from varangian.core.conditions import Condition
from varangian.core.needs import Foreseen, Pivot, Reads
from varangian.core.points import Points
from varangian.core.randomness import Stream, as_stream
from varangian.core.run import Aggregation, Call, aggregate
from varangian.core.swift import at_once
from varangian.core.untraced import untraced
from varangian.core.values import Value
from varangian.errors import WeightsError
from varangian.kernels.columns import reduced
from varangian.kernels.missing import of_present
from varangian.kernels.programs import Program


class Stage(Value, ABC):
    """One step of a chain, as a frozen dataclass whose fields are its parameters.

    A subclass declares what it ``reads`` of the distances, the ``pivots`` it measures against, and
    whether it honours weights of the parties (``weighted``), draws random numbers (``randomised``), may
    depend on the order of the vectors (``ordered``), and keeps liars from mattering (``robust``). One that
    leaves out what did not arrive has a field ``missing``; to all others what is not finite is zero.
    """

    f: int | None
    reads: ClassVar[Reads] = Reads.PAIRS
    pivots: ClassVar[tuple[Pivot, ...]] = ()
    weighted: ClassVar[bool] = False
    randomised: ClassVar[bool] = False
    ordered: ClassVar[bool] = False
    robust: ClassVar[bool] = True
    mixes: ClassVar[bool] = False
    missing: bool = False
    short_names: ClassVar[tuple[str, ...]] = ()
    guarantee: ClassVar[str] = "none proven"
    cost: ClassVar[str]
    reference: ClassVar[Reference]

    def __post_init__(self) -> None:
        check_flags(self)
        if self.f is not None or vars(type(self)).get("f", MISSING) is MISSING:
            check_count(self, "f", self.f, least=0)
        self.validate()

    def validate(self) -> None:
        """Refuse impossible fields; called when the stage is made. Raises ParameterError."""

    @abstractmethod
    def condition(self) -> Condition:
        """Return what n must satisfy for the stage to be sound."""

    def kappa(self, n: int) -> float | None:
        """Return the proven robustness coefficient for n vectors, or None where none is proven.

        For every set H of n - f vectors: |F(x) - mean_H|^2 <= kappa * mean over H of |x_i - mean_H|^2.
        """
        return None

    def variance_bound(self, n: int, d: int) -> float | None:
        """Return the largest ratio of standard deviation to norm of the honest vectors proven safe.

        The ratio is sqrt(E |G - EG|^2) / |EG|; None where nothing is proven.
        """
        return None

    def stages(self) -> tuple[Stage, ...]:
        """Return the elementary stages that this one is made of, mixers first."""
        return (self,)

    def outputs(self, n: int) -> int:
        """Return how many vectors come out of n."""
        return 1

    def foreseen(self, d: int, call: Call) -> Foreseen:
        """Return what the stage will ask for."""
        return Foreseen(self.reads)

    @abstractmethod
    def advance(self, points: Points, call: Call) -> Points:
        """Return the points after this stage."""

    @untraced
    def aggregate(
        self,
        x: Any,
        *,
        state: Any = None,
        weights: Any = None,
        cap: float | None = None,
        mass: float | None = None,
        pivot: Any = None,
        stream: Stream | None = None,
        out: Any = None,
    ) -> Aggregation:
        """Return the result with all that is known about it: state, bad rows, weights, reads.

        ``out``, of the kind and dtype of one vector, is written and returned as the value; not for a mixer.
        Nothing is differentiated: no gradient flows through it. ``torch.compile`` breaks its graph here.

        Shape       (*batch, n, d) -> (*batch, d), or (*batch, m, d) for a mixer; lists likewise
        State       the ``state`` of the last call's Aggregation; None at first
        Randomness  from ``stream`` alone; without one, the same numbers every time
        Raises      InputError, WeightsError, ToleranceError: what arrived, what is needed, what to change
        """
        if state is weights is cap is mass is pivot is stream is out is None:
            made = at_once(self, x)
            if made is not None:
                return made
        return aggregate(
            self,
            x,
            state=state,
            weights=weights,
            cap=cap,
            mass=mass,
            pivot=pivot,
            stream=as_stream(stream),
            out=out,
        )

    @untraced
    def __call__(self, x: Any, **options: Any) -> Any:
        """Return the aggregate of the vectors in their own kind, dtype and device; see ``aggregate``."""
        return self.aggregate(x, **options).value


class Mixer(Stage):
    """Its outputs are linear combinations of its inputs, planned on distances."""

    mixes = True

    def outputs(self, n: int) -> int:
        """Return how many vectors come out of n."""
        return n

    def kappa_before(self, n: int, following: float) -> float | None:
        """Return the coefficient of this mixer in front of a rule whose own coefficient is ``following``."""
        return None

    @abstractmethod
    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch m n"]:
        """Return the mixing matrix, each row summing to one."""

    def advance(self, points: Points, call: Call) -> Points:
        """Return the mixed points."""
        return points.mixed(planned(self, points, call))


class ScalingMixer(Mixer):
    """Multiplies every vector by a factor planned on the norms, the last column of its table.

    Where it ``folds``, what comes after may be told the distances by algebra, in which a few digits are lost.
    """

    reads: ClassVar[Reads] = Reads.NORMS
    pivots: ClassVar[tuple[Pivot, ...]] = (Pivot.ORIGIN,)
    folds: ClassVar[bool] = True

    @abstractmethod
    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch n"]:
        """Return one factor per vector: the diagonal of the mixing matrix, the origin taking the rest."""

    def advance(self, points: Points, call: Call) -> Points:
        """Return the scaled points."""
        return points.scaled(planned(self, points, call), folds=self.folds)


class GeometricRule(Stage):
    """Its output is one linear combination of its inputs, planned on distances."""

    @abstractmethod
    def weights(self, distances: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch w"]:
        """Return one weight per vector, and then one per pivot where pivots may weigh something."""

    def advance(self, points: Points, call: Call) -> Points:
        """Return the one combined point."""
        return points.combined(planned(self, points, call), self.pivots)


class SubsampledRule(GeometricRule):
    """A geometric rule that plans on several tables, each measured on a random subset of coordinates."""

    randomised = True

    @abstractmethod
    def subsets(self, d: int, stream: Stream) -> Int[Tensor, "s c"]:
        """Return the coordinates of each table, in order: as few numbers as are drawn, however large d is."""

    def foreseen(self, d: int, call: Call) -> Foreseen:
        """Return the subsets, as this call draws them."""
        return Foreseen(subsets=self.subsets(d, call.stream))

    def advance(self, points: Points, call: Call) -> Points:
        """Return the one combined point."""
        return points.combined(self.weights(points.tables_on_subsets()), self.pivots)


HOW = {"program", "columns"}
"""In which methods a coordinate rule says how."""


class CoordinateRule(Stage):
    """Treats every coordinate by itself: says how in a ``program``, or else in ``columns``."""

    reads = Reads.NOTHING

    def program(self, n: int) -> Program | None:
        """Return what is made of a column of n values in a way that can be compiled, if it can be said so."""
        return None

    def columns(self, values: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch c"]:
        """Return one value per column, of finite values."""
        program = self.program(values.shape[-2])
        if program is None:
            raise NotImplementedError(f"{type(self).__name__} has neither a program nor columns.")
        return reduced(program, values)

    def advance(self, points: Points, call: Call) -> Points:
        """Return the one point of reduced columns."""
        columns: Any = self.columns
        options = call.options(self)
        if self.missing:
            if options:
                raise WeightsError(
                    f"{self!r} cannot honour weights: nobody knows how much mass is missing. Leave out the "
                    "weights, or missing=True."
                )
            least = self.condition().minimum
            return points.reduced(lambda values, _: of_present(columns, values, least))
        program = self.program(points.m) if self._program_is_last_word() and not options else None
        return points.reduced(lambda values, _: columns(values, **options), program)

    def _program_is_last_word(self) -> bool:
        """Tell whether no subclass has changed ``columns`` since the program was written."""
        return next("program" in vars(kind) for kind in type(self).__mro__ if vars(kind).keys() & HOW)


class Composite(Stage):
    """A rule that *is* a chain of other stages."""

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Return the elementary stages, mixers first."""

    def outputs(self, n: int) -> int:
        """Return how many vectors come out of n."""
        for stage in self.stages():
            n = stage.outputs(n)
        return n

    def foreseen(self, d: int, call: Call) -> Foreseen:
        """Return what all stages foresee; only the last may be a rule, and plan on subsets."""
        every = [stage.foreseen(d, call.at(place)) for place, stage in enumerate(self.stages())]
        return Foreseen(max(one.level for one in every), every[-1].subsets)

    def advance(self, points: Points, call: Call) -> Points:
        """Return the points after all stages."""
        for place, stage in enumerate(self.stages()):
            points = stage.advance(points, call.at(place))
        return points


def planned(stage: Any, points: Points, call: Call) -> Tensor:
    """Return the weights that a stage plans on the table it asks for."""
    return stage.weights(points.table(stage.reads, stage.pivots), **call.options(stage))  # type: ignore[no-any-return]
