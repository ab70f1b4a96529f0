"""Counts per worker, and their picture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from varangian.core.randomness import Stream
from varangian.data import SortedShards, class_counts, draw_split
from varangian.errors import DataError, MissingExtraError, ParameterError

LABELS = torch.arange(60) % 3
SHARDS = SortedShards(1).assign(LABELS, 3, Stream(1))


def test_counts() -> None:
    assert class_counts(LABELS, SHARDS, classes=4).tolist() == [[20, 0, 0, 0], [0, 20, 0, 0], [0, 0, 20, 0]]
    assert class_counts(LABELS, [], classes=4).shape == (0, 4)


@pytest.mark.parametrize(("labels", "classes"), [(LABELS, 2), (LABELS - 1, 3)])
def test_labels_out_of_range_are_refused(labels: torch.Tensor, classes: int) -> None:
    with pytest.raises(ParameterError, match="must lie in"):
        class_counts(labels, SHARDS, classes)


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")]
)
def test_a_picture_is_drawn(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = draw_split(class_counts(LABELS, SHARDS, 3), tmp_path / f"split{suffix}")
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("shape", [(1, 1), (60, 1), (1, 100)])
def test_extreme_shapes_are_drawn(tmp_path: Path, shape: tuple[int, int]) -> None:
    assert draw_split(torch.zeros(shape, dtype=torch.int64), tmp_path / "split.svg").exists()


def test_what_cannot_be_drawn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = class_counts(LABELS, SHARDS, 3)
    with pytest.raises(ParameterError, match=r"\.png or \.svg"):
        draw_split(counts, tmp_path / "split.gif")
    with pytest.raises(ParameterError, match="nothing to draw"):
        draw_split(counts[:0], tmp_path / "split.png")
    with pytest.raises(DataError, match="cannot be written"):
        draw_split(counts, tmp_path / "nowhere" / "split.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[plot\]"):
        draw_split(counts, tmp_path / "split.png")
