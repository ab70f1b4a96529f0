"""What ``torch.export.save`` wrote, read as data: nothing of it is ever executed.

PyTorch's own reader unpickles what a file asks it to, and hands symbolic sizes to a parser of algebra that
evaluates them as Python. This one reads two things, JSON and raw numbers, and refuses the rest.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from varangian.errors import DataError

MOST_BYTES = 2**32
"""A member of an archive that is larger is refused."""
MOST_JSON = 2**26
TYPES = {6: torch.float16, 7: torch.float32, 8: torch.float64, 13: torch.bfloat16}
"""PyTorch's numbers for the types that weights may have."""
SAVE = "Save the model with torch.export.save, from a recent PyTorch."


def read_archive(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the graph of an exported program, and its parameters by name.

    Raises      DataError for a file that is none, is damaged, or holds what would have to be unpickled
    """
    target = Path(path)
    try:
        with target.open("rb") as file:
            return _read(target, file)
    except (OSError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{target} cannot be read as a .pt2 file: {told}. {SAVE}") from None


def _read(path: Path, file: IO[bytes]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        models = [name for name in names if "/models/" in name and name.endswith(".json")]
        if len(models) != 1:
            raise DataError(f"{path} holds {len(models)} exported programs; it must hold one. {SAVE}")
        root, _, model = models[0].partition("/models/")
        graph = _json(path, archive, models[0])
        weights: dict[str, Tensor] = {}
        for kind, prefix in (("weights", "weights"), ("constants", "constants")):
            config = f"{root}/data/{kind}/{model.removesuffix('.json')}_{prefix}_config.json"
            if config in names:
                told = _json(path, archive, config).get("config", {})
                for name, meta in told.items():
                    weights[name] = _tensor(path, archive, f"{root}/data/{kind}/", name, meta)
            elif kind == "weights":
                raise DataError(
                    f"{path} keeps its weights in a pickle, which would execute code when it is read. {SAVE}"
                )
        return graph, weights


def _json(path: Path, archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    if archive.getinfo(name).file_size > MOST_JSON:
        raise DataError(f"{path}: {name} is larger than {MOST_JSON} bytes, and no description of layers.")
    try:
        found = json.loads(archive.read(name))
    except (ValueError, RecursionError):
        raise DataError(f"{path}: {name} is no JSON; the file is damaged. {SAVE}") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: {name} is not what torch.export writes. {SAVE}")
    return found


def _tensor(path: Path, archive: zipfile.ZipFile, folder: str, name: str, meta: Any) -> Tensor:
    try:
        if meta["use_pickle"] is not False:
            raise DataError(
                f"{path}: {name} is kept as a pickle, which would execute code when it is read. {SAVE}"
            )
        told = meta["tensor_meta"]
        dtype = TYPES[told["dtype"]]
        sizes, strides = ([int(one["as_int"]) for one in told[key]] for key in ("sizes", "strides"))
        offset = int(told["storage_offset"]["as_int"])
        if min([*sizes, *strides, offset, 0]) < 0 or len(sizes) != len(strides):
            raise ValueError
        info = archive.getinfo(folder + meta["path_name"])
        reach = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) + 1
        if info.file_size > MOST_BYTES or math.prod(sizes) * dtype.itemsize > info.file_size:
            raise ValueError
        if reach * dtype.itemsize > info.file_size or info.file_size % dtype.itemsize:
            raise ValueError
        raw = torch.frombuffer(bytearray(archive.read(info)), dtype=dtype)
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{path}: {name} is no plain tensor of floating-point numbers, or is cut short. {SAVE}"
        ) from None
    return raw.as_strided(sizes, strides, offset).clone()
