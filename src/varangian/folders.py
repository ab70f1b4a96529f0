"""The folder that this machine keeps for what can be fetched or computed again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

CACHE = "VARANGIAN_CACHE"
"""Names the environment variable that moves the folder of fetched files, unpacked arrays and kernels."""


def cache_folder() -> Path | None:
    """Return the folder, or None if nothing tells where the user's is: then nothing is kept."""
    try:
        if chosen := os.environ.get(CACHE):
            return Path(chosen).expanduser()
        import platformdirs

        folder = platformdirs.user_cache_path("varangian")
    except RuntimeError:  # the user has no home
        return None
    return folder if folder.is_absolute() else None


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write beside the path, then rename, so that nobody ever reads half a file. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
