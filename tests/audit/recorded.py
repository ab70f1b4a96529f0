"""Rounds for the tests: recorded in every form, and planted with what an audit must find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from torch import Tensor


def honest(n: int = 8, d: int = 300, rounds: int = 2, *, alike: float = 1.0, seed: int = 1) -> list[Tensor]:
    """Return rounds in which everybody sends one common vector, and noise of its own each time."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(d, generator=generator) * alike + 0.5 * torch.randn(n, d, generator=generator)
        for _ in range(rounds)
    ]


def apart(n: int = 8, d: int = 300, rounds: int = 2, *, far: float = 6.0) -> list[Tensor]:
    """Return rounds in which everybody pulls another way, and the same one each time."""
    generator = torch.Generator().manual_seed(2)
    own = far * torch.randn(n, d, generator=generator)
    return [own - own.mean(0) + each for each in honest(n, d, rounds)]


def save(folder: Path, rounds: list[Tensor], form: str = "npy") -> Path:
    """Write rounds into a folder in one of the FORMS."""
    folder.mkdir(exist_ok=True)
    for number, vectors in enumerate(rounds, 1):
        FORMS[form](folder / f"round-{number}", vectors.numpy())
    return folder


def _npy(path: Path, x: np.ndarray) -> None:
    np.save(path.with_suffix(".npy"), x)


def _npz(path: Path, x: np.ndarray) -> None:
    np.savez(path.with_suffix(".npz"), updates=x)


def _packed(path: Path, x: np.ndarray) -> None:
    np.savez_compressed(path.with_suffix(".npz"), **{f"client {i}": row for i, row in enumerate(x)})


def _parquet(path: Path, x: np.ndarray) -> None:
    table = pyarrow.table({f"client {i}": row for i, row in enumerate(x)})
    pyarrow.parquet.write_table(table, path.with_suffix(".parquet"))


def _safetensors(path: Path, x: np.ndarray) -> None:
    path.with_suffix(".safetensors").write_bytes(
        safetensors({f"client {i}": ("F32", row.shape, row.tobytes()) for i, row in enumerate(x)})
    )


def _folders(path: Path, x: np.ndarray) -> None:
    path.mkdir()
    for i, row in enumerate(x):
        cut = len(row) // 3
        np.savez(path / f"client {i}.npz", weight=row[:cut], bias=row[cut:])


def safetensors(tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    """Return a file in the format of safetensors, whose names, types and shapes are as given."""
    import json

    header, data = {}, b""
    for name, (kind, shape, raw) in tensors.items():
        header[name] = {
            "dtype": kind,
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    told = json.dumps(header).encode()
    return len(told).to_bytes(8, "little") + told + data


FORMS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "npy": _npy,
    "npz": _npz,
    "packed": _packed,
    "parquet": _parquet,
    "safetensors": _safetensors,
    "folders": _folders,
}
