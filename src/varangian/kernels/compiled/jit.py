"""Machine code from LLVM's language, made once and kept: the only place that knows llvmlite.

What is kept is native code, so it is kept in the user's own folder, and its digest is checked when it comes
back.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any

from varangian.folders import cache_folder, write_whole
from varangian.kernels.compiled.processor import processor

SWITCH = "VARANGIAN_JIT"
"""Names the environment variable that turns compiled kernels off when it is 0."""

_DIGEST = hashlib.sha256().digest_size
_lock = threading.Lock()


@cache
def available() -> bool:
    """Tell whether kernels can be compiled here: llvmlite is there, and may make code that runs."""
    if os.environ.get(SWITCH, "1") == "0":
        return False
    try:
        from llvmlite import binding

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

    tracker = (
        binding.JITLibraryBuilder()
        .add_object_img(code)
        .export_symbol("kernel")
        .link(_linker(), f"kernel{next(_numbers)}")
    )
    _loaded.append(tracker)  # the code lives as long as its tracker
    return int(tracker["kernel"])


_loaded: list[Any] = []
_numbers = iter(range(1 << 62))


@cache
def _linker() -> Any:
    from llvmlite import binding

    return binding.create_lljit_compiler()


@cache
def _generation() -> str:
    """Return what changes when anything that writes kernels does."""
    import llvmlite

    mark = hashlib.sha256(f"{llvmlite.__version__} {processor()}".encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        mark.update(source.read_bytes())
    return mark.hexdigest()


def _place(wanted: tuple[Hashable, ...]) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    name = hashlib.sha256(f"{_generation()} {wanted!r}".encode()).hexdigest()[:32]
    return folder / "kernels" / f"{name}.o"


def _recall(place: Path | None) -> bytes | None:
    if place is None:
        return None
    try:
        with place.open("rb") as stream:
            stored = stream.read() if _is_ours(os.fstat(stream.fileno())) else b""
    except OSError:
        return None
    code, digest = stored[:-_DIGEST], stored[-_DIGEST:]
    return code if code and hashlib.sha256(code).digest() == digest else None


def _is_ours(status: os.stat_result) -> bool:
    """Tell whether nobody else can have written a file: a digest does not tell who did."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keep(place: Path | None, code: bytes) -> None:
    if place is not None:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(place, lambda stream: stream.write(code + hashlib.sha256(code).digest()))
