"""What is compiled is kept, found by the next process, and made again where it is damaged or missing."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pytest

from varangian import folders
from varangian.kernels.compiled import jit
from varangian.kernels.compiled.columns import column_code
from varangian.kernels.compiled.distances import Ahead
from varangian.kernels.compiled.jit import SWITCH, Compiler
from varangian.kernels.programs import Arithmetic, Middle, Nearest, Program, Trimmed, V

DIGEST = hashlib.sha256().digest_size


@pytest.fixture(autouse=True)
def cache(compiled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep kernels where users do, in a folder of one's own."""
    folder = tmp_path / "cache"
    written.clear()
    monkeypatch.setenv(folders.CACHE, str(folder))
    monkeypatch.setattr(jit, "cache_folder", folders.cache_folder)
    return folder


written: list[int] = []
"""What was really written, and not found."""


def text(number: int) -> str:
    """Return a module that knows a number."""
    written.append(number)
    return f"define i32 @kernel() {{\n  ret i32 {number}\n}}"


def compiler() -> Compiler:
    """Return a compiler that remembers nothing, as that of a process that has just begun."""
    return Compiler(text, ctypes.c_int32)


def test_a_function_is_made_once() -> None:
    make = compiler()
    assert [make(7)(), make(7)(), make(8)(), make(7)()] == [7, 7, 8, 7]
    assert make(7) is make(7)
    assert written == [7, 8]


def test_a_function_is_kept(cache: Path) -> None:
    assert compiler()(7)() == compiler()(7)() == 7
    assert written == [7]
    (kept,) = (cache / "kernels").iterdir()
    stored = kept.read_bytes()
    assert digest(kept, stored[:-DIGEST]) == stored[-DIGEST:]


def digest(kept: Path, code: bytes) -> bytes:
    return hashlib.sha256(kept.name.encode() + code).digest()


def test_functions_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler()(7)
    monkeypatch.setattr(jit, "_generation", lambda: "another release")
    compiler()(7)
    assert written == [7, 7]


def test_another_release_or_processor_is_another_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite

    before = jit._generation.__wrapped__()
    assert jit._generation.__wrapped__() == before
    with monkeypatch.context() as patch:
        patch.setattr(llvmlite, "__version__", "0")
        assert jit._generation.__wrapped__() != before
    monkeypatch.setattr(jit, "processor", lambda: "another")
    assert jit._generation.__wrapped__() != before


# What is not kept

BELOW = Path(jit.__file__).parents[1]


def test_code_is_told_apart_as_it_is_imported(tmp_path: Path) -> None:
    assert jit._code == jit._digest_of_code(BELOW)
    assert jit._digest_of_code(tmp_path) is None
    assert jit._digest_of_code(tmp_path / "in.zip" / "varangian") is None
    digests = set()
    for name, content in [("a.py", b"1"), ("a.py", b"2"), ("b/c.pyc", b"1"), ("b/c.pyc", b"2")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        digests.add(jit._digest_of_code(tmp_path))
    assert len(digests) == 4
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"made of a.py")
    (tmp_path / "a.txt").write_bytes(b"no code")
    assert jit._digest_of_code(tmp_path) in digests


def test_where_no_code_is_found_nothing_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_code", None)
    monkeypatch.setattr(jit, "_generation", jit._generation.__wrapped__)
    assert compiler()(7)() == compiler()(7)() == 7
    assert written == [7, 7]
    assert not cache.exists()


@dataclass(frozen=True)
class Mine(Program):
    """A program of the user's own, which prints the same whatever it does."""

    def labels(self, n: int) -> tuple[int, ...]:
        return tuple(range(n))

    def value(self, ranks: Mapping[int, V], n: int, on: Arithmetic[V]) -> V:
        return ranks[0]


class Number(IntEnum):
    """Numbers of the user's own."""

    ONE = 1


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ((Trimmed(1), 3, "float32"), True),
        ((Nearest(1, Middle(lower=True)), 3, None, 0.5, ("x", b"y")), True),
        ((Ahead("float32", together=2),), True),
        ((Mine(), 3, "float32"), False),
        ((Trimmed(Number.ONE), 3, "float32"), False),
        (((Mine(),),), False),
        ((len,), False),
        ((Number.ONE,), False),
    ],
    ids=repr,
)
def test_what_does_not_print_all_that_it_does_is_not_kept(
    wanted: tuple[Hashable, ...], told: bool, cache: Path
) -> None:
    assert (jit._place(wanted) is not None) is told


Damage = Callable[[Path, bytes], bytes]


def damaged(change: Callable[[bytes], bytes]) -> Damage:
    """Return what changes the code, and gives the change a digest that holds."""

    def changed(kept: Path, stored: bytes) -> bytes:
        code = change(stored[:-DIGEST])
        return code + digest(kept, code)

    return changed


DAMAGES: dict[str, Damage] = {
    "empty": lambda kept, stored: b"",
    "truncated": lambda kept, stored: stored[:-1],
    "half": lambda kept, stored: stored[: len(stored) // 2],
    "a digest and no more": lambda kept, stored: stored[-DIGEST:],
    "one bit": lambda kept, stored: bytes([stored[0] ^ 1]) + stored[1:],
    "one bit of the digest": lambda kept, stored: stored[:-1] + bytes([stored[-1] ^ 1]),
    "longer": lambda kept, stored: stored + b"x",
    "garbage with a digest": damaged(lambda code: b"no machine code" * 50),
    "zeros with a digest": damaged(lambda code: bytes(2000)),
    "half with a digest": damaged(lambda code: code[: len(code) // 2]),
    "nothing with a digest": damaged(lambda code: b""),
    "another function with a digest": damaged(
        lambda code: jit._machine_code("define i32 @other() {\n  ret i32 3\n}")
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(damage: str, cache: Path) -> None:
    compiler()(7)
    (kept,) = (cache / "kernels").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(DAMAGES[damage](kept, whole))
    assert compiler()(7)() == 7
    assert written == [7, 7]
    assert kept.read_bytes() == whole
    assert compiler()(7)() == 7
    assert written == [7, 7]


def test_another_functions_file_is_made_again(cache: Path) -> None:
    compiler()(7)
    (seven,) = (cache / "kernels").iterdir()
    whole = seven.read_bytes()
    compiler()(8)
    seven.write_bytes(next(file for file in (cache / "kernels").iterdir() if file != seven).read_bytes())
    assert compiler()(7)() == 7
    assert written == [7, 8, 7]
    assert seven.read_bytes() == whole


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="tells owners as POSIX does")
@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_code_that_others_may_have_written_is_made_again(mode: int, cache: Path) -> None:
    compiler()(7)
    (kept,) = (cache / "kernels").iterdir()
    kept.chmod(mode)
    assert compiler()(7)() == 7
    assert written == [7, 7]


def test_a_folder_in_place_of_a_file_is_passed_over(cache: Path) -> None:
    compiler()(7)
    (kept,) = (cache / "kernels").iterdir()
    kept.unlink()
    kept.mkdir()
    assert compiler()(7)() == 7
    assert list((cache / "kernels").iterdir()) == [kept]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes pipes as POSIX does")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(cache: Path) -> None:
    assert said(started())
    for kept in (cache / "kernels").iterdir():
        kept.unlink()
        os.mkfifo(kept, 0o600)
    assert said(started(), timeout=60)
    assert all(kept.is_file() for kept in (cache / "kernels").iterdir())


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_cache_that_cannot_be_written_is_no_error(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(folders.CACHE, str(tmp_path / place))
    assert compiler()(7)() == compiler()(7)() == 7
    assert written == [7, 7]


def test_a_folder_that_may_only_be_read_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders.tempfile, "mkstemp", refuse)
    assert compiler()(7)() == compiler()(7)() == 7
    assert written == [7, 7]
    assert not list((cache / "kernels").iterdir())


def test_a_full_disk_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert compiler()(7)() == 7
    assert not list((cache / "kernels").iterdir())


def test_without_a_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "cache_folder", lambda: None)
    assert compiler()(7)() == compiler()(7)() == 7
    assert written == [7, 7]


def test_a_mistake_in_the_text_is_no_damage(cache: Path) -> None:
    def wrong() -> str:
        return "define i32 @kernel() { ret i32 %nowhere }"

    with pytest.raises(RuntimeError, match="nowhere"):
        Compiler(wrong, ctypes.c_int32)()
    assert not cache.exists()


# Whole processes

PROGRAM = """
import sys, time, torch
import varangian as vg
from varangian.kernels import columns
from varangian.kernels.compiled import jit
if len(sys.argv) > 1:
    def refuse(*wanted):
        raise SystemExit("written again")
    jit._machine_code = refuse
x = torch.randn(25, 1003, generator=torch.Generator().manual_seed(0))
rules = [vg.Median(f=5), vg.TrimmedMean(f=5), vg.MeanAroundMedian(f=5), vg.Phocas(f=5), vg.SignMajority(f=5)]
results = [rule(x) for rule in rules]
print(jit.available(), *(value.item().hex() for result in results for value in result[:20]))
"""


def started(*arguments: str, code: str = PROGRAM, **environment: str) -> subprocess.Popen[str]:
    variables = {name: value for name, value in os.environ.items() if name != SWITCH}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=variables | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], timeout: float = 300) -> list[str]:
    try:
        out, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return out.split()


def test_the_next_process_compiles_nothing(cache: Path) -> None:
    first = said(started())
    kept = {file: file.stat().st_mtime_ns for file in (cache / "kernels").iterdir()}
    assert first[0] == "True"
    assert said(started("only from the cache")) == first
    assert {file: file.stat().st_mtime_ns for file in (cache / "kernels").iterdir()} == kept


def test_processes_may_fill_the_cache_at_once(cache: Path) -> None:
    first, *others = [said(process) for process in [started() for _ in range(3)]]
    assert all(other == first for other in others)
    assert {file.suffix for file in (cache / "kernels").iterdir()} == {".o"}
    assert said(started("only from the cache")) == first


def test_compiled_or_not_it_is_the_same() -> None:
    without = said(started(**{SWITCH: "0"}))
    assert without[0] == "False"
    assert said(started())[1:] == without[1:]


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "llvmlite":
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""


def test_llvmlite_may_be_missing(cache: Path) -> None:
    without = said(started(code=BLOCKED + PROGRAM))
    assert without[0] == "False"
    assert not cache.exists()
    assert said(started())[1:] == without[1:]


def test_llvm_may_be_forbidden_to_run_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from llvmlite import binding

    def refuse() -> None:
        raise OSError("cannot allocate executable memory")

    monkeypatch.setattr(binding, "check_jit_execution", refuse)
    jit.available.cache_clear()
    assert not jit.available()


@pytest.mark.parametrize(("value", "expected"), [("0", False), ("1", True), ("", True)])
def test_the_switch(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, value)
    jit.available.cache_clear()
    assert jit.available() is expected


UPGRADED = """
import sys
from pathlib import Path
import torch
import varangian as vg
written = Path(vg.__file__).parent / "kernels" / "compiled" / "columns.py"
written.write_text(written.read_text() + "\\n")
vg.Median(f=1)(torch.randn(5, 5000))
"""


def test_a_release_installed_under_a_process_is_not_given_its_kernels(cache: Path, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    shutil.copytree(BELOW.parent, copy / "varangian", ignore=shutil.ignore_patterns("__pycache__"))
    said(started(code=UPGRADED, PYTHONPATH=str(copy), **{SWITCH: "1"}))
    kept = set((cache / "kernels").iterdir())
    assert kept
    again = UPGRADED.replace("written.write_text", "len")
    said(started(code=again, PYTHONPATH=str(copy), **{SWITCH: "1"}))
    assert len(set((cache / "kernels").iterdir())) == 2 * len(kept)


# Threads, forks and signals

FORKED = """
import os, threading, time
import torch
import varangian as vg
from varangian.kernels.compiled import jit
x = torch.randn(5, 4096)
vg.Median(f=1)(x)
compiling = threading.Event()
def watched(text, made=jit._machine_code):
    compiling.set()
    time.sleep(0.2)
    return made(text)
jit._machine_code = watched
thread = threading.Thread(target=lambda: vg.MeanAroundMedian(f=12)(torch.randn(25, 4096)))
thread.start()
compiling.wait()
child = os.fork()
if not child:
    vg.TrimmedMean(f=1)(x)
    os._exit(0)
thread.join()
print(os.waitpid(child, 0)[1], vg.Phocas(f=1)(x).shape[0])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks as POSIX does")
def test_a_child_forked_while_a_thread_compiles_compiles_as_well() -> None:
    assert said(started(code=FORKED), timeout=60) == ["0", "4096"]


SIGNALLED = """
import signal
import torch
import varangian as vg
from varangian.kernels.compiled import jit
x = torch.randn(5, 4096)
def handler(*_):
    print("handled", vg.TrimmedMean(f=1)(x).shape[0])
signal.signal(signal.SIGUSR1, handler)
def interrupted(text, made=jit._machine_code):
    jit._machine_code = made
    signal.raise_signal(signal.SIGUSR1)
    return made(text)
jit._machine_code = interrupted
print(vg.Median(f=1)(x).shape[0])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals as POSIX does")
def test_a_signals_handler_may_compile_on_top_of_what_it_interrupts() -> None:
    assert said(started(code=SIGNALLED), timeout=60) == ["handled", "4096", "4096"]


# Time


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def test_loading_takes_little_time_beside_compiling(cache: Path) -> None:
    place, wanted = cache / "kernel.o", column_code(Trimmed(5), 25, "float32")
    cache.mkdir()
    jit._keep(place, jit._machine_code(wanted))

    def load() -> None:
        code = jit._recall(place)
        assert code
        jit._load(code)

    turns = [(seconds(load), seconds(lambda: jit._machine_code(wanted))) for _ in range(5)]
    loading, compiling = map(min, zip(*turns, strict=True))
    assert loading < compiling / 5, turns


@pytest.mark.slow
@pytest.mark.parametrize(("n", "most"), [(11, 0.06), (25, 0.06), (51, 0.8), (101, 3.0)])
@pytest.mark.parametrize("program", [Middle(), Trimmed(2), Nearest(2, Middle())], ids=str)
def test_compiling_takes_little_time(n: int, most: float, program: Program) -> None:
    """In a process of its own: here every call of a function is checked for its types, which takes longer."""
    code = f"""
import time
from varangian.kernels.compiled import jit
from varangian.kernels.compiled.columns import column_code
from varangian.kernels.programs import Middle, Nearest, Trimmed
assert jit.available()
jit._machine_code(column_code(Middle(), 3, "float32"))
start = time.thread_time()
jit._machine_code(column_code({program!r}, {n}, "float32"))
print(time.thread_time() - start)
"""
    (took,) = said(started(code=code))
    assert float(took) < 2 * most


FAR = """
import ctypes
import torch
from varangian.kernels.columns import reduced
from varangian.kernels.programs import Middle, Nearest, Trimmed

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
reduced(Trimmed(1), torch.randn(5, 1000))
block = libc.mmap(None, 3 << 30, 0, 0x4022, -1, 0)
NOWHERE = ctypes.c_void_p(-1).value
assert block != NOWHERE, "so much may not be mapped"
while (found := libc.mmap(None, 1 << 15, 0, 0x4022, -1, 0)) > block:
    assert found != NOWHERE, "no more may be mapped"
# What needs nine pages fits only below the block now, and a single page above it.
print(tuple(reduced(Nearest(20, Middle()), torch.randn(101, 1000)).shape))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="maps memory as Linux does")
def test_code_and_its_constants_may_lie_far_apart(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FAR],
        env={**os.environ, "VARANGIAN_CACHE": str(tmp_path), "VARANGIAN_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout == "(1000,)\n", told.stderr
