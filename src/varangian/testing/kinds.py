"""Every kind of container that vectors may arrive in, and the way back to tensors."""

from __future__ import annotations

import importlib
import importlib.util
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Kind:
    """A container: ``vector`` packs (d,), ``rows`` packs (n, d), ``back`` unpacks, ``holds`` recognises."""

    name: str
    vector: Callable[[Tensor], Any]
    back: Callable[[Any], Tensor]
    holds: Callable[[Any], bool]
    matrix: bool = False

    def rows(self, x: Tensor) -> Any:
        """Pack (n, d): an array, or a list of n vectors."""
        return self.vector(x) if self.matrix else [self.vector(row) for row in x]

    def back_rows(self, packed: Any) -> Tensor:
        """Unpack what ``rows`` packs."""
        return self.back(packed) if self.matrix else torch.stack([self.back(vector) for vector in packed])

    def holds_rows(self, packed: Any) -> bool:
        """Tell whether this is what ``rows`` packs."""
        if self.matrix:
            return self.holds(packed)
        return isinstance(packed, list) and all(self.holds(vector) for vector in packed)


def _copy(x: Tensor) -> Tensor:
    return x.detach().clone()


def _parts(v: Tensor) -> list[Tensor]:
    k = v.shape[-1] // 2
    return [_copy(v[:k]).reshape(1, k), _copy(v[k:])]


def _joined(parts: Any) -> Tensor:
    leaves = parts.values() if isinstance(parts, Mapping) else parts
    return torch.cat([torch.as_tensor(leaf).reshape(-1) for leaf in leaves])


def _state_dict(v: Tensor) -> OrderedDict[str, Tensor]:
    weight, bias = _parts(v)
    return OrderedDict(weight=weight, bias=bias)


def _is_parts(packed: Any) -> bool:
    return isinstance(packed, list) and all(isinstance(leaf, Tensor) for leaf in packed)


def _is_tensor(packed: Any) -> bool:
    return isinstance(packed, Tensor)


def _is_numpy(packed: Any) -> bool:
    return isinstance(packed, np.ndarray)


def _to_numpy(x: Tensor) -> Any:
    return _copy(x).numpy()


def kinds_on(device: str) -> list[Kind]:
    """Return every kind that can hold vectors on this device: NumPy and JAX only on the CPU."""
    kinds = [
        Kind("a torch matrix", _copy, _copy, _is_tensor, matrix=True),
        Kind("a list of torch vectors", _copy, _copy, _is_tensor),
        Kind("a list of parameter lists", _parts, _joined, _is_parts),
        Kind("a list of state dicts", _state_dict, _joined, lambda packed: isinstance(packed, OrderedDict)),
    ]
    if torch.device(device).type != "cpu":
        return kinds
    kinds += [
        Kind("a NumPy matrix", _to_numpy, torch.from_numpy, _is_numpy, matrix=True),
        Kind("a list of NumPy vectors", _to_numpy, torch.from_numpy, _is_numpy),
        Kind(
            "a list of NumPy parameter lists",
            lambda v: [part.numpy() for part in _parts(v)],
            _joined,
            lambda packed: isinstance(packed, list) and all(map(_is_numpy, packed)),
        ),
    ]
    return kinds + _jax_kinds()


def _jax_kinds() -> list[Kind]:
    if importlib.util.find_spec("jax") is None:
        return []
    jax = importlib.import_module("jax")

    def pack(x: Tensor) -> Any:
        return jax.numpy.asarray(_to_numpy(x))

    def back(packed: Any) -> Tensor:
        return torch.from_numpy(np.array(packed))

    def holds(packed: Any) -> bool:
        return isinstance(packed, jax.Array)

    return [
        Kind("a JAX matrix", pack, back, holds, matrix=True),
        Kind("a list of JAX vectors", pack, back, holds),
    ]
