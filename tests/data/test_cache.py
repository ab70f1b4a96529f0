"""The cache of arrays: it saves work, never changes an answer, and never fails."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from varangian.data import contents, load_dataset
from varangian.errors import DataError


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the files that are really read."""
    read: list[str] = []

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Path, most: Any) -> Any:
            read.append(path.name)
            return function(path, most)

        return counted

    monkeypatch.setattr(contents, "read_file", counting(contents.read_file))
    monkeypatch.setattr(contents, "read_members", counting(contents.read_members))
    return read


def test_xz_is_unpacked_once(cifar10: Any, tmp_path: Path, unpacked: list[str], cache: Path) -> None:
    cifar10.write(tmp_path, ".xz")
    first = load_dataset(cifar10.source, tmp_path)
    assert len(unpacked) == 6
    second = load_dataset(cifar10.source, tmp_path)
    assert len(unpacked) == 6
    assert torch.equal(first.train_inputs, second.train_inputs)
    assert {file.suffix for file in (cache / "arrays").iterdir()} == {".npy"}


def test_an_archive_is_unpacked_once(cifar100: Any, tmp_path: Path, unpacked: list[str]) -> None:
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(cifar100.archive())
    first = load_dataset(cifar100.source, tmp_path)
    second = load_dataset(cifar100.source, tmp_path)
    assert unpacked == ["cifar-100-binary.tar.gz"]
    assert torch.equal(first.train_labels, second.train_labels)


def test_quick_files_are_not_kept(mnist: Any, tmp_path: Path, cache: Path) -> None:
    mnist.write(tmp_path, ".gz")
    load_dataset(mnist.source, tmp_path)
    assert not cache.exists()


def test_a_changed_file_is_read_again(cifar10: Any, tmp_path: Path, unpacked: list[str]) -> None:
    cifar10.write(tmp_path, ".xz")
    load_dataset(cifar10.source, tmp_path)
    changed = tmp_path / "test_batch.bin.xz"
    os.utime(changed, ns=(1, 1))
    load_dataset(cifar10.source, tmp_path)
    assert unpacked[6:] == [changed.name]


def _stored(array: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.save(stream, array)

    return write


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(raw)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, 1000),
    "header only": lambda path: os.truncate(path, 40),
    "one bit": _flip,
    "pickle": lambda path: path.write_bytes(pickle.dumps([1, 2, 3])),
    "objects": _stored(np.array([{"a": 1}], dtype=object)),
    "floats": _stored(np.zeros(10)),
    "short": _stored(np.zeros(3, np.uint8)),
    "two axes": _stored(np.zeros((3, 4), np.uint8)),
    "huge header": lambda path: path.write_bytes(
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999999,), }".ljust(117)
        + b"\n"
    ),
    "garbled header": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 118),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_array_is_made_again(
    cifar10: Any, tmp_path: Path, unpacked: list[str], cache: Path, damage: str
) -> None:
    cifar10.write(tmp_path, ".xz")
    first = load_dataset(cifar10.source, tmp_path)
    for kept in (cache / "arrays").iterdir():
        DAMAGES[damage](kept)
    for _ in range(2):
        again = load_dataset(cifar10.source, tmp_path)
        assert torch.equal(first.train_inputs, again.train_inputs)
    assert len(unpacked) == 12


@pytest.mark.parametrize("folder", ["file", "/proc/nowhere"])
def test_a_cache_that_cannot_be_written_is_no_error(
    cifar10: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("VARANGIAN_CACHE", str(tmp_path / folder))
    cifar10.write(tmp_path, ".xz")
    assert len(load_dataset(cifar10.source, tmp_path).train_labels) == 10


def test_a_full_disk_leaves_nothing_behind(
    cifar10: Any, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    cifar10.write(tmp_path, ".xz")
    load_dataset(cifar10.source, tmp_path)
    assert not list((cache / "arrays").iterdir())


def test_damaged_sources_are_not_kept(cifar10: Any, tmp_path: Path, cache: Path) -> None:
    cifar10.contents["data_batch_1.bin"] += b"x"
    cifar10.write(tmp_path, ".xz")
    with pytest.raises(DataError):
        load_dataset(cifar10.source, tmp_path)
    assert not cache.exists()
