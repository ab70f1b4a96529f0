"""The state of a batch in one file: plain arrays, written whole or not at all, read without trust."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from varangian.arrays import read_arrays
from varangian.engines.simulate.group import GroupState
from varangian.engines.world import World
from varangian.errors import DataError, ParameterError
from varangian.folders import write_whole
from varangian.metrics import Trail

if TYPE_CHECKING:
    from varangian.engines.simulate.batch import Batch, State

VERSION = 2
ABOUT = "about"
Arrays = dict[str, Tensor]


def write_checkpoint(path: Path, batch: Batch, state: State) -> None:
    """Write the state beside the file, then put it in its place. Raises DataError, ParameterError."""
    worlds = batch.worlds
    arrays: Arrays = {"theta": state.theta, "sent": state.arrivals.sent}
    for place, (group, own) in enumerate(zip(batch.groups, state.groups, strict=True)):
        attack = group[1].spec.attack
        arrays |= flatten(f"{place}.memory", own.memory)
        arrays |= flatten(f"{place}.trail", own.trail, Trail)
        arrays |= flatten(f"{place}.rule", own.rule)
        arrays |= flatten(f"{place}.attack", own.attack, attack.memory if attack else None)
    for run, world in enumerate(worlds):
        arrays |= {f"buffer.{run}.{name}": value for name, value in world.module.named_buffers()}
    arrays |= {f"column.{name}": values[: state.step] for name, values in state.history.columns.items()}
    about = {
        "version": VERSION,
        "batch": batch.digest,
        "step": state.step,
        "seconds": state.seconds,
        "names": state.history.names,
    }
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    plain = {name: value.detach().cpu().numpy() for name, value in arrays.items()}

    def write(stream: IO[bytes]) -> None:
        np.savez(stream, allow_pickle=False, **{ABOUT: text}, **plain)
        stream.flush()
        os.fsync(stream.fileno())

    try:
        write_whole(path, write)
    except OSError as error:
        raise DataError(f"The checkpoint {path} cannot be written: {error.strerror or error}.") from None


def read_checkpoint(path: Path, batch: Batch) -> State:
    """Return the state that a file holds.

    Raises      DataError for a file that is damaged, or belongs to another batch
    """
    try:
        stored = read_arrays(path)
        about = json.loads(stored.pop(ABOUT).tobytes())
        version, owner = about["version"], about["batch"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is no checkpoint: {error}. Remove it to start again.") from None
    if version != VERSION or owner != batch.digest:
        raise DataError(
            f"The checkpoint {path} belongs to other experiments, or another version of Varangian. "
            "Remove it to start again."
        )
    device = batch.first.device
    try:
        arrays = {name: torch.from_numpy(value).to(device) for name, value in stored.items()}
        return _restored(arrays, about, batch.worlds, batch.start())
    except (KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise DataError(f"The checkpoint {path} is damaged: {error}. Remove it to start again.") from None


def _restored(arrays: Arrays, about: dict[str, Any], worlds: Sequence[World], start: State) -> State:
    groups, run = [], 0
    for place, group in enumerate(start.groups):
        attack = worlds[run].spec.attack
        memory = arrays[f"{place}.memory"].reshape(group.memory.shape)
        trail = restore(f"{place}.trail", arrays, Trail)
        rule = restore(f"{place}.rule", arrays, None)
        lies = restore(f"{place}.attack", arrays, attack.memory if attack else None)
        groups.append(GroupState(memory, trail, rule, lies))
        run += len(memory)
    for run, world in enumerate(worlds):
        for name, value in world.module.named_buffers():
            value.copy_(arrays[f"buffer.{run}.{name}"])
    start.arrivals.sent.copy_(arrays["sent"])
    step = int(about["step"])
    columns = {name: values for name, values in arrays.items() if name.startswith("column.")}
    for name, values in columns.items():
        start.history.restore(name.removeprefix("column."), values[:step].cpu())
    start.history.names = [list(map(str, names)) for names in about["names"]]
    theta = arrays["theta"].reshape(start.theta.shape)
    return replace(start, step=step, theta=theta, groups=tuple(groups), seconds=float(about["seconds"]))


def flatten(name: str, value: Any, kind: Any = None) -> Arrays:
    """Return a state as arrays by name: nothing, a tensor, or a dataclass ``kind`` of tensors and numbers.

    Raises      ParameterError for a state of any other kind
    """
    if value is None:
        return {}
    if isinstance(value, Tensor):
        return {name: value}
    if kind is not None and type(value) is kind:
        parts = {f"{name}.{field.name}": _leaf(name, getattr(value, field.name)) for field in fields(kind)}
        return {place: part for place, part in parts.items() if part is not None}
    raise _unwritable(name, value)


def restore(name: str, arrays: Mapping[str, Tensor], kind: Any) -> Any:
    """Return the state that ``flatten`` turned into arrays; ``kind`` is its dataclass, if it may be one."""
    if kind is None or name in arrays:
        return arrays.get(name)
    found = {field.name: arrays.get(f"{name}.{field.name}") for field in fields(kind)}
    if all(value is None for value in found.values()):
        return None
    return kind(**{part: _value(value) for part, value in found.items()})


def _leaf(name: str, value: Any) -> Tensor | None:
    """Return a field as an array; a number has one axis less than any tensor of a state."""
    if value is None or isinstance(value, Tensor):
        return None if value is None else value[None]
    if isinstance(value, (bool, int, float)):
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    raise _unwritable(name, value)


def _value(stored: Tensor | None) -> Any:
    if stored is None:
        return None
    return stored[0] if stored.ndim else stored.item()


def _unwritable(name: str, value: Any) -> ParameterError:
    return ParameterError(
        f"A state of type {type(value).__name__} ({name}) cannot be written to a checkpoint; keep it in a "
        "tensor, or in a dataclass of tensors and numbers that the attack's class names as its memory."
    )
