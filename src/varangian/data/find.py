"""Where the parts of a data set lie among some folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from varangian.data.source import Source

SUFFIXES = ("", ".gz", ".xz")
"""What may follow a part's name: nothing, or the compression of its file."""


@dataclass(frozen=True)
class Location:
    """A file that holds a part: as its whole content, or as a ``member`` of an archive."""

    path: Path
    member: str | None = None


def locate(source: Source, folders: Iterable[Path]) -> tuple[Location | None, ...]:
    """Return, for each part, the first place that has it, or None; one place for all goes before several."""
    tried: list[tuple[Location | None, ...]] = [(None,) * len(source.parts)]
    for folder in folders:
        for found in _ways(source, folder):
            if all(found):
                return found
            tried.append(found)
    return tuple(next((place for place in places if place), None) for places in zip(*tried, strict=True))


def _ways(source: Source, folder: Path) -> Iterator[tuple[Location | None, ...]]:
    """Yield what a folder holds of each part: as files, as files of an unpacked archive, in the archive."""
    yield tuple(_file(folder, part.name) for part in source.parts)
    archive = source.archive
    if archive and archive.folder:
        yield tuple(_file(folder / archive.folder, part.name) for part in source.parts)
        packed = folder / archive.name
        found = os.path.lexists(packed)
        yield tuple(
            Location(packed, f"{archive.folder}/{part.name}") if found else None for part in source.parts
        )


def _file(folder: Path, name: str) -> Location | None:
    # A broken link or a folder of that name is found too: reading it then says what is wrong with it.
    paths = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((Location(path) for path in paths if os.path.lexists(path)), None)
