"""One array of the caller's as a tensor, and back."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._C import _len_torch_dispatch_stack as count_modes
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.nn.parameter import is_lazy
from torch.utils.dlpack import from_dlpack

from varangian.errors import DtypeError, InputError
from varangian.kernels.rows import WORKING_DTYPES

TRACING = [
    mode
    for name, mode in getattr(getattr(torch._C, "_TorchDispatchModeKey", None), "__members__", {}).items()
    if name in ("FAKE", "PROXY", "FUNCTIONAL") and hasattr(torch._C, "_get_dispatch_mode")
]
"""The modes of PyTorch under which what is computed has no memory, or is written down to be done again."""


def is_array(x: Any) -> bool:
    """Tell whether this is an array of PyTorch, NumPy or JAX."""
    if isinstance(x, (Tensor, np.ndarray)):
        return True
    return "jax" in sys.modules and isinstance(x, sys.modules["jax"].Array)


def as_tensor(leaf: Any) -> Tensor:
    """View a torch, NumPy or JAX array as a tensor without copying where memory allows.

    Raises InputError and DtypeError for what is not there as numbers.
    """
    if count_modes() and any(torch._C._get_dispatch_mode(mode) is not None for mode in TRACING):
        raise _traced()
    if isinstance(leaf, Tensor):
        return _from_torch(leaf)
    if isinstance(leaf, np.ndarray):
        return _from_numpy(leaf)
    return _from_jax(leaf)


def like(result: Tensor, leaf: Any) -> Any:
    """Hand a tensor back in the kind of ``leaf``."""
    if isinstance(leaf, Tensor):
        return result
    if isinstance(leaf, np.ndarray):
        if leaf.dtype.name == "bfloat16":
            return result.view(torch.int16).numpy().view(leaf.dtype)
        return result.numpy().astype(leaf.dtype, copy=False)
    return sys.modules["jax"].dlpack.from_dlpack(result.contiguous())


def check_dtype(dtype: torch.dtype, where: str) -> None:
    """Refuse what is not floating point. Raises DtypeError."""
    if dtype not in WORKING_DTYPES:
        name = str(dtype).removeprefix("torch.")
        counters = " Counters of a state dict are no coordinates: leave them out." if "entry" in where else ""
        raise DtypeError(
            f"{where} of dtype {name} cannot be aggregated; "
            f"convert to float16, bfloat16, float32 or float64, for instance with .float().{counters}"
        )


def _from_torch(tensor: Tensor) -> Tensor:
    if is_lazy(tensor):
        raise InputError(
            f"An {type(tensor).__name__} arrived, which has neither shape nor numbers; call its module once "
            "on data, which gives it both."
        )
    if tensor.is_nested or tensor.layout is not torch.strided or tensor.is_meta:
        layout = "meta" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
        kind = "nested" if tensor.is_nested else layout
        raise InputError(f"A {kind} tensor arrived, which cannot be read in columns; pass a dense one.")
    if not _lies_in_memory(tensor):
        raise _traced()
    return (tensor.detach() if tensor.requires_grad else tensor).resolve_neg()


def _traced() -> InputError:
    return InputError(
        "A tensor without memory arrived, as torch.func.vmap, torch.func.grad and what else traces a "
        "function pass; call outside of the transformation. Leading axes (*batch, n, d) need no vmap."
    )


def _lies_in_memory(tensor: Tensor) -> bool:
    if is_functorch_wrapped_tensor(tensor):
        return False
    try:
        if not tensor.is_cpu or tensor.numel() == 0:
            return True
        # What is freed begins at 0; a view of it does not.
        return tensor.data_ptr() != tensor.storage_offset() * tensor.itemsize
    except RuntimeError:  # where PyTorch itself refuses to tell
        return False


def _from_numpy(array: NDArray[Any]) -> Tensor:
    if array.dtype.name == "bfloat16":
        return _from_numpy(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise DtypeError(
            f"Vectors of NumPy dtype {array.dtype} cannot be aggregated; convert them to float32 or float64."
        )
    if hasattr(array, "mask"):
        raise InputError(
            "A masked array arrived, and a mask is not read; pass x.filled(np.nan), of which NaN counts as "
            "not arrived by a rule with missing=True, and as zero by the others."
        )
    if not array.dtype.isnative or any(step < 0 or step % array.itemsize for step in array.strides):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Lent(array)))


class _Lent:
    """Show a read-only array as one that may be written, so that PyTorch does not warn; nobody does."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # whose memory it is

    @property
    def __array_interface__(self) -> dict[str, Any]:
        shown = self.array.__array_interface__
        return {**shown, "data": (shown["data"][0], False)}


def _from_jax(array: Any) -> Tensor:
    if "jax" in sys.modules and isinstance(array, sys.modules["jax"].core.Tracer):
        raise InputError(
            "A tracer of JAX arrived, as jax.jit, jax.grad and jax.vmap pass; call outside of the "
            "transformation, or under jit and vmap call varangian.jax.jitted(rule)."
        )
    try:
        return from_dlpack(array)
    except Exception as error:  # every kind of array has its own
        raise InputError(
            f"A {type(array).__name__} of dtype {array.dtype} arrived, which cannot be read where it lies; "
            "pass an array of floating point numbers on one device, not deleted."
        ) from error
