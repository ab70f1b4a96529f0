"""What a stage needs to know of the vectors before it can plan."""

from enum import Enum, IntEnum
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor


class Reads(IntEnum):
    """What a stage must know before it can plan; each level includes the ones below."""

    NOTHING = 0
    NORMS = 1
    PIVOTS = 2
    PAIRS = 3


class Pivot(Enum):
    """A further vector that a stage measures against, appended to the table after the rows."""

    CARRIED = "the output carried over from the last call"
    GIVEN = "the trusted vector given with the call"
    ORIGIN = "the zero vector"
    MEDIAN = "the coordinate-wise median of the vectors"


class Foreseen(NamedTuple):
    """What stages are known to ask for before any read, so that the first brings it all.

    ``level`` is of the table; ``subsets`` are those of the coordinates that a rule plans on, in order.
    """

    level: Reads = Reads.NOTHING
    subsets: Int[Tensor, "s c"] | None = None


class NeedsVectors(Exception):  # noqa: N818 (no error, a change of plan)
    """A plan in distance space alone would lose precision, or needs the coordinates."""
