"""Machine code from LLVM's language, made once and kept: the only place that knows llvmlite.

What is kept is native code, so it is kept in the user's own folder, and its digest is checked when it comes
back. Nobody compiles while the process forks: the child would wait for whoever held the lock, for ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any

from varangian.folders import cache_folder, write_whole
from varangian.kernels.compiled.processor import processor

SWITCH = "VARANGIAN_JIT"
"""Names the environment variable that turns compiled kernels off when it is 0."""

_DIGEST = hashlib.sha256().digest_size
_lock = threading.RLock()  # a signal's handler may compile on top of what it interrupts
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _digest_of_code(folder: Path) -> str | None:
    """Return the digest of all code below a folder, as Python would import it; None if there is none."""
    mark, ends, found = hashlib.sha256(), tuple(all_suffixes()), False
    try:
        for path in sorted(folder.rglob("*")):
            if path.name.endswith(ends) and path.parent.name != "__pycache__":
                found = True
                mark.update(path.read_bytes())
    except OSError:
        return None
    return mark.hexdigest() if found else None


_code = _digest_of_code(Path(__file__).parents[1])
"""Taken with the import: what a release installed later writes is not what this process makes."""


@cache
def available() -> bool:
    """Tell whether kernels can be compiled here: llvmlite is there, and may make code that runs."""
    if os.environ.get(SWITCH, "1") == "0":
        return False
    try:
        from llvmlite import binding

        with _lock:
            binding.initialize_native_target()
            binding.initialize_native_asmprinter()
            binding.check_jit_execution()
            processor()
    except (ImportError, OSError, RuntimeError):
        return False
    return True


class Compiler:
    """Makes functions of one signature, given what they are for, and remembers them.

    ``text`` returns a module in LLVM's language whose function is called ``kernel``.
    """

    def __init__(self, text: Callable[..., str], result: Any, *arguments: Any) -> None:
        self.text = text
        self.signature = ctypes.CFUNCTYPE(result, *arguments)
        self.made: dict[tuple[Hashable, ...], Any] = {}

    def __call__(self, *wanted: Hashable) -> Any:
        """Return the function for what is wanted, which ``text`` takes; the GIL is released in it."""
        found = self.made.get(wanted)
        if found is None:
            with _lock:
                found = self.made.get(wanted)
                if found is None:
                    found = self.made[wanted] = self.signature(self._address(wanted))
        return found

    def _address(self, wanted: tuple[Hashable, ...]) -> int:
        place = _place((self.text.__module__, self.text.__qualname__, *wanted))
        code = _recall(place)
        if code is not None:
            with contextlib.suppress(RuntimeError):  # then it is damaged in a way the digest cannot tell
                return _load(code)
        code = _machine_code(self.text(*wanted))
        _keep(place, code)
        return _load(code)


def _machine_code(text: str) -> bytes:
    from llvmlite import binding

    chip = processor()
    triple = binding.get_process_triple()
    # Code and its constants are mapped apart, and may come to lie further apart than a short address reaches.
    model = "large" if triple.startswith("x86_64") else "small"
    machine = binding.Target.from_triple(triple).create_target_machine(
        cpu=chip.name, features=chip.features, opt=2, reloc="pic", codemodel=model
    )
    module = binding.parse_assembly(text)
    module.verify()
    return bytes(machine.emit_object(module))


def _load(code: bytes) -> int:
    from llvmlite import binding

    linker = _linker()
    tracker = (
        binding.JITLibraryBuilder()
        .add_object_img(code)
        .export_symbol("kernel")
        .link(linker, f"kernel{next(_numbers)}")
    )
    _loaded.append((linker, tracker))  # the code lives as long as these
    return int(tracker["kernel"])


_loaded: list[Any] = []
_numbers = iter(range(1 << 62))


@cache
def _linker() -> Any:
    from llvmlite import binding

    return binding.create_lljit_compiler()


@cache
def _generation() -> str | None:
    """Return what changes when anything that writes kernels does; None if nothing tells."""
    import llvmlite

    if _code is None:
        return None
    return hashlib.sha256(f"{llvmlite.__version__} {processor()} {_code}".encode()).hexdigest()


def _place(wanted: tuple[Hashable, ...]) -> Path | None:
    """Return where the function is kept; None if it is not, as what is wanted may change unnoticed."""
    folder = cache_folder()
    if folder is None or not _is_told(wanted):
        return None
    generation = _generation()
    if generation is None:
        return None
    name = hashlib.sha256(f"{generation} {wanted!r}".encode()).hexdigest()[:32]
    return folder / "kernels" / f"{name}.o"


def _is_told(wanted: object) -> bool:
    """Tell whether the generation and what a value prints say all: it is plain, or of this package's making.

    A program of the user's own prints as it did before it was edited.
    """
    kind = type(wanted)
    if kind in (bool, int, float, str, bytes, type(None)):
        return True
    if kind is not tuple and kind.__module__.partition(".")[0] != __name__.partition(".")[0]:
        return False
    if isinstance(wanted, tuple):
        return all(map(_is_told, wanted))
    return is_dataclass(wanted) and all(_is_told(getattr(wanted, field.name)) for field in fields(wanted))


def _recall(place: Path | None) -> bytes | None:
    if place is None:
        return None
    try:
        with open(place, "rb", opener=_at_once) as stream:
            stored = stream.read() if _is_ours(os.fstat(stream.fileno())) else b""
    except OSError:
        return None
    code, digest = stored[:-_DIGEST], stored[-_DIGEST:]
    return code if code and _digest(place, code) == digest else None


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for who would write to a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _digest(place: Path, code: bytes) -> bytes:
    """Return the digest of code and of what it is for, so that no file passes for another."""
    return hashlib.sha256(place.name.encode() + code).digest()


def _is_ours(status: os.stat_result) -> bool:
    """Tell whether it is a file that nobody else can have written: a digest does not tell who did."""
    if not stat.S_ISREG(status.st_mode):
        return False
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keep(place: Path | None, code: bytes) -> None:
    if place is not None:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(place, lambda stream: stream.write(code + _digest(place, code)))
