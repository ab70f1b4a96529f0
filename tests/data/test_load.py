"""Loading: every published form of every file, where files are looked for, and what the arrays hold."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from varangian.data import DATASETS, Dataset, load_dataset
from varangian.errors import DataError, MissingExtraError, UnknownNameError


def test_digits_are_split_by_class() -> None:
    data = load_dataset("digits")
    assert (len(data.train_labels), len(data.test_labels)) == (1437, 360)
    assert data.input_shape == (1, 8, 8)
    assert data.train_inputs.dtype == torch.float32
    assert abs(data.train_inputs.mean()) < 1e-3
    assert abs(data.train_inputs.std() - 1) < 1e-3
    counts = torch.stack([data.train_labels.bincount(), data.test_labels.bincount()])
    assert (counts[0] / counts.sum(0) - 0.8).abs().max() < 0.01
    again = load_dataset("DIGITS")
    assert torch.equal(again.test_inputs, data.test_inputs)


def test_digits_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"varangian\[data\]"):
        load_dataset("digits")


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("below", [".", "mnist"])
def test_mnist_as_published(mnist: Any, tmp_path: Path, suffix: str, below: str) -> None:
    mnist.write(tmp_path / below, suffix)
    data = load_dataset(mnist.source, tmp_path)
    assert data.train_inputs.shape == (6, 1, 28, 28)
    assert data.train_labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.test_labels.tolist() == [0, 1, 2, 3]
    pixels = np.frombuffer(mnist.contents["t10k-images-idx3-ubyte"][16:], np.uint8).reshape(4, 1, 28, 28)
    expected = (torch.from_numpy(pixels / 255).float() - 0.1307) / 0.3081
    torch.testing.assert_close(data.test_inputs, expected)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("form", ["raw", ".xz", ".gz", "unpacked", "archive", "archive with ./"])
def test_cifar_as_published(name: str, form: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(name)
    archive = made.source.archive
    if form.startswith("archive"):
        (tmp_path / archive.name).write_bytes(made.archive("./" if "./" in form else ""))
    elif form == "unpacked":
        made.write(tmp_path / archive.folder)
    else:
        made.write(tmp_path, form.removeprefix("raw"))
    listing = sorted(tmp_path.rglob("*"))
    data = load_dataset(made.source, tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts) == listing

    labels = 2 if made.source.coarse_classes else 1
    *train, test = made.contents.values()
    rows = np.frombuffer(b"".join(train), np.uint8).reshape(-1, labels + 3072)
    assert data.train_labels.tolist() == rows[:, labels - 1].tolist()
    assert data.test_labels.tolist() == [*test[labels - 1 :: labels + 3072]]
    pixels = torch.from_numpy(rows[:, labels:].reshape(-1, 3, 32, 32) / 255).float()
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (made.source.mean, made.source.std))
    torch.testing.assert_close(data.train_inputs, (pixels - mean) / std)
    assert data.classes == made.source.classes


def test_phishing_as_published(phishing: Any, tmp_path: Path) -> None:
    phishing.write(tmp_path)
    data = load_dataset(phishing.source, tmp_path)
    assert data.input_shape == (68,)
    assert data.train_labels.tolist() == [1, 0]
    assert data.test_labels.tolist() == [1]
    assert data.train_inputs[0].nonzero().flatten().tolist() == [0, 3, 67]
    assert data.train_inputs[1, 1] == -1.5
    assert not data.test_inputs.any()


def test_environment_names_the_folder(mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist.write(tmp_path / "here")
    monkeypatch.setenv("VARANGIAN_DATA", str(tmp_path / "here"))
    assert len(load_dataset(mnist.source).train_labels) == 6
    with pytest.raises(DataError, match="Looked in"):
        load_dataset(mnist.source, tmp_path / "elsewhere")


def test_files_put_into_the_cache_are_found(mnist: Any, cache: Path) -> None:
    mnist.write(cache / "mnist")
    assert len(load_dataset(mnist.source).train_labels) == 6


def test_parts_may_lie_in_two_folders(mnist: Any, tmp_path: Path) -> None:
    mnist.write(tmp_path)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "mnist" / "t10k-labels-idx1-ubyte")
    assert len(load_dataset(mnist.source, tmp_path).test_labels) == 4


def test_missing_files_are_named_and_nothing_is_fetched(
    mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist.write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte") as caught:
        load_dataset(mnist.source, tmp_path)
    for told in (str(tmp_path / "mnist"), "VARANGIAN_DATA", "Put them there"):
        assert told in str(caught.value)
    assert "train-images" not in str(caught.value)


def test_another_data_sets_files_are_refused(mnist: Any, tmp_path: Path) -> None:
    mnist.write(tmp_path)
    first = replace(mnist.source.parts[0], sha256="0" * 64)
    strict = replace(mnist.source, parts=(first, *mnist.source.parts[1:]))
    with pytest.raises(DataError, match="not the published file: the sha256"):
        load_dataset(strict, tmp_path)


def test_unknown_name_suggests() -> None:
    with pytest.raises(UnknownNameError, match="fashion-mnist"):
        load_dataset("fashionmnist")


def test_catalogue_is_consistent() -> None:
    assert [source.name for source in DATASETS] == [
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "cifar100",
        "phishing",
    ]
    for source in DATASETS:
        assert len(source.mean) == len(source.std)
        assert not source.mean or len(source.mean) == source.input_shape[0]
        assert all(":" in download.checksum and download.urls for download in source.downloads)
        assert source.reference.bibtex()


@pytest.mark.parametrize(
    ("labels", "inputs", "match"),
    [
        (torch.tensor([0, 5]), torch.zeros(2, 3), r"0\.\.5"),
        (torch.tensor([0, -1]), torch.zeros(2, 3), r"-1\.\.0"),
        (torch.tensor([0]), torch.zeros(2, 3), "one label for each"),
        (torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3), "at least one"),
        (torch.tensor([0, 1]), torch.zeros(2, 4), "one model"),
    ],
)
def test_dataset_checks_what_it_holds(labels: torch.Tensor, inputs: torch.Tensor, match: str) -> None:
    good = (torch.zeros(2, 3), torch.tensor([0, 1]))
    with pytest.raises(DataError, match=match):
        Dataset("x", *good, inputs, labels, classes=2)


def test_dataset_is_not_compared_by_value() -> None:
    part = (torch.zeros(2, 3), torch.tensor([0, 1]))
    one, other = Dataset("x", *part, *part, classes=2), Dataset("x", *part, *part, classes=2)
    assert one != other
