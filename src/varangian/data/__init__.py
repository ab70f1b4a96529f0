"""Data: names -> samples, and samples -> the shards of the workers."""

from varangian.data.catalogue import DATASETS
from varangian.data.counts import class_counts
from varangian.data.dataset import Dataset
from varangian.data.load import load_dataset
from varangian.data.picture import draw_split
from varangian.data.source import Download, Part, Source
from varangian.data.spelling import parse_split
from varangian.data.splits import (
    IID,
    SPLITS,
    Dirichlet,
    ExplicitSizes,
    GammaSimilarity,
    Pooled,
    SortedBlocks,
    SortedShards,
    Split,
)

__all__ = [
    "DATASETS",
    "IID",
    "SPLITS",
    "Dataset",
    "Dirichlet",
    "Download",
    "ExplicitSizes",
    "GammaSimilarity",
    "Part",
    "Pooled",
    "SortedBlocks",
    "SortedShards",
    "Source",
    "Split",
    "class_counts",
    "draw_split",
    "load_dataset",
    "parse_split",
]
