"""What only a real process shows: exit codes, pipes, terminals, Ctrl-C."""

from __future__ import annotations

import fcntl
import gzip
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.running import SECONDS, process, start

HEAVY = {
    "beartype",
    "jax",
    "matplotlib",
    "mlflow",
    "pooch",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "tensorboard",
}
ESCAPE = "\x1b"
WIDTH = 80


def test_a_run_through_pipes_is_plain() -> None:
    done = process("train", "model=logistic", "steps=3")
    assert (done.code, done.err) == (0, "")
    assert ESCAPE not in done.out
    assert done.out.splitlines()[1].split("  ")[0] == "who lies"
    assert "chain(NearestNeighborMixing(f=4), TrimmedMean(f=4))" in done.out


def test_importing_the_command_line_is_light() -> None:
    code = "import sys, varangian.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not HEAVY & set(done.stdout.split())


def truncated(folder: Path) -> list[str]:
    packed = gzip.compress(bytes(5000))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(packed[: len(packed) // 2])
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (folder / f"{name}.gz").write_bytes(packed)
    return ["train", "--data", "mnist", "--data-dir", str(folder)]


def missing(folder: Path) -> list[str]:
    return ["train", "--data", "mnist", "--data-dir", str(folder)]


def no_folder(folder: Path) -> list[str]:
    return ["train", "--plot", str(folder / "nowhere" / "a.png")]


def unknown(folder: Path) -> list[str]:
    return ["trian"]


REFUSED = [
    (truncated, "train-images-idx3-ubyte.gz"),
    (missing, "mnist lacks train-images-idx3-ubyte"),
    (no_folder, "nowhere"),
    (unknown, "'train'"),
]


@pytest.mark.parametrize(("prepare", "said"), REFUSED, ids=[prepare.__name__ for prepare, _ in REFUSED])
def test_a_refusal_is_an_error_line_and_exit_code_2(
    prepare: Callable[[Path], list[str]], said: str, tmp_path: Path
) -> None:
    done = process(*prepare(tmp_path))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert "Traceback" not in done.err
    assert "Usage" not in done.err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    child = start("list", "rules", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout
    assert child.stderr
    child.stdout.close()  # long before the first line is written
    with child.stderr as errors:
        assert errors.read() == ""
    assert child.wait(SECONDS) == 0


def read_until(terminal: int, wanted: bytes) -> bytes:
    """Read what a terminal shows until it shows something, or nothing comes any more."""
    shown, end = b"", time.monotonic() + SECONDS
    while wanted not in shown and time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 1 << 16)
        except OSError:  # the other side is closed
            break
    return shown


def test_a_terminal_shows_progress_and_ctrl_c_ends_it_in_one_line() -> None:
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    child = start("train", "model=logistic", "steps=1000000", stdout=subprocess.PIPE, stderr=inside)
    os.close(inside)
    shown = read_until(terminal, b"left")
    child.send_signal(signal.SIGINT)
    rest = read_until(terminal, b"of 1000000")
    out, _ = child.communicate(timeout=SECONDS)
    os.close(terminal)
    assert b"4 of 20 lie, nnm+trmean" in shown
    assert b"loss" in shown
    assert b"/1000000" in shown
    assert b"interrupted: run 1 of 1" in rest
    assert b"Traceback" not in rest
    assert (child.returncode, out) == (130, "")
