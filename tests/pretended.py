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
SAME = ("copy_", "_to_copy")
"""Operations that take from one place to another."""


class MixedError(Exception):
    """Something on the card met something that is not."""


class OnCard(Tensor):
    """A tensor on the card, which is really ``held`` here."""

    device = property(lambda self: CARD)
    is_cuda = property(lambda self: True)

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
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if name in ("index", "index_put", "index_put_"):  # places may lie anywhere
            tensors = [one for one in (args[0], *args[2:]) if isinstance(one, Tensor)]
        others = [tuple(one.shape) for one in tensors if not isinstance(one, cls) and one.ndim]
        if others and name not in SAME and any(isinstance(one, cls) for one in tensors):
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
        first = args[0] if args else None
        if isinstance(first, OnCard) and name in ("numpy", "data_ptr", "__array__"):
            raise MixedError(f"{name} of a tensor on a card")
        if isinstance(first, OnCard) and name == "new_tensor":
            return OnCard(first.held.new_tensor(*args[1:], **kwargs))
        if isinstance(first, Tensor) and name in ("to", "cpu"):
            return _moved(first, args[1:] if name == "to" else ("cpu",), kwargs)
        if _is_card(kwargs.get("device")):
            made = func(*args, **kwargs | {"device": "cpu"})
            return OnCard(made) if isinstance(made, Tensor) and not isinstance(made, OnCard) else made
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
    goes, stays = _is_card(place), _is_card(place) == isinstance(x, OnCard)
    if made is held:
        if stays:
            return x
        made = held.clone()
    return OnCard(made) if goes else made


def _is_card(place: Any) -> bool:
    return place is not None and torch.device(place).type == CARD.type


def _held(one: Any) -> Any:
    return one.held if isinstance(one, OnCard) else one
