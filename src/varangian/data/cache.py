"""Arrays that took long to decompress, kept in plain files and checked when they come back."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from varangian.folders import cache_folder, write_whole

_DIGEST_BYTES = hashlib.sha256().digest_size


def recall(source: Path, part: str) -> UInt8[np.ndarray, "bytes"] | None:
    """Return what was kept of a part of this very file, or None if nothing was or it is damaged."""
    kept = _place(source, part)
    if kept is None:
        return None
    try:
        stored = np.load(kept, allow_pickle=False)
    except Exception:  # whatever is wrong with it, the cure is to make it again
        return None
    if not isinstance(stored, np.ndarray) or stored.dtype != np.uint8 or stored.ndim != 1:
        return None
    content, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
    return content if digest.tobytes() == hashlib.sha256(content.data).digest() else None


def keep(source: Path, part: str, content: UInt8[np.ndarray, "bytes"]) -> None:
    """Keep a part of a file, its sha256 behind it, if there is a folder to write to; else do nothing."""
    kept = _place(source, part)
    if kept is None:
        return
    digest = np.frombuffer(hashlib.sha256(content.data).digest(), np.uint8)
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        whole = np.concatenate([content, digest])
        write_whole(kept, lambda stream: np.save(stream, whole, allow_pickle=False))


def _place(source: Path, part: str) -> Path | None:
    """Return the path for a part of a file as it is now: another size or time is another path."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        status = source.stat()
    except OSError:
        return None
    name = repr((str(source.resolve()), status.st_size, status.st_mtime_ns, part)).encode()
    return folder / "arrays" / f"{hashlib.sha256(name).hexdigest()[:32]}.npy"
