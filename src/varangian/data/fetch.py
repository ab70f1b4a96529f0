"""Published files, downloaded into a folder and checked against their checksums."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from varangian.data.folders import DATA
from varangian.data.progress import Progress
from varangian.data.source import Download, Source
from varangian.errors import DataError, MissingExtraError

_CONNECT_SECONDS = 5
_READ_SECONDS = 30


def fetch(source: Source, folder: Path, looked: Sequence[Path]) -> None:
    """Download what the folder lacks of a data set; a file whose checksum is wrong is never kept.

    Raises      DataError that also tells where the files were ``looked`` for; MissingExtraError without pooch
    """
    for download in source.downloads:
        if not (folder / download.name).exists():
            _fetch_one(source, download, folder, looked)


def _fetch_one(source: Source, download: Download, folder: Path, looked: Sequence[Path]) -> None:
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError(f"Downloading {source.name}", "data") from error

    failures = []
    for url in download.urls:
        progress = Progress(download.name) if sys.stderr.isatty() else False
        downloader = pooch.HTTPDownloader(
            progressbar=progress, chunk_size=1 << 16, timeout=(_CONNECT_SECONDS, _READ_SECONDS)
        )
        try:
            pooch.retrieve(url, download.checksum, download.name, folder, downloader=downloader)
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
        else:
            return
    names = ", ".join(wanted.name for wanted in source.downloads)
    raise DataError(
        f"{source.name} is not in {', '.join(map(str, looked))}, and {download.name} could not be fetched.\n"
        + "\n".join(failures)
        + f"\nPut {names} into {folder}, or set {DATA} to the folder that holds them."
    )
