"""The folders where data files are looked for, and the one that this machine keeps for itself."""

from __future__ import annotations

import os
from pathlib import Path

from varangian.errors import MissingExtraError

DATA = "VARANGIAN_DATA"
"""Names the environment variable of the folder that holds your data files."""
CACHE = "VARANGIAN_CACHE"
"""Names the environment variable that moves the folder of fetched files and decompressed arrays."""


def cache_folder() -> Path:
    """Return the folder for what can be fetched or computed again.

    Raises      MissingExtraError if VARANGIAN_CACHE is not set and pooch is not there to name the user's
    """
    if chosen := os.environ.get(CACHE):
        return Path(chosen).expanduser()
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError("A download", "data") from error
    return Path(pooch.os_cache("varangian"))


def known_cache_folder() -> Path | None:
    """Return the cache folder, or None if nothing tells where it is: then nothing is kept."""
    try:
        return cache_folder()
    except MissingExtraError:
        return None


def folders_to_search(name: str, data_dir: str | os.PathLike[str] | None) -> tuple[Path, ...]:
    """Return where the files of a data set may lie, best first; a given ``data_dir`` is the only place."""
    if data_dir is not None:
        return _both(Path(data_dir), name)
    chosen = os.environ.get(DATA)
    named = _both(Path(chosen), name) if chosen else ()
    cache = known_cache_folder()
    return named if cache is None else (*named, cache / name)


def _both(folder: Path, name: str) -> tuple[Path, Path]:
    folder = folder.expanduser()
    return folder / name, folder
