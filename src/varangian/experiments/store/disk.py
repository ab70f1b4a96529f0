"""Files that are there whole or not at all, and what to say where the disk does not play along."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from varangian.errors import DataError

KEPT = "Nothing that was finished is lost: mend that (or name another store) and do the same again."


@contextmanager
def told(path: Path, deed: str, cure: str) -> Iterator[None]:
    """Turn what the system refuses into a DataError that names the file, the reason and the cure."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be {deed}: {error.strerror or error}. {cure}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell why something cannot be written, and that nothing is lost."""
    with told(path, "written", KEPT):
        yield


def publish(staging: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder of files that nobody ever sees half written: beside it first, flushed, then renamed.

    What stands in ``staging`` is a leftover and is removed; the caller holds the lock that says so.
    """
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir()
        for name, content in files.items():
            with open(staging / name, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        flush_folder(staging)
        os.rename(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
