"""Federation: what clients return in a round -> the next model, in no framework's types."""

from varangian.federation.nvflare import NVFlareAggregator
from varangian.federation.openfl import OpenFLAggregation
from varangian.federation.record import ClientRecord, append_lines, as_table
from varangian.federation.round import Outcome, Round

__all__ = [
    "ClientRecord",
    "NVFlareAggregator",
    "OpenFLAggregation",
    "Outcome",
    "Round",
    "append_lines",
    "as_table",
]
