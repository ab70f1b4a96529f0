"""A party's state in a file of plain arrays: written whole or not at all, read without trust."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from varangian.arrays import read_arrays
from varangian.errors import DataError
from varangian.folders import write_whole
from varangian.protocols import Body, Message, Topic

VERSION = 1
_LENGTH = struct.Struct("<Q")
ABOUT, STATE, COLUMN, BODY = "about", "state", "column", "body"
DAMAGE = (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Saved:
    """What a restarted party needs: its node's state, what it said last, and what it has measured."""

    state: Mapping[str, Any]
    said: list[Message]
    columns: Mapping[str, list[float]]


@dataclass(frozen=True)
class Checkpoint:
    """The file of one party of one run; the one before it is kept, in case this one is damaged.

    A second file holds what the party said since: that is little, and written far more often. ``owner`` is a
    digest of what the run is.
    """

    path: Path
    owner: str

    @classmethod
    def of(cls, folder: Path, name: str, owner: str) -> Checkpoint:
        """Return a party's file in a folder, which is made. Raises DataError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder} cannot be made: {error.strerror or error}.") from None
        return cls(folder / f"{name}.npz", owner)

    @property
    def previous(self) -> Path:
        """Return where the file before the last is."""
        return self.path.with_name(f"{self.path.stem}-before{self.path.suffix}")

    @property
    def words(self) -> Path:
        """Return where that is which was said since the last file."""
        return self.path.with_suffix(".words")

    def write(self, saved: Saved) -> None:
        """Write a new file in the place of the last. Raises DataError."""
        arrays = self._arrays(saved)
        try:
            if self.path.exists():
                os.replace(self.path, self.previous)
            write_whole(self.path, lambda stream: np.savez(stream, allow_pickle=False, **arrays))
            self.words.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror or error}.") from None

    def add(self, said: list[Message], step: int) -> None:
        """Add what was said since the file was written, at a step. Raises DataError."""
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **self._arrays(Saved({"step": step}, said, {})))
        try:
            with self.words.open("ab") as file:
                file.write(_LENGTH.pack(stream.tell()) + stream.getbuffer())
        except OSError as error:
            raise DataError(f"{self.words} cannot be written: {error.strerror or error}.") from None

    def read(self) -> Saved | None:
        """Return what was saved last, from the file before it if the last is damaged; None if there is none.

        Raises      DataError for files that are all damaged, or of another run
        """
        damage: DataError | None = None
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                return self._with_words(self._read(path))
            except DAMAGE as error:
                if isinstance(error, DataError):
                    raise
                why = str(error) or type(error).__name__
                damage = damage or DataError(f"{path} is no checkpoint: {why}. Remove it to start again.")
        if damage is not None:
            raise damage
        return None

    def _with_words(self, saved: Saved) -> Saved:
        """Add what was said since, as far as it is whole: what was cut short had not left yet."""
        said = list(saved.said)
        known = {(word.receiver, word.topic) for word in said}
        with suppress(*DAMAGE, struct.error), self.words.open("rb") as file:
            most = os.fstat(file.fileno()).st_size
            while length := file.read(_LENGTH.size):
                (size,) = _LENGTH.unpack(length)
                more = self._read(io.BytesIO(file.read(min(size, most))))
                if more.state["step"] == saved.state["step"]:
                    said += [word for word in more.said if (word.receiver, word.topic) not in known]
        return replace(saved, said=said)

    def _arrays(self, saved: Saved) -> dict[str, Body]:
        bodies: dict[int, Body] = {id(message.body): message.body for message in saved.said}
        places = {body: place for place, body in enumerate(bodies)}
        said = [[m.sender, m.receiver, *m.topic, places[id(m.body)]] for m in saved.said]
        about = json.dumps({"version": VERSION, "owner": self.owner, "said": said})
        arrays = {ABOUT: np.frombuffer(about.encode(), np.uint8)}
        arrays |= _flat(saved.state, STATE)
        arrays |= {f"{COLUMN}.{name}": np.asarray(values) for name, values in saved.columns.items()}
        return arrays | {f"{BODY}.{place}": body for place, body in enumerate(bodies.values())}

    def _read(self, path: Path | io.BytesIO) -> Saved:
        arrays = read_arrays(path)
        about = json.loads(arrays.pop(ABOUT).tobytes())
        if about["version"] != VERSION or about["owner"] != self.owner:
            raise DataError(
                f"{path} belongs to another run, or to another version of Varangian. "
                "Remove it to start again, or name another folder for checkpoints."
            )
        said = [
            Message(sender, receiver, Topic(step, kind, round, subject), arrays[f"{BODY}.{place}"])
            for sender, receiver, step, kind, round, subject, place in about["said"]
        ]
        columns = {
            name.partition(".")[2]: values.tolist()
            for name, values in arrays.items()
            if name.startswith(f"{COLUMN}.")
        }
        return Saved(_nested(arrays), said, columns)


def _flat(value: Any, name: str) -> dict[str, Body]:
    """Return nested tables of numbers and arrays as arrays by dotted name."""
    if not isinstance(value, Mapping):
        return {name: np.asarray(value)}
    return {place: body for key in value for place, body in _flat(value[key], f"{name}.{key}").items()}


def _nested(arrays: Mapping[str, Body]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name, value in arrays.items():
        root, *way = name.split(".")
        if root == STATE:
            *tables, last = way
            table = state
            for one in tables:
                table = table.setdefault(one, {})
            table[last] = value if value.ndim else value.item()
    return state
