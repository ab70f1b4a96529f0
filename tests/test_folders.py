"""The folder of what can be made again is found or not, and a file in it is whole or not there."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import IO

import pytest

from varangian.folders import CACHE, cache_folder, write_whole


def test_the_chosen_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE, "~/mine")
    assert cache_folder() == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("chosen", [None, ""])
def test_the_users_folder(chosen: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(CACHE, chosen)
    folder = cache_folder()
    assert folder is not None
    assert folder.is_absolute()
    assert "varangian" in folder.parts


def test_no_home_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CACHE, "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(_: int) -> None:
        raise KeyError("nobody")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_folder() is None
    monkeypatch.setenv(CACHE, "~/mine")
    assert cache_folder() is None


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"another"):
        write_whole(path, lambda stream, content=content: stream.write(content))
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_half_a_file_is_never_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail(stream: IO[bytes]) -> None:
        stream.write(b"half")
        stream.flush()
        assert path.read_bytes() == b"before"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="nowhere"):
        write_whole(tmp_path / "nowhere" / "file", lambda stream: stream.write(b""))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="space"):
        write_whole(tmp_path / "file", lambda stream: stream.write(b"content"))
    assert not list(tmp_path.iterdir())
