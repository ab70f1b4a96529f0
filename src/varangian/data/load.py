"""Load a data set: find its files or fetch them, read them, check them, normalise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from varangian.data.catalogue import DATASETS
from varangian.data.contents import read_contents
from varangian.data.dataset import Dataset
from varangian.data.decode import Content, decode
from varangian.data.digits import read_digits
from varangian.data.fetch import fetch
from varangian.data.find import SUFFIXES, Location, locate
from varangian.data.folders import DATA, folders_to_search
from varangian.data.source import Source
from varangian.errors import DataError, UnknownNameError
from varangian.folders import CACHE, cache_folder


def load_dataset(name: str | Source, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Return a data set of the catalogue, or one that you describe by a ``Source`` of your own.

    Files are looked for in ``data_dir`` (as ``DIR/<name>/file`` or ``DIR/file``) and nowhere else if it is
    given; otherwise in the folder named by VARANGIAN_DATA, then in the cache folder of the user (which
    VARANGIAN_CACHE moves), into which they are downloaded at last. ``digits`` needs no file.

    Shape       images (samples, channels, height, width), features (samples, features); both float32
    Units       pixels are scaled to 0..1, then normalised with the channel's published mean and deviation
    Raises      DataError if files are missing, unreadable, damaged or not the published ones;
                UnknownNameError; MissingExtraError where a download or the digits need a package

    >>> load_dataset("digits").input_shape
    (1, 8, 8)
    """
    source = name if isinstance(name, Source) else _named(name)
    arrays = read_digits() if source.layout == "embedded" else decode(source, _contents(source, data_dir))
    return Dataset(
        name=source.name,
        train_inputs=_normalise(source, arrays.train_inputs),
        train_labels=torch.from_numpy(arrays.train_labels),
        test_inputs=_normalise(source, arrays.test_inputs),
        test_labels=torch.from_numpy(arrays.test_labels),
        classes=source.classes,
    )


def _named(name: str) -> Source:
    for source in DATASETS:
        if source.name == name.lower():
            return source
    raise UnknownNameError("data set", name, [source.name for source in DATASETS])


def _normalise(
    source: Source, inputs: UInt8[np.ndarray, "samples *shape"] | Float32[np.ndarray, "samples *shape"]
) -> Float32[Tensor, "samples *shape"]:
    scale = 255 if inputs.dtype == np.uint8 else 1
    scaled = torch.from_numpy(inputs.astype(np.float32)).div_(scale)
    if not source.mean:
        return scaled
    mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (source.mean, source.std))
    return scaled.sub_(mean).div_(std)


def _contents(source: Source, data_dir: str | os.PathLike[str] | None) -> list[Content]:
    """Return the content of every part, from where it lies or from where it was fetched to."""
    folders = folders_to_search(source.name, data_dir)
    places = locate(source, folders)
    cache = cache_folder()
    if not all(places) and data_dir is None and cache is not None:
        fetch(source, cache / source.name, folders)
        places = locate(source, folders)
    found = [place for place in places if place]
    if len(found) < len(places):
        raise DataError(_where_to_put(source, places, folders, data_dir))
    return read_contents(source, found)


def _where_to_put(
    source: Source,
    places: Sequence[Location | None],
    folders: Sequence[Path],
    data_dir: str | os.PathLike[str] | None,
) -> str:
    missing = [part.name for part, place in zip(source.parts, places, strict=True) if place is None]
    plain = ", ".join(suffix for suffix in SUFFIXES if suffix)
    archive = f", or all of them inside {source.archive.name}" if source.archive else ""
    looked = ", ".join(map(str, folders)) or "no folder: none is named"
    if data_dir is not None:
        cure = f"Put them there, or leave data_dir out to use {DATA} or a download."
    else:
        cure = f"Set {DATA} to the folder that holds them, or {CACHE} to a folder to download them into."
    return (
        f"{source.name} lacks {', '.join(missing)} (as such or with {plain}{archive}).\n"
        f"Looked in: {looked}. {cure}"
    )
