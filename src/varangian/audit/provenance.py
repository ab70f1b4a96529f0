"""What an audit was made with and of: versions, seeds, and hashes of code, data and updates."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import varangian
from varangian.data import Dataset, load_dataset
from varangian.specification import Experiment


def provenance(
    seed: int, spec: Experiment | None, files: Mapping[Path, str], root: Path | None
) -> dict[str, Any]:
    """Return the versions, the seed, and SHA-256 of the code, of the data set, and of every file read.

    ``files`` come with their hashes, and are named as seen from ``root``. Of the code, it is that of every
    module of this library.
    """
    return {
        "varangian": varangian.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "seed": seed,
        "code_sha256": code_digest(),
        "data_sha256": None if spec is None else data_digest(spec),
        "updates_sha256": {
            str(file.relative_to(root) if root else file): digest for file, digest in files.items()
        },
    }


@cache
def code_digest() -> str:
    """Return the hash of the source of this library, file by file in order of their names."""
    root = Path(__file__).parent.parent
    mark = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        mark.update(f"{file.relative_to(root).as_posix()}\n".encode())
        mark.update(hashlib.sha256(file.read_bytes()).digest())
    return mark.hexdigest()


def data_digest(spec: Experiment) -> str:
    """Return the hash of the inputs and labels of an experiment's data set."""
    data = spec.data if isinstance(spec.data, Dataset) else load_dataset(spec.data, spec.data_dir)
    mark = hashlib.sha256()
    for part in (data.train_inputs, data.train_labels, data.test_inputs, data.test_labels):
        mark.update(f"{part.dtype}{tuple(part.shape)}\n".encode())
        mark.update(part.cpu().contiguous().numpy().tobytes())
    return mark.hexdigest()


def file_digest(file: Path) -> str:
    """Return the hash of a file."""
    with file.open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
