"""Functions in Triton's language, made from text: the only place that knows Triton.

Triton comes with PyTorch's builds for graphics processors. It is not imported before a kernel is launched,
and keeps what it compiles itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import os
import shutil
from functools import cache
from types import ModuleType
from typing import Any

import torch

from varangian.kernels.compiled.jit import SWITCH

AMPERE = 8
"""The generation of NVIDIA's processors since which they multiply such matrices."""

ALWAYS = 48 * 2**10
"""Bytes that the threads of a program share on every such card; older versions of PyTorch tell no more."""

AS_FAR = 2**31 - 2**24
"""Columns up to which places some steps beyond the end still fit into 32 bits."""

INTERPRETER = "TRITON_INTERPRET"
"""Names the environment variable by which Triton runs kernels on the processor, slowly, if it is 1."""


def serves(device: torch.device) -> bool:
    """Tell whether kernels can be launched on what is on a device.

    Played on the processor, they can read nothing else.
    """
    if interpreted():
        return device.type == "cpu" and _installed()
    return device.type == "cuda" and os.environ.get(SWITCH, "1") != "0" and _installed() and _builds()


def takes_ptx() -> bool:
    """Tell whether kernels may hold instructions of NVIDIA's processors."""
    return torch.version.cuda is not None and not interpreted()


def multiplies(device: torch.device, shared: int) -> bool:
    """Tell whether a device multiplies matrices of numbers cut to 11 bits, as NVIDIA's do since Ampere.

    And has so many bytes that the threads of a program share.
    """
    if not takes_ptx():
        return interpreted()
    card = torch.cuda.get_device_properties(device)
    return card.major >= AMPERE and getattr(card, "shared_memory_per_block_optin", ALWAYS) >= shared


def interpreted() -> bool:
    """Tell whether Triton runs kernels on the processor."""
    return os.environ.get(INTERPRETER, "0") == "1"


@cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


@cache
def _builds() -> bool:
    """Tell whether Triton finds what builds its launchers, where it looks: it fails without."""
    return os.name != "posix" or "CC" in os.environ or any(map(shutil.which, ("gcc", "clang")))


def heading(*arguments: str, constants: tuple[str, ...] = ()) -> str:
    """Return what comes before the body of the function ``kernel``; constants are known when it is compiled.

    It is not compiled anew for arguments that a larger number divides, as Triton would by itself.
    """
    return _definition(f"triton.jit(do_not_specialize={list(arguments)})", "kernel", arguments, constants)


def helper(name: str, *arguments: str, constants: tuple[str, ...] = ()) -> str:
    """Return what comes before the body of a function that a kernel calls."""
    return _definition("triton.jit", name, arguments, constants)


WIDENED = """\
    if FAR:
        d = d.to(tl.int64)
"""
"""Where places behind the last of d columns do not fit into 32 bits, none is counted in so few."""


def is_far(width: int) -> int:
    """Return ``FAR`` for rows of so many columns: 1 if what is asked for beyond their end, too, is that far.

    Triton counts in 64 bits by itself only if the number of columns does not fit into 32.
    """
    return int(width > AS_FAR)


def _definition(decorator: str, name: str, arguments: tuple[str, ...], constants: tuple[str, ...]) -> str:
    told = [*arguments, *(f"{constant}: tl.constexpr" for constant in constants)]
    return f"\n\n@{decorator}\ndef {name}({', '.join(told)}):\n"


@cache
def module_of(text: str) -> ModuleType:
    """Return the module that a text is; Triton reads a function's text again by the name of its file."""
    text = f"import triton\nimport triton.language as tl\n{text}"
    name = f"varangian_kernel_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    file = f"{name}.py"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = ModuleType(name)
    module.__file__ = file
    exec(compile(text, file, "exec"), module.__dict__)
    return module


def launch(
    text: str, programs: int, *arguments: Any, warps: int = 4, registers: int | None = None, **constants: int
) -> None:
    """Run so many programs of the function ``kernel`` of a text; a thread takes so many registers at most.

    That is said to NVIDIA's cards only: others refuse to hear of it.
    """
    if programs:
        most = {"maxnreg": registers} if registers is not None and takes_ptx() else {}
        with torch.cuda.device_of(arguments[0]):
            module_of(text).kernel[(programs,)](
                *arguments, **constants, num_warps=warps, enable_fp_fusion=False, **most
            )
