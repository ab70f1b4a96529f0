"""The content of every part of a data set: unpacked and compared with what was published."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from varangian.data.cache import keep, recall
from varangian.data.decode import Content
from varangian.data.find import Location
from varangian.data.source import Part, Source
from varangian.data.unpack import read_file, read_members
from varangian.errors import DataError

_SLOW = ".xz"  # what it unpacks to is kept; so is what lies in an archive


def read_contents(source: Source, places: Sequence[Location]) -> list[Content]:
    """Return the contents in the order of the parts, read from where they lie."""
    archive = source.archive
    if archive and places[0].path.name == archive.name:
        return _read_archive(source, places)
    return [_read_file(part, place.path) for part, place in zip(source.parts, places, strict=True)]


def _read_file(part: Part, path: Path) -> Content:
    content = recall(path, part.name)
    if content is None:
        content = _published(path, part, read_file(path, part.most_bytes))
        if path.suffix == _SLOW:
            keep(path, part.name, content)
    return Content(path, content)


def _read_archive(source: Source, places: Sequence[Location]) -> list[Content]:
    path, members = places[0].path, [str(place.member) for place in places]
    known = [recall(path, part.name) for part in source.parts]
    contents = [Content(path, content) for content in known if content is not None]
    if len(contents) == len(source.parts):
        return contents
    most = {member: part.most_bytes for member, part in zip(members, source.parts, strict=True)}
    unpacked = read_members(path, most)
    contents = []
    for part, member in zip(source.parts, members, strict=True):
        contents.append(Content(path, _published(path, part, unpacked[member])))
        keep(path, part.name, contents[-1].content)
    return contents


def _published(path: Path, part: Part, raw: bytes) -> UInt8[np.ndarray, "bytes"]:
    """Return the bytes as an array, if they are the published ones; a wrong length is told as such."""
    found = hashlib.sha256(raw).hexdigest()
    if len(raw) == part.most_bytes and part.sha256 not in (None, found):
        raise DataError(
            f"{path} is not the published file: the sha256 of {part.name} is {found}, {part.sha256} is "
            "expected. Replace it; is it a file of that name from another data set?"
        )
    return np.frombuffer(raw, np.uint8)
