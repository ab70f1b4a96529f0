"""What an attack is: it declares what it may see, and forges b vectors from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from varangian.attacks.options import read_options
from varangian.core.checks import check_count, check_flags
from varangian.core.citations import Reference
from varangian.core.inputs import read
from varangian.core.moments import Moments
from varangian.core.randomness import Stream, as_stream
from varangian.core.stages import Stage
from varangian.core.values import Value
from varangian.errors import InputError, ParameterError
from varangian.kernels.rows import LARGEST


class Sight(IntEnum):
    """How much an attack sees; each level includes the ones before."""

    NOTHING = 0
    OWN = 1
    HONEST = 2
    RULE = 3


@dataclass(frozen=True, eq=False)
class Scene:
    """What a round shows: the honest vectors as sent, how many to forge, and the server's side.

    ``options`` is what the server passes along with the vectors (state, pivot, stream, weights); only
    attacks that see the rule read it. ``moments`` are those of the honest vectors, where they are known.
    ``widths`` says how many coordinates are sent in which dtype, where that is not the dtype they have here.
    """

    honest: Float[Tensor, "*batch h d"]
    b: int
    rule: Stage | None = None
    stream: Stream = field(default_factory=Stream)
    state: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    moments: Moments | None = None
    widths: Sequence[tuple[int, torch.dtype]] = ()

    @property
    def n(self) -> int:
        """Return the number of vectors that the server will receive."""
        return self.honest.shape[-2] + self.b

    @cached_property
    def spread(self) -> Moments:
        """Return the moments of the honest vectors, by one read unless they are known."""
        if self.moments is not None:
            return self.moments
        return Moments.of(self.honest, wide=True)

    @property
    def mean(self) -> Float[Tensor, "*batch d"]:
        """Return the mean of the honest vectors, in float64."""
        return self.spread.mean.double()

    @property
    def deviation(self) -> Float[Tensor, "*batch d"]:
        """Return their standard deviation per coordinate (h - 1 in the denominator), in float64."""
        return self.spread.deviation.double()

    def bounded(self) -> Scene:
        """Return the scene with the honest vectors as rules clamp them, so that no square overflows."""
        if self.honest.dtype != torch.float64:
            return self
        known = self.spread
        norms = known.squares.sum() + known.count * known.mean.square().sum()
        if bool(norms <= LARGEST**2):  # so is every number in them
            return self
        return replace(self, honest=self.honest.clamp(-LARGEST, LARGEST), moments=None)

    @property
    def kinds(self) -> tuple[torch.dtype, ...]:
        """Return the dtypes that are sent."""
        return tuple({kind: None for _, kind in self.widths}) or (self.honest.dtype,)

    @property
    def eps(self) -> float:
        """Return by how much, relatively, neighbouring numbers differ where that is most."""
        return max(torch.finfo(kind).eps for kind in self.kinds)

    @property
    def largest(self) -> Float[Tensor, " #d"]:
        """Return the largest number that can be sent in each coordinate."""
        widths = self.widths or [(1, self.honest.dtype)]
        most = [
            self.honest.new_full((width,), torch.finfo(kind).max, dtype=torch.float64)
            for width, kind in widths
        ]
        return torch.cat(most)

    def sent(self, vectors: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch k d"]:
        """Return vectors as they arrive, rounded to the dtype that is sent."""
        if len(self.kinds) == 1:
            return vectors.to(self.kinds[0])
        parts = vectors.split([width for width, _ in self.widths], dim=-1)
        rounded = [part.to(kind) for part, (_, kind) in zip(parts, self.widths, strict=True)]
        return torch.cat([part.to(self.honest.dtype) for part in rounded], dim=-1)

    def target(self, attack: object) -> Stage:
        """Return the rule under attack. Raises ParameterError where there is none that ends in one vector."""
        rule: Any = self.rule
        if rule is None:
            raise ParameterError(f"{attack!r} works on the rule it attacks; pass rule=...")
        if not isinstance(rule, Stage):
            raise ParameterError(f"{attack!r} received rule={rule!r}; pass a rule, Median(f=1) for instance.")
        if rule.stages()[-1].mixes:
            raise ParameterError(
                f"{rule!r} returns many vectors; end it with a rule, Average() for instance."
            )
        return rule


@dataclass(frozen=True, eq=False)
class Forgery:
    """What an attack sends, in the caller's kind, and what it remembers for the next round."""

    value: Any
    state: Any


class Attack(Value, ABC):
    """A way to lie, as a frozen dataclass whose fields are its parameters."""

    sees: ClassVar[Sight] = Sight.HONEST
    memory: ClassVar[type | None] = None
    """The dataclass of tensors and numbers that the attack carries from round to round, if any."""
    randomised: ClassVar[bool] = False
    short_names: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[Reference | None] = None

    def __post_init__(self) -> None:
        check_flags(self)
        self.validate()

    def validate(self) -> None:
        """Refuse impossible fields; called when the attack is made. Raises ParameterError."""

    @abstractmethod
    def vectors(self, scene: Scene) -> tuple[Float[Tensor, "*batch b d"], Any]:
        """Return the forged vectors, and the state for the next round."""

    def forge(
        self,
        honest: Any,
        b: int,
        *,
        rule: Stage | None = None,
        stream: Stream | None = None,
        state: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> Forgery:
        """Return b forged vectors for the honest ones as sent, with the attack's memory.

        Shape       (*batch, h, d) -> (*batch, b, d); a list of h vectors -> a list of b
        State       the ``state`` of the last call's Forgery; None at first
        Randomness  from ``stream`` alone
        Raises      ParameterError for an impossible b, or a rule that is none; InputError for bad vectors,
                    options or streams
        """
        check_count(self, "b", b, least=0)
        known, stream = read_options(options), as_stream(stream)
        vectors = read(honest)
        if vectors.outlined:
            raise InputError("Vectors in blocks can be aggregated, not attacked; pass them as one array.")
        parts = [segment.columns(0, segment.width) for segment in vectors.segments]
        matrix = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        if b == 0:
            forged, after = matrix[..., :0, :], state
        else:
            for name in ("state", "pivot"):
                if known.get(name) is not None:
                    known[name] = torch.cat(vectors.flatten_one(known[name]), dim=-1)
            widths = [(segment.width, segment.sample.dtype) for segment in vectors.segments]
            forged, after = self.vectors(Scene(matrix, b, rule, stream, state, known, widths=widths))
        pieces = forged.split([segment.width for segment in vectors.segments], dim=-1)
        cast = [piece.to(s.sample.dtype) for piece, s in zip(pieces, vectors.segments, strict=True)]
        return Forgery(vectors.restore_many([piece.contiguous() for piece in cast]), after)

    def __call__(self, honest: Any, b: int, **options: Any) -> Any:
        """Return b forged vectors in the kind, dtype and device of the honest ones; see ``forge``."""
        return self.forge(honest, b, **options).value


class DataAttack(Attack):
    """Poisons the liars' own data; they then follow the protocol."""

    sees = Sight.OWN

    @abstractmethod
    def poison(
        self,
        inputs: Float[Tensor, "samples ..."],
        labels: Int[Tensor, " samples"],
        classes: int,
        stream: Stream,
    ) -> tuple[Tensor, Tensor]:
        """Return the poisoned inputs and labels."""

    def vectors(self, scene: Scene) -> tuple[Tensor, Any]:
        """Refuse: there are no vectors to forge."""
        raise ParameterError(
            f"{self!r} poisons data, not vectors: call poison(inputs, labels, classes, stream) "
            "and let the liars compute their gradients."
        )


def repeat(vector: Float[Tensor, "*batch d"], b: int) -> Float[Tensor, "*batch b d"]:
    """Return b copies, as a view."""
    return vector[..., None, :].expand(*vector.shape[:-1], b, vector.shape[-1])
