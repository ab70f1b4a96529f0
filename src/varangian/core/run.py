"""Run a stage on what the caller holds: guard, measure, plan, combine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from varangian.core.blocks import InBlocks
from varangian.core.guard import admit
from varangian.core.inputs import read
from varangian.core.needs import Pivot, Reads
from varangian.core.parties import Parties, weigh
from varangian.core.points import Points
from varangian.core.randomness import Stream, as_stream
from varangian.core.room import check_apart, room_for, room_in
from varangian.core.tables import Table
from varangian.core.vectors import Vectors
from varangian.errors import InputError, WeightsError
from varangian.kernels.columns import reduce, reducible
from varangian.kernels.combine import combinable, combined, reduced_mix, reducible_mix
from varangian.kernels.firsts import put_firsts
from varangian.kernels.lanes import lanes_instead_of_threads
from varangian.kernels.rows import Block, Rows

if TYPE_CHECKING:
    from varangian.core.stages import Stage


@dataclass(frozen=True, eq=False)
class Aggregation:
    """The result of one call, with what was learned on the way.

    ``value`` is the aggregate in the caller's kind. ``state`` goes into the next call of a rule with
    memory. ``nonfinite`` counts the NaN and infinite coordinates of every vector, ``(*batch, n)``: they
    were read as zero, or left out where the rule says so. Float64 numbers beyond 1e140 were read as that, so
    that no square overflows. ``weights`` is what each vector weighs in the result, ``(*batch, n)`` (a row per
    output for a mixer), or None where coordinates decide one by one. ``reads`` counts the passes over the
    vectors.
    """

    value: Any
    state: Any
    nonfinite: Tensor
    weights: Tensor | None
    reads: int

    @property
    def suspects(self) -> Tensor:
        """Mark the vectors that arrived with a NaN or an infinite coordinate, ``(*batch, n)``."""
        return self.nonfinite > 0


@dataclass(frozen=True, eq=False)
class Call:
    """What one call brings for every stage: the parties' weights and a random stream."""

    parties: Parties | None = None
    stream: Stream = field(default_factory=Stream)

    def at(self, place: int) -> Call:
        """Return the call as the stage at this place sees it, with random numbers of its own."""
        return Call(self.parties, self.stream.at("stage", place=place))

    def options(self, stage: Stage) -> dict[str, Any]:
        """Return what the stage asks for besides the table."""
        options: dict[str, Any] = {}
        if stage.weighted and self.parties is not None:
            options["parties"] = self.parties
        if stage.randomised:
            options["stream"] = self.stream
        return options


@lanes_instead_of_threads()  # plans are many small operations, for which no thread is worth waking
def aggregate(
    stage: Stage,
    x: Any,
    *,
    state: Any,
    weights: Any,
    cap: float | None,
    mass: float | None,
    pivot: Any,
    stream: Stream,
    out: Any = None,
) -> Aggregation:
    """Run a stage, or a chain of them, on n vectors; see ``Stage.aggregate``."""
    vectors = read(x)
    wanted = _wanted(stage)
    rows, points = _planned(stage, vectors, wanted, state, (weights, cap, mass), pivot, stream)
    many = stage.stages()[-1].mixes
    outputs = room_for(points, many) if out is None else room_in(out, vectors, rows, many)
    _write(points, outputs, many)
    value = out
    if value is None:
        value = vectors.restore_many(outputs) if many else vectors.restore(outputs)
    carried = vectors.restore([part.clone() for part in outputs]) if Pivot.CARRIED in wanted else state
    return Aggregation(value, carried, rows.nonfinite, _shares_of_rows(points, rows, many), rows.reads)


@lanes_instead_of_threads()
def aggregate_blocks(
    stage: Stage,
    x: InBlocks,
    then: Callable[[Tensor, Tensor], None],
    *,
    weights: Any = None,
    mass: float | None = None,
    stream: Stream,
) -> None:
    """Run a rule on vectors in blocks, and hand on each block, ``(n, c)``, and what became of it, ``(c,)``.

    So the aggregate is never there whole, either. Nothing is carried over from another call.
    """
    _, points = _planned(stage, read(x), _wanted(stage), None, (weights, None, mass), None, stream)
    assert points.rows is not None
    for piece, _ in points.rows.pieces():
        block = piece.segments[0].sample
        value = block.new_empty(piece.d)
        _write_piece(points.on(piece), piece, [value], many=False)
        then(block, value)


def _wanted(stage: Stage) -> set[Pivot]:
    """Return the pivots that ride along with the vectors; a median is made of them where it is needed."""
    return {p for part in stage.stages() for p in part.pivots if p is not Pivot.MEDIAN}


def _planned(
    stage: Stage,
    vectors: Vectors,
    wanted: set[Pivot],
    state: Any,
    claims: tuple[Any, float | None, float | None],
    pivot: Any,
    stream: Stream,
) -> tuple[Rows, Points]:
    """Return the rows, and what a stage makes of them, planned and not yet written.

    ``claims`` are weights, cap and mass.
    """
    parts = stage.stages()
    extras = extra_vectors(stage, vectors, wanted, state, pivot)
    sanitise = any(part.robust for part in parts) and not any(part.missing for part in parts)
    rows = vectors.rows(list(extras.values()), sanitise=sanitise)
    admit(stage, rows.n)
    call = Call(_parties(stage, rows, *claims), stream)
    companions = [*extras, *(pivot for pivot in wanted if pivot is Pivot.ORIGIN)]
    foreseen = stage.foreseen(rows.d, call)
    return rows, stage.advance(Points(rows.n, companions, rows=rows, foreseen=foreseen), call)


@lanes_instead_of_threads()
def place(
    stage: Stage,
    table: Float[Tensor, "*batch k k"],
    n: int,
    companions: Sequence[Pivot] = (),
    stream: Stream | None = None,
) -> Points:
    """Run a stage in distance space: on squared distances of n vectors, and then of the companions.

    Raises NeedsVectors where a plan needs coordinates, or where distances alone lose precision.
    """
    admit(stage, n)
    points = Points(n, companions, table=Table(table.cpu()), known=Reads.PAIRS)
    return stage.advance(points, Call(stream=as_stream(stream)))


def extra_vectors(
    stage: Stage, vectors: Vectors, wanted: set[Pivot], state: Any, pivot: Any
) -> dict[Pivot, list[Tensor]]:
    """Return the pivots of a call that are vectors, by segment; the carried one starts at the origin.

    One that comes with the blocks of the vectors has no parts here.
    """
    extras: dict[Pivot, list[Tensor]] = {}
    if Pivot.CARRIED in wanted:
        zero = [segment.sample.new_zeros(1).expand(segment.width) for segment in vectors.segments]
        extras[Pivot.CARRIED] = zero if state is None else vectors.flatten_one(state)
    if Pivot.GIVEN in wanted:
        if pivot is None and vectors.pivoted:
            extras[Pivot.GIVEN] = []
        elif pivot is None:
            raise InputError(
                f"{stage!r} measures against a vector that you trust (the server's own, or one's own); "
                "pass it as pivot=..."
            )
        elif vectors.pivoted:
            raise InputError("A pivot comes with every block, and another as pivot=...; leave one out.")
        else:
            extras[Pivot.GIVEN] = vectors.flatten_one(pivot)
    elif pivot is not None or vectors.pivoted:
        raise InputError(f"{stage!r} uses no pivot; leave pivot= out.")
    for kind, parts in extras.items():
        if not all(bool(part.isfinite().all()) for part in parts):
            raise InputError(f"{kind.value.capitalize()} holds a NaN or an infinite value.")
    return extras


def _parties(stage: Stage, rows: Rows, weights: Any, cap: float | None, mass: float | None) -> Parties | None:
    if weights is None:
        if cap is not None or mass is not None:
            raise WeightsError("cap and mass bound the weights of the parties; pass weights= as well.")
        return None
    for part in stage.stages():
        if not part.weighted:
            raise WeightsError(
                f"{part!r} cannot honour weights. Rules that can: Average, TrimmedMean, GeometricMedian, "
                "CenteredClipping, and Clipping or AdaptiveClipping in front of them."
            )
    return weigh(weights, rows.n, stage.f or 0, cap=cap, mass=mass)


def _write(points: Points, outputs: Sequence[Tensor], many: bool) -> None:
    assert points.rows is not None
    for piece, parts in points.rows.pieces(outputs):
        if piece is not points.rows:
            check_apart(outputs, [part for segment in piece.segments for part in segment.parts])
        _write_piece(points.on(piece), piece, parts, many)


def _write_piece(points: Points, rows: Rows, outputs: Sequence[Tensor], many: bool) -> None:
    """Write what is in memory."""
    if points.program is not None and points.mix is None and reducible(rows):
        reduce(points.program, rows, outputs)
        if points.firsts is not None:
            put_firsts(rows, points.firsts, outputs)
    elif points.mix is not None and points.columns is None and combinable(rows):
        combined(rows, points.mix, outputs if many else [output[..., None, :] for output in outputs])
    elif (
        points.mix is not None
        and points.program is not None
        and points.firsts is None
        and reducible_mix(rows, points.mix.shape[-2])
    ):
        reduced_mix(points.program, rows, points.mix, outputs)
    else:

        def write(block: Block) -> None:
            values = block.values[..., : points.m, :] if many else block.values[..., 0, :]
            outputs[block.segment][..., block.start : block.stop] = values

        points.over_blocks(write)


def _shares_of_rows(points: Points, rows: Rows, many: bool) -> Tensor | None:
    if points.columns is not None or points.mix is None:
        return None
    mix = points.mix[..., : rows.n].to(rows.device)
    return mix if many else mix[..., 0, :]
