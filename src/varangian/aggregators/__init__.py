"""Aggregators: received vectors -> one aggregated vector."""

from varangian.aggregators.average import Average
from varangian.aggregators.bulyan import Bulyan, BulyanSelection, MultiBulyan, MultiBulyanSelection
from varangian.aggregators.caf import CAF
from varangian.aggregators.centered_clipping import CenteredClipping
from varangian.aggregators.condense import Condense
from varangian.aggregators.dnc import DnC
from varangian.aggregators.fltrust import CosineTrust, FLTrust, NormMatching
from varangian.aggregators.geometric_median import GeometricMedian
from varangian.aggregators.krum import Krum, MultiKrum
from varangian.aggregators.mda import MinimumDiameterAveraging
from varangian.aggregators.mean_around import MeanAroundMedian, Phocas
from varangian.aggregators.median import Median
from varangian.aggregators.nearest import Aksel, ComparativeGradientElimination, MoNNA
from varangian.aggregators.signs import SignMajority
from varangian.aggregators.smea import SMEA
from varangian.aggregators.trimmed_mean import TrimmedMean
from varangian.core.stages import Stage

RULES: tuple[type[Stage], ...] = (
    Average,
    Median,
    TrimmedMean,
    MeanAroundMedian,
    Phocas,
    Krum,
    MultiKrum,
    Bulyan,
    MultiBulyan,
    MinimumDiameterAveraging,
    Aksel,
    ComparativeGradientElimination,
    GeometricMedian,
    CenteredClipping,
    MoNNA,
    SMEA,
    CAF,
    DnC,
    FLTrust,
    SignMajority,
    Condense,
)
"""The catalogue of rules."""

HALVES: tuple[type[Stage], ...] = (BulyanSelection, MultiBulyanSelection, NormMatching, CosineTrust)
"""Stages that live with the rule they are a half of."""

__all__ = [
    "CAF",
    "HALVES",
    "RULES",
    "SMEA",
    "Aksel",
    "Average",
    "Bulyan",
    "BulyanSelection",
    "CenteredClipping",
    "ComparativeGradientElimination",
    "Condense",
    "CosineTrust",
    "DnC",
    "FLTrust",
    "GeometricMedian",
    "Krum",
    "MeanAroundMedian",
    "Median",
    "MinimumDiameterAveraging",
    "MoNNA",
    "MultiBulyan",
    "MultiBulyanSelection",
    "MultiKrum",
    "NormMatching",
    "Phocas",
    "SignMajority",
    "TrimmedMean",
]
