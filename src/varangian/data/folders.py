"""The folders where data files are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from varangian.folders import cache_folder

DATA = "VARANGIAN_DATA"
"""Names the environment variable of the folder that holds your data files."""


def folders_to_search(name: str, data_dir: str | os.PathLike[str] | None) -> tuple[Path, ...]:
    """Return where the files of a data set may lie, best first; a given ``data_dir`` is the only place."""
    if data_dir is not None:
        return _both(Path(data_dir), name)
    chosen = os.environ.get(DATA)
    named = _both(Path(chosen), name) if chosen else ()
    cache = cache_folder()
    return named if cache is None else (*named, cache / name)


def _both(folder: Path, name: str) -> tuple[Path, Path]:
    folder = folder.expanduser()
    return folder / name, folder
