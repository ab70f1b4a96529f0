"""Locks on files, which the system opens when their holder ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from varangian.errors import DataError


class Lock:
    """A lock that this process holds on a file; ``release`` it, or end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path, *, wait: bool) -> Lock | None:
        """Return the lock; None if somebody else holds it and ``wait`` is not asked, or if the file is gone.

        Raises      OSError where no lock can be had; DataError on a system without such locks
        """
        try:
            from fcntl import LOCK_EX, LOCK_NB, flock
        except ImportError:
            raise DataError(
                "Writing to a store needs file locks of Linux or macOS, which this system lacks. "
                "On Windows, work in WSL."
            ) from None
        try:
            file = open(path, "r+b")  # noqa: SIM115 - the lock lives as long as the file is open
        except FileNotFoundError:
            return None
        try:
            flock(file, LOCK_EX if wait else LOCK_EX | LOCK_NB)
        except BaseException as error:
            file.close()
            if isinstance(error, BlockingIOError):
                return None
            raise
        if _same(file, path):
            return cls(file)
        file.close()  # whoever held it removed the file with what it guarded
        return None

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, which is made if need be, as soon as nobody else does."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o666))
    lock = Lock.take(path, wait=True)
    if lock is None:
        raise DataError(
            f"{path} was removed while it was in use. Leave a store's files alone while it works."
        )
    try:
        yield
    finally:
        lock.release()


def _same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
