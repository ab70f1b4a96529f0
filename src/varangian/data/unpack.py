"""Bytes out of files, decompressed, and never more of them than are expected."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from varangian.errors import DataError

_ARCHIVE_OVERHEAD = 4 << 20  # headers, padding and the few small texts beside the parts
_CHUNK = 1 << 20
_CURE = "Replace it by the published file."


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a file, decompressed as its suffix says; refuse more than ``most`` bytes."""
    with _blaming(path), _open(path) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise DataError(f"{path} holds more than the {most} bytes expected; it is not the published file.")
    return content


def read_members(path: Path, most: Mapping[str, int]) -> dict[str, bytes]:
    """Return some members of a .tar.gz, in one pass and without writing any; each has a most of bytes."""
    contents: dict[str, bytes] = {}
    with _blaming(path), gzip.open(path, "rb") as stream:
        bounded = _Bounded(stream, path, sum(most.values()) + _ARCHIVE_OVERHEAD)
        with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name not in most or name in contents:
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or member.size > most[name]:
                    raise DataError(
                        f"{path}: {name} is a {member.size} byte entry of type {member.type!r}; "
                        f"expected a plain file of at most {most[name]} bytes."
                    )
                contents[name] = content.read(most[name] + 1)
        while bounded.read(_CHUNK):  # only at its end does gzip compare its checksum
            pass
    if missing := sorted(most.keys() - contents.keys()):
        raise DataError(f"{path} lacks {', '.join(missing)}. {_CURE}")
    return contents


def _open(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path)
    return lzma.open(path) if path.suffix == ".xz" else path.open("rb")


class _Bounded:
    """A stream that refuses to give more than a number of bytes, whatever an archive's headers ask for."""

    def __init__(self, stream: io.BufferedIOBase, path: Path, most: int) -> None:
        self.stream, self.path, self.most, self.left = stream, path, most, most

    def read(self, size: int) -> bytes:
        block = self.stream.read(min(size, self.left + 1))
        self.left -= len(block)
        if self.left < 0:
            raise DataError(
                f"{self.path} decompresses to more than the {self.most} bytes expected; "
                "it is not the published archive."
            )
        return block


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one error that names the file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; a file is expected there.")
    try:
        yield
    except DataError:
        raise
    except EOFError as error:
        raise DataError(f"{path} is truncated: it ends within its compressed content. {_CURE}") from error
    except (gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path} is corrupted: {error}. {_CURE}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
