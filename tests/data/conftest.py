"""Small files in the published formats, and a cache folder that is nobody's."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from varangian.data import Source
from varangian.data.catalogue import CIFAR10, CIFAR100, MNIST, PHISHING
from varangian.data.source import Part


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the cache to an empty folder, and the data folder to none."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("VARANGIAN_CACHE", str(folder))
    monkeypatch.delenv("VARANGIAN_DATA", raising=False)
    return folder


@dataclass(frozen=True, eq=False)
class Small:
    """A source of a few samples, and the content of its parts."""

    source: Source
    contents: dict[str, bytes]

    def write(self, folder: Path, suffix: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pack = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
        for name, content in self.contents.items():
            (folder / f"{name}{suffix}").write_bytes(pack(content))

    def archive(self, prefix: str = "") -> bytes:
        assert self.source.archive
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, content in [("readme.html", b"<html>"), *reversed(self.contents.items())]:
                member = tarfile.TarInfo(f"{prefix}{self.source.archive.folder}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return packed.getvalue()


def small(source: Source, contents: dict[str, bytes], train: int, test: int, **fields: object) -> Small:
    parts = tuple(Part(name, max(len(content), 1)) for name, content in contents.items())
    return Small(replace(source, train_size=train, test_size=test, parts=parts, **fields), contents)


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist() -> Small:
    random = np.random.default_rng(1)
    arrays = [
        random.integers(0, 256, (6, 28, 28)),
        np.arange(6),
        random.integers(0, 256, (4, 28, 28)),
        np.arange(4),
    ]
    names = [part.name for part in MNIST.parts]
    return small(MNIST, {name: idx(array) for name, array in zip(names, arrays, strict=True)}, 6, 4)


def records(count: int, label_bytes: int, first: int) -> bytes:
    random = np.random.default_rng(first)
    rows = random.integers(0, 256, (count, label_bytes + 3072), dtype=np.uint8)
    for place in range(label_bytes):
        rows[:, place] = (first + np.arange(count) + place) % 10
    return rows.tobytes()


@pytest.fixture
def cifar10() -> Small:
    names = [part.name for part in CIFAR10.parts]
    return small(CIFAR10, {name: records(2, 1, 2 * i) for i, name in enumerate(names)}, 10, 2)


@pytest.fixture
def cifar100() -> Small:
    return small(CIFAR100, {"train.bin": records(5, 2, 0), "test.bin": records(3, 2, 5)}, 5, 3)


@pytest.fixture
def phishing() -> Small:
    text = "1 1:0.18257 4:0.18257 68:0.18257 \n-1 2:-1.5\n+1\n"
    return small(PHISHING, {"phishing": text.encode()}, 2, 1)
