"""The published files themselves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from varangian.data import load_dataset

pytestmark = pytest.mark.real_data


@pytest.mark.parametrize(
    ("name", "shape", "train", "test"),
    [
        ("mnist", (1, 28, 28), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], 10000),
        ("fashion-mnist", (1, 28, 28), [6000] * 10, 10000),
        ("cifar10", (3, 32, 32), [5000] * 10, 10000),
    ],
)
def test_images(real_data: Path, name: str, shape: tuple[int, ...], train: list[int], test: int) -> None:
    data = load_dataset(name, real_data)
    assert data.input_shape == shape
    assert data.train_labels.bincount().tolist() == train
    assert len(data.test_labels) == test
    channels = data.train_inputs.double()
    assert channels.mean((0, 2, 3)).abs().max() < 1e-3
    assert (channels.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_cifar10_is_quick_the_second_time(real_data: Path) -> None:
    first = load_dataset("cifar10", real_data)
    start = time.monotonic()
    second = load_dataset("cifar10", real_data)
    assert time.monotonic() - start < 5
    assert torch.equal(first.train_inputs, second.train_inputs)


def test_phishing(real_data: Path) -> None:
    data = load_dataset("phishing", real_data)
    assert (len(data.train_labels), len(data.test_labels)) == (8400, 2655)
    counts = data.train_labels.bincount() + data.test_labels.bincount()
    assert counts.tolist() == [4898, 6157]
    assert (data.train_inputs != 0).sum(1).unique().tolist() == [30]
    torch.testing.assert_close(data.train_inputs.norm(dim=1), torch.ones(8400), atol=1e-4, rtol=0)


def test_files_of_another_data_set_are_refused(real_data: Path) -> None:
    with pytest.raises(OSError, match="not the published file"):
        load_dataset("mnist", real_data / "fashion-mnist")
