"""Damage: every file that is not what it should be is refused by name, and never read past its bound."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from varangian.data import load_dataset
from varangian.errors import DataError

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


def flip(raw: bytes, place: int) -> bytes:
    return raw[:place] + bytes([raw[place] ^ 0xFF]) + raw[place + 1 :]


DAMAGED_IDX: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "truncated": (IMAGES, lambda raw: raw[:-1], "is truncated: it holds 4719 bytes; 4720"),
    "empty": (IMAGES, lambda raw: b"", "magic number 0"),
    "three bytes": (IMAGES, lambda raw: raw[:3], "magic number"),
    "too long": (IMAGES, lambda raw: raw + b"x", "more than the 4720 bytes"),
    "magic": (IMAGES, lambda raw: flip(raw, 2), "magic number"),
    "labels as images": (IMAGES, lambda raw: struct.pack(">2I", 2049, 6) + raw[8:], "magic number 2049"),
    "more samples": (IMAGES, lambda raw: raw[:4] + struct.pack(">I", 2**32 - 1) + raw[8:], "4294967295"),
    "label": (LABELS, lambda raw: raw[:-1] + b"\x0a", r"label 10; they must lie in 0\.\.9"),
}


@pytest.mark.parametrize("name", DAMAGED_IDX)
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_damaged_idx(mnist: Any, tmp_path: Path, name: str, suffix: str) -> None:
    part, damage, match = DAMAGED_IDX[name]
    mnist.contents[part] = damage(mnist.contents[part])
    mnist.write(tmp_path, suffix)
    with pytest.raises(DataError, match=match) as caught:
        load_dataset(mnist.source, tmp_path)
    assert str(tmp_path / part) in str(caught.value)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("damage", ["truncated", "header", "middle", "end", "empty", "not compressed"])
def test_damaged_compression(mnist: Any, tmp_path: Path, suffix: str, damage: str) -> None:
    mnist.write(tmp_path, suffix)
    path = tmp_path / (IMAGES + suffix)
    raw = path.read_bytes()
    path.write_bytes(
        {
            "truncated": raw[: len(raw) // 2],
            "header": flip(raw, 0),
            "middle": flip(raw, len(raw) // 2),
            "end": flip(raw, len(raw) - 6),
            "empty": b"",
            "not compressed": mnist.contents[IMAGES],
        }[damage]
    )
    with pytest.raises(DataError) as caught:
        load_dataset(mnist.source, tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_bomb_is_not_unpacked(mnist: Any, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    mnist.write(tmp_path, ".gz" if pack is gzip.compress else ".xz")
    (path,) = tmp_path.glob(f"{LABELS}.*")
    path.write_bytes(pack(bytes(100_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError, match="more than the 14 bytes"):
        load_dataset(mnist.source, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda raw: raw[:-1], "is truncated"),
        (lambda raw: raw + raw, "more than"),
        (lambda raw: b"\xff" + raw[1:], "label 255; they must lie in"),
        (lambda raw: raw[:1] + b"\xff" + raw[2:], None),
    ],
)
def test_damaged_cifar(
    name: str,
    damage: Callable[[bytes], bytes],
    match: str | None,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    made = request.getfixturevalue(name)
    first = next(iter(made.contents))
    made.contents[first] = damage(made.contents[first])
    made.write(tmp_path)
    if match is None and name == "cifar10":  # the second byte is a pixel there
        load_dataset(made.source, tmp_path)
        return
    with pytest.raises(DataError, match=match or r"label 255; they must lie in 0\.\.99"):
        load_dataset(made.source, tmp_path)


def archive_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def member(name: str, content: bytes, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


TRAIN = "cifar-100-binary/train.bin"
DAMAGED_ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda raw: raw[: len(raw) // 2], "truncated|corrupted"),
    "flipped": (lambda raw: flip(raw, len(raw) // 2), "truncated|corrupted"),
    "checksum": (lambda raw: flip(raw, len(raw) - 6), "corrupted"),
    "empty": (lambda raw: b"", "corrupted|truncated"),
    "no tar": (lambda raw: gzip.compress(b"x" * 2000), "corrupted"),
    "lacks all": (
        lambda raw: archive_of(member("other", b"x")),
        "lacks cifar-100-binary/test.bin, cifar-100",
    ),
    "link": (
        lambda raw: archive_of(member(TRAIN, b"", type=tarfile.SYMTYPE, linkname="/etc/hostname")),
        "expected a plain file",
    ),
    "device": (lambda raw: archive_of(member(TRAIN, b"", type=tarfile.FIFOTYPE)), "expected a plain file"),
    "large member": (lambda raw: archive_of(member(TRAIN, bytes(100_000))), "at most 15370 bytes"),
    "bomb beside": (lambda raw: archive_of(member("other", bytes(50_000_000))), "decompresses to more than"),
    "bomb of a name": (lambda raw: archive_of(member("a" * 20_000_000, b"")), "decompresses to more than"),
}


@pytest.mark.parametrize("name", DAMAGED_ARCHIVES)
def test_damaged_archive(cifar100: Any, tmp_path: Path, name: str) -> None:
    damage, match = DAMAGED_ARCHIVES[name]
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(damage(cifar100.archive()))
    with pytest.raises(DataError, match=match) as caught:
        load_dataset(cifar100.source, tmp_path)
    assert str(path) in str(caught.value)


DAMAGED_TEXTS = {
    "index 0": (b"1 0:1\n-1 2:1\n1\n", "line 1: index 0"),
    "index 69": (b"1 1:1\n-1 69:1\n1\n", "line 2: index 69"),
    "negative index": (b"1 -1:1\n-1 2:1\n1\n", "line 1: index -1"),
    "repeated": (b"1 1:1 1:1\n-1 2:1\n1\n", "line 1: index 1 follows index 1"),
    "falling": (b"1 2:1 1:1\n-1 2:1\n1\n", "line 1: index 1 follows index 2"),
    "no colon": (b"1 2\n-1 2:1\n1\n", "line 1"),
    "no value": (b"1 2:\n-1 2:1\n1\n", "line 1"),
    "no number": (b"1 2:x\n-1 2:1\n1\n", "line 1"),
    "infinite": (b"1 2:inf\n-1 2:1\n1\n", "line 1: value inf"),
    "nan": (b"1 2:nan\n-1 2:1\n1\n", "line 1: value nan"),
    "beyond float32": (b"1 2:1e300\n-1 2:1\n1\n", "line 1: value 1e300"),
    "no label": (b"a 2:1\n-1 2:1\n1\n", "line 1"),
    "blank line": (b"1 2:1\n\n1\n", "line 2"),
    "fewer lines": (b"1 2:1\n-1 2:1\n", "2 lines; 3"),
    "more lines": (b"1 2:1\n-1 2:1\n1\n1\n", "4 lines; 3"),
    "one class": (b"1 2:1\n1 2:1\n1\n", "1 distinct labels"),
    "three classes": (b"1 2:1\n2 2:1\n3\n", "3 distinct labels"),
    "label nan": (b"nan 2:1\n1 2:1\n1\n", "finite"),
    "binary": (b"1 2:1\n-1 \xff\n1\n", "no plain text"),
    "too long": (b"1 2:1\n-1 2:1\n1\n" + b" " * 100, "more than"),
}


@pytest.mark.parametrize("name", DAMAGED_TEXTS)
def test_damaged_text(phishing: Any, tmp_path: Path, name: str) -> None:
    text, match = DAMAGED_TEXTS[name]
    (tmp_path / "phishing").write_bytes(text)
    with pytest.raises(DataError, match=match):
        load_dataset(phishing.source, tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_a_folder_in_place_of_a_file(mnist: Any, tmp_path: Path, suffix: str) -> None:
    mnist.write(tmp_path, suffix)
    path = tmp_path / (LABELS + suffix)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="is a folder"):
        load_dataset(mnist.source, tmp_path)


def test_a_broken_link(mnist: Any, tmp_path: Path) -> None:
    mnist.write(tmp_path)
    path = tmp_path / LABELS
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_dataset(mnist.source, tmp_path)


def test_a_file_that_may_not_be_read(mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist.write(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a superuser may read whatever the file's mode says
    with pytest.raises(DataError, match="train-images-idx3-ubyte cannot be read: Permission denied"):
        load_dataset(mnist.source, tmp_path)
