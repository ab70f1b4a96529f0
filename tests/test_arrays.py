"""A file of arrays gives what was written, or one error: whatever is damaged, and whoever wrote it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from varangian.arrays import read_arrays


def test_what_was_written_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", one=np.arange(7.0), text=np.array("told"))
    arrays = read_arrays(tmp_path / "some.npz")
    assert arrays["one"].tolist() == list(range(7))
    assert str(arrays["text"]) == "told"
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.npz")


def test_a_byte_that_is_wrong_anywhere() -> None:
    """Among other things, what is said of the compression and of a password is wrong."""
    stream, draws, refused = io.BytesIO(), np.random.default_rng(3), 0
    np.savez(stream, one=np.arange(7.0), other=np.ones((2, 3), np.float32))
    whole = stream.getvalue()
    for _ in range(1000):
        damaged = bytearray(whole)
        for place in draws.integers(len(whole), size=draws.integers(1, 4)):
            damaged[place] = draws.integers(256)
        try:
            read_arrays(io.BytesIO(damaged))
        except (ValueError, OSError):
            refused += 1
    assert refused > 500


def test_objects_are_never_unpickled() -> None:
    stream = io.BytesIO()
    np.savez(stream, evil=np.array([{}], dtype=object))
    stream.seek(0)
    with pytest.raises(ValueError, match="pickle"):
        read_arrays(stream)


def test_a_member_that_is_no_array() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("about", "{}")
    stream.seek(0)
    with pytest.raises(ValueError, match="'about' is no array"):
        read_arrays(stream)
