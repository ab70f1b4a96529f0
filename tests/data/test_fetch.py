"""Fetching, from a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from varangian.data import Source, load_dataset
from varangian.data.progress import Progress
from varangian.errors import DataError, MissingExtraError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder, and return it with its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def at(source: Source, folder: Path, *addresses: str) -> Source:
    """Return a source whose downloads lie at these addresses, with the checksums of the files as they are."""
    downloads = []
    for download in source.downloads:
        file = folder / download.name
        checksum = hashlib.md5(file.read_bytes()).hexdigest() if file.exists() else "0" * 32
        urls = tuple(f"{address}/{download.name}" for address in addresses)
        downloads.append(replace(download, checksum=f"md5:{checksum}", urls=urls))
    return replace(source, downloads=tuple(downloads))


def test_files_are_fetched_once(mnist: Any, served: tuple[Path, str], cache: Path) -> None:
    folder, address = served
    mnist.write(folder, ".gz")
    source = at(mnist.source, folder, address)
    data = load_dataset(source)
    assert len(data.train_labels) == 6
    assert sorted(file.name for file in (cache / "mnist").iterdir()) == sorted(
        download.name for download in source.downloads
    )
    for file in folder.iterdir():
        file.unlink()
    assert len(load_dataset(source).train_labels) == 6


def test_an_archive_is_fetched(cifar100: Any, served: tuple[Path, str]) -> None:
    folder, address = served
    (folder / "cifar-100-binary.tar.gz").write_bytes(cifar100.archive())
    assert len(load_dataset(at(cifar100.source, folder, address)).train_labels) == 5


def test_the_second_address_helps(phishing: Any, served: tuple[Path, str]) -> None:
    folder, address = served
    phishing.write(folder)
    source = at(phishing.source, folder, f"{address}/nowhere", address)
    assert len(load_dataset(source).train_labels) == 2


def test_a_wrong_checksum_is_not_kept(phishing: Any, served: tuple[Path, str], cache: Path) -> None:
    folder, address = served
    phishing.write(folder)
    source = at(phishing.source, folder, address)
    (folder / "phishing").write_bytes(b"1 1:1\n")
    with pytest.raises(DataError, match="hash") as caught:
        load_dataset(source)
    for told in (address, str(cache / "phishing"), "VARANGIAN_DATA"):
        assert told in str(caught.value)
    assert not list((cache / "phishing").iterdir())


def test_404_is_told(phishing: Any, served: tuple[Path, str], cache: Path) -> None:
    folder, address = served
    with pytest.raises(DataError, match="404"):
        load_dataset(at(phishing.source, folder, address))
    assert not list((cache / "phishing").iterdir())


def test_without_a_network_each_address_is_tried_once(
    phishing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, known = [], socket.getaddrinfo

    def asks(host: str, *given: Any, **named: Any) -> Any:
        asked.append(host)
        if host == "host.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", asks)
    monkeypatch.setenv("NO_PROXY", "*")
    source = at(phishing.source, tmp_path, "http://127.0.0.1:1", "http://host.invalid")
    with pytest.raises(DataError, match="could not be fetched"):
        load_dataset(source)
    assert asked == ["127.0.0.1", "host.invalid"]


def test_a_cache_that_cannot_be_written_is_told(phishing: Any, served: tuple[Path, str], cache: Path) -> None:
    folder, address = served
    phishing.write(folder)
    cache.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="could not be fetched"):
        load_dataset(at(phishing.source, folder, address))


def test_fetching_needs_pooch(phishing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"Downloading phishing.*varangian\[data\]"):
        load_dataset(phishing.source)
    monkeypatch.delenv("VARANGIAN_CACHE")
    with pytest.raises(MissingExtraError, match=r"varangian\[data\]"):
        load_dataset(phishing.source)


def test_progress_is_shown_on_a_terminal(
    phishing: Any,
    served: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, address = served
    phishing.write(folder)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    load_dataset(at(phishing.source, folder, address))
    assert "phishing: 0 of 0 MB" in capsys.readouterr().err


def test_progress_counts(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress("file")
    bar.total = 3_000_000
    for _ in range(6):
        bar.update(500_000)
    bar.reset()
    bar.update(3_000_000)
    bar.close()
    assert capsys.readouterr().err == "".join(f"\rfile: {done} of 3 MB" for done in range(4)) + "\n"
