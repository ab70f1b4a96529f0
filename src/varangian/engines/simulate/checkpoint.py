"""The state of a batch in one file: plain arrays, written whole or not at all, read without trust."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from varangian.engines.simulate.group import GroupState
from varangian.engines.world import World
from varangian.errors import DataError, ParameterError
from varangian.metrics import Trail

if TYPE_CHECKING:
    from varangian.engines.simulate.batch import Batch, State

VERSION = 1
ABOUT = "about"
Arrays = dict[str, Tensor]


def write_checkpoint(path: Path, batch: Batch, state: State) -> None:
    """Write the state beside the file, then put it in its place. Raises DataError, ParameterError."""
    worlds = batch.worlds
    arrays: Arrays = {"theta": state.theta, "sent": state.arrivals.sent}
    for place, group in enumerate(state.groups):
        arrays |= flatten(f"{place}.memory", group.memory)
        arrays |= flatten(f"{place}.trail", group.trail)
        arrays |= flatten(f"{place}.rule", group.rule)
        arrays |= flatten(f"{place}.attack", group.attack)
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
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, allow_pickle=False, **{ABOUT: text}, **plain)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise DataError(f"The checkpoint {path} cannot be written: {error.strerror or error}.") from None


def read_checkpoint(path: Path, batch: Batch) -> State:
    """Return the state that a file holds.

    Raises      DataError for a file that is damaged, or belongs to another batch
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        about = json.loads(stored.pop(ABOUT).tobytes())
        version, owner = about["version"], about["batch"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no checkpoint: {error}. Remove it to start again.") from None
    if version != VERSION or owner != batch.digest:
        raise DataError(
            f"The checkpoint {path} belongs to other experiments, or another version of Varangian. "
            "Remove it to start again."
        )
    device = batch.first.device
    arrays = {name: torch.from_numpy(value).to(device) for name, value in stored.items()}
    try:
        return _restored(arrays, about, batch.worlds, batch.start())
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
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


def flatten(name: str, value: Any) -> Arrays:
    """Return a state as arrays by name: nothing, a tensor, a number, or a dataclass of such.

    Raises      ParameterError for a state of any other kind
    """
    if value is None:
        return {}
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, (int, float)):
        return {name: torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)}
    if is_dataclass(value):
        parts: Arrays = {}
        for field in fields(value):
            parts |= flatten(f"{name}.{field.name}", getattr(value, field.name))
        return parts
    raise ParameterError(
        f"A state of type {type(value).__name__} ({name}) cannot be written to a checkpoint; keep it in a "
        "tensor, or in a dataclass of tensors and numbers that the attack names as its memory."
    )


def restore(name: str, arrays: Mapping[str, Tensor], kind: Any) -> Any:
    """Return the state that ``flatten`` turned into arrays; ``kind`` is its dataclass, if it was one."""
    if kind is None:
        return arrays.get(name)
    given: dict[str, Any] = {}
    for field in fields(kind):
        value = arrays.get(f"{name}.{field.name}")
        if value is None:
            return None
        given[field.name] = value.item() if field.type in ("int", "float") else value
    return kind(**given)
