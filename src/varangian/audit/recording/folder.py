"""A folder of recorded rounds, whoever recorded them, -> rounds of the same clients and length.

Each entry is a round, in the order of its name: a file with a matrix ``(n, d)``; a file with an array (in
Parquet, a column) for each client; or a folder with a file for each client, whose arrays are one vector.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from varangian.audit.recording.files import Stored, arrays_of
from varangian.audit.recording.parquet import blocks_of, columns_of
from varangian.audit.recording.rounds import Round, width
from varangian.errors import DataError

SUFFIXES = (".npy", ".npz", ".safetensors", ".parquet")
WEIGHTS = "weights"
MATRIX = 2
FORMS = "a matrix (clients, coordinates), an array for each client, or a folder with a file for each client"


def read_rounds(folder: Path) -> list[Round]:
    """Return the rounds in a folder, their headers read and compared, their numbers not yet.

    ``weights.json`` in it, a list or an object by client, holds the clients' weights; so may an array
    "weights" in each round.

    Raises      DataError: which round, what arrived, what is needed
    """
    if not folder.is_dir():
        missing = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {missing}; name a folder in which every round is {FORMS}.")
    entries = sorted(_visible(folder), key=_natural)
    told = folder / f"{WEIGHTS}.json"
    rounds = [_round(entry) for entry in entries if entry != told]
    if not rounds:
        raise DataError(f"{folder} holds no rounds. Each is {FORMS}: {', '.join(SUFFIXES)}.")
    for one in rounds[1:]:
        _compare(rounds[0], one)
    weights = _weights(told, rounds[0]) if told.exists() else rounds[0].weights
    return [Round(r.name, r.clients, r.d, r.blocks, weights, r.files) for r in rounds]


def _round(entry: Path) -> Round:
    if entry.is_dir():
        return _of_clients(entry)
    if entry.suffix not in SUFFIXES:
        raise DataError(
            f"{entry} is no round: rounds are {', '.join(SUFFIXES)}, or folders. Move it elsewhere."
        )
    if entry.suffix == ".parquet":
        clients, d = columns_of(entry)
        _check_size(entry, clients, d)
        return Round(entry.stem, clients, d, lambda: blocks_of(entry, width(len(clients), 8)), None, (entry,))
    arrays = arrays_of(entry)
    for array in arrays:
        if not array.dtype.is_floating_point:
            raise DataError(f"{entry}: {array.name!r} holds whole numbers. Save float16, float32 or float64.")
    weights = next((array for array in arrays if array.name == WEIGHTS), None)
    vectors = [array for array in arrays if array is not weights]
    claimed = None if weights is None else tuple(weights.whole().flatten().tolist())
    if len(vectors) == 1 and len(vectors[0].shape) == MATRIX:
        (matrix,) = vectors
        clients, d = tuple(f"client {i}" for i in range(matrix.shape[0])), matrix.shape[1]
        _check_size(entry, clients, d)
        step = width(len(clients), matrix.dtype.itemsize)
        return Round(entry.stem, clients, d, lambda: matrix.rows(step), claimed, (entry,))
    if len(vectors) <= 1:
        shape = vectors[0].shape if vectors else "nothing"
        raise DataError(f"{entry} holds {shape}: one vector is no round. A round is {FORMS}.")
    return _of_vectors(entry, {array.name: [array] for array in vectors}, claimed, (entry,))


def _of_clients(folder: Path) -> Round:
    files = sorted(_visible(folder), key=_natural)
    for file in files:
        if file.is_dir() or file.suffix not in SUFFIXES[:-1]:
            raise DataError(
                f"{file} is no client's vector: {', '.join(SUFFIXES[:-1])} are. Move it elsewhere."
            )
    vectors = {file.stem: arrays_of(file) for file in files}
    if len(vectors) < len(files):
        raise DataError(f"{folder} holds two files of one client's name; keep one of each.")
    return _of_vectors(folder, vectors, None, tuple(files))


def _of_vectors(
    path: Path, vectors: dict[str, list[Stored]], weights: tuple[float, ...] | None, files: tuple[Path, ...]
) -> Round:
    """Return the round of clients who sent several arrays each, one after the other a vector."""
    sizes = {name: sum(part.size for part in parts) for name, parts in vectors.items()}
    clients = tuple(vectors)
    d = next(iter(sizes.values()), 0)
    for name, size in sizes.items():
        if size != d:
            raise DataError(
                f"{path}: {name!r} has {size} coordinates and {clients[0]!r} has {d}; all vectors of a round "
                "need the same length."
            )
    _check_size(path, clients, d)
    itemsize = max(part.dtype.itemsize for parts in vectors.values() for part in parts)
    step = width(len(clients), itemsize)

    def blocks() -> Iterator[Tensor]:
        rows = [_chained(parts, step) for parts in vectors.values()]
        for together in zip(*rows, strict=True):
            yield torch.stack(together)

    return Round(path.stem, clients, d, blocks, weights, files)


def _chained(parts: Sequence[Stored], step: int) -> Iterator[Tensor]:
    """Yield the numbers of arrays that are one vector, ``step`` at a time whatever the arrays' lengths."""
    kept: list[Tensor] = []
    for part in parts:
        vector = Stored(part.path, part.name, (part.size,), part.dtype, part.open, part.seekable)
        for block in vector.rows(step):
            kept.append(block[0])
            while (ready := sum(map(len, kept))) >= step:
                joined = torch.cat(kept)
                yield joined[:step]
                kept = [joined[step:]] if ready > step else []
    if kept:
        yield torch.cat(kept)


def _check_size(path: Path, clients: Sequence[str], d: int) -> None:
    if len(clients) < MATRIX or d < 1:
        raise DataError(
            f"{path} holds {len(clients)} vectors of {d} coordinates; a round needs two clients or more, and "
            "one coordinate or more."
        )


def _compare(first: Round, one: Round) -> None:
    if one.clients != first.clients:
        lost = [name for name in first.clients if name not in one.clients]
        new = [name for name in one.clients if name not in first.clients]
        said = f"lacks {', '.join(lost)}" if lost else f"has {', '.join(new)} besides"
        raise DataError(
            f"Round {one.name} {said}, compared with round {first.name}. The audit needs every client in "
            "every round: leave out the rounds that are not complete, or the client."
        )
    if one.d != first.d:
        raise DataError(
            f"Round {one.name} has vectors of {one.d} coordinates, round {first.name} of {first.d}; all "
            "rounds need the same length."
        )
    if one.weights != first.weights:
        raise DataError(
            f"Rounds {first.name} and {one.name} claim different weights; give one in weights.json."
        )


def _weights(path: Path, first: Round) -> tuple[float, ...]:
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(told, dict):
            told = [told[name] for name in first.clients]
        if len(told) == first.m:
            return tuple(float(weight) for weight in told)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DataError(
        f"{path} gives no weights of {first.m} clients: write a list of numbers, or an object with "
        f"{', '.join(first.clients[:3])} and so on."
    )


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from None


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return what sorts names as people do: round 2 before round 10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]
