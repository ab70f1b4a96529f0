"""Mixers: received vectors -> mixed vectors, for a rule to aggregate."""

from varangian.core.stages import Mixer
from varangian.mixers.bucketing import Bucketing
from varangian.mixers.clipping import AdaptiveClipping, Clipping
from varangian.mixers.nearest_neighbors import NearestNeighborMixing

MIXERS: tuple[type[Mixer], ...] = (NearestNeighborMixing, Bucketing, Clipping, AdaptiveClipping)
"""The catalogue of mixers."""

__all__ = ["MIXERS", "AdaptiveClipping", "Bucketing", "Clipping", "NearestNeighborMixing"]
