"""A card that is only pretended: its tensors say so, are computed with here, and meet no others.

What lies on a real card may not meet what does not, and may not become an array of NumPy's. Code that mixes
the two works wherever there is no card; here it raises ``MixedError``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CARD = torch.device("cuda:0")
MOVES = ("copy_", "_to_copy")
"""Operations that take from one place to another."""

STRICT = ("cat", "stack")
"""Operations that take not even a single number from elsewhere."""


class MixedError(Exception):
    """Something on the card met something that is not."""


class OnCard(Tensor):
    """A tensor on the card, which is really ``held`` here."""

    device = property(lambda self: CARD)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @staticmethod
    def __new__(cls: type[OnCard], held: Tensor) -> OnCard:
        size, strides, start = held.size(), held.stride(), held.storage_offset()
        made: OnCard = Tensor._make_wrapper_subclass(
            cls, size, strides=strides, storage_offset=start, dtype=held.dtype
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        whole = name in STRICT
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if name in ("index", "index_put", "index_put_") and isinstance(args[0], cls):
            # Places of what lies on the card may themselves lie anywhere.
            tensors = [one for one in (args[0], *args[2:]) if isinstance(one, Tensor)]
        others = [tuple(one.shape) for one in tensors if not isinstance(one, cls) and (one.ndim or whole)]
        if others and name not in MOVES and any(isinstance(one, cls) for one in tensors):
            raise MixedError(f"{func} of tensors on a card, and of some that are not: {others}")
        result = func(*tree_map(_held, args), **tree_map(_held, kwargs or {}))
        if name.endswith("_") and not name.endswith("__"):
            return args[0]
        if "out" in (kwargs or {}):
            return kwargs["out"]
        return tree_map(lambda one: cls(one) if isinstance(one, Tensor) else one, result)


class Pretended(TorchFunctionMode):
    """While this is entered, ``device=CARD`` and ``.to(CARD)`` are understood."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        first, place = args[0] if args else None, kwargs.get("device")
        if isinstance(first, OnCard) and name in ("numpy", "data_ptr", "__array__"):
            raise MixedError(f"{name} of a tensor on a card")
        if isinstance(first, Tensor) and name in ("to", "cpu", "type_as"):
            return _moved(first, ("cpu",) if name == "cpu" else args[1:], kwargs)
        goes = isinstance(first, OnCard) if place is None else _is_card(place)
        if goes and getattr(kwargs.get("generator"), "device", CARD) != CARD:
            raise MixedError(f"{name} on a card, by a generator that is not")
        if place is not None or name == "new_tensor":
            made = func(*map(_held, args), **kwargs | {"device": "cpu"})
            return OnCard(made) if goes and isinstance(made, Tensor) else made
        return func(*args, **kwargs)


def _moved(x: Tensor, args: Any, kwargs: dict[str, Any]) -> Tensor:
    """Return ``x.to(*args, **kwargs)``."""
    like = [one for one in args if isinstance(one, Tensor)]
    places = [one for one in args if isinstance(one, (str, torch.device))] + [one.device for one in like]
    place = kwargs.pop("device", places[0] if places else x.device)
    rest = [one for one in args if not isinstance(one, (str, torch.device, Tensor))]
    rest += [one.dtype for one in like]
    held = _held(x)
    made = held.to(*rest, **kwargs) if rest or kwargs else held
    if made is held:
        if _is_card(place) == isinstance(x, OnCard):
            return x
        made = held.clone()
    return OnCard(made) if _is_card(place) else made


def _is_card(place: Any) -> bool:
    return place is not None and torch.device(place).type == CARD.type


def _held(one: Any) -> Any:
    return one.held if isinstance(one, OnCard) else one
