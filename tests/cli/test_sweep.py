"""``varangian sweep`` as a person starts, interrupts and kills it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.running import SECONDS, Ending, Run, process, start
from cli.test_processes import read_until
from experiments.grids import tiny
from experiments.test_store import same

import varangian as vg
from varangian.experiments.store import Store
from varangian.experiments.sweeps import read_grid
from varangian.experiments.sweeps.orders import obey
from varangian.experiments.sweeps.started import begin, resume, started

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "rules-under-attack.toml"
SHORT = """
model = "logistic"
workers = 5
steps = 4
evaluate_every = 2
[grid]
seed = [1, 2]
"""
LONG = SHORT.replace("steps = 4", "steps = 2000").replace("evaluate_every = 2", "evaluate_every = 2000")
ENDLESS = LONG.replace("2000", "40_000")
"""As long as its first checkpoint may take: that comes after a tenth of the steps."""
FAILING = SHORT + 'who = [{ byzantine = 1, attack = "signflip" }, { byzantine = 3, attack = "alie" }]\n'


@pytest.fixture
def grid(elsewhere: Path) -> Callable[[str], Path]:
    """Return a function that writes a grid file, named as one gives it on the command line."""

    def write(text: str) -> Path:
        (elsewhere / "grid.toml").write_text(text, encoding="utf-8")
        return Path("grid.toml")

    return write


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "It never came to be."
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def checkpoints(store: Path) -> list[Path]:
    return list(store.glob("batches/*/checkpoint"))


def test_the_example_runs_once_and_is_told() -> None:
    first = process("sweep", str(EXAMPLE), "--jobs", "2")
    assert (first.code, first.err) == (0, "")
    assert first.out.splitlines() == [
        "24 of 24 runs are finished.",
        "See them with: varangian results --store store",
    ]
    again = process("sweep", str(EXAMPLE))
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith("24 of 24 runs are finished, 24 of them before.\n")
    told = process("results", "--by", "rule", "--columns", "attack")
    assert (told.code, told.err) == (0, "")
    assert [line.split()[0] for line in told.out.splitlines()[1:]] == ["rule", "mean", "trmean", "nnm+trmean"]
    assert told.out.count("(4)") == 6
    alone = vg.run(read_grid(EXAMPLE)[-1])
    assert same(Store("store").read(alone.experiment), alone)


def test_a_failed_run_is_told_at_the_end_and_the_others_are_finished(grid: Callable[[str], Path]) -> None:
    done = process("sweep", str(grid(FAILING)), "--jobs", "1")
    assert done.code == 1
    assert done.out.startswith("2 of 4 runs are finished. 2 failed.\n")
    assert done.err.count("failed: ") == 2
    assert "no finite default z" in done.err
    assert 'attack = "a-little-is-enough"' in done.err
    assert "Traceback" not in done.err


REFUSED = [
    ("stepz = 3", "Did you mean 'steps'"),
    (SHORT + 'byzantine = [2]\nrule = ["median", "krum"]', "where seed = 1, byzantine = 2, rule = 'krum'"),
    (SHORT.replace("logistic", "logistik"), "Did you mean 'logistic'"),
    ('data = "mnist"', "mnist lacks"),
    ("a = = 3", "is not TOML"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_grid_that_is_wrong_is_refused_and_nothing_runs(
    text: str, said: str, run: Run, grid: Callable[[str], Path], elsewhere: Path
) -> None:
    flags = ["--jobs", "1"]
    if "mnist" in text:
        text += f'\ndata_dir = "{elsewhere}"'
    done = run("sweep", str(grid(text)), *flags)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert not (elsewhere / "store").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep"], "Missing argument"),
        (["sweep", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["sweep", "nowhere.toml", "--jobs", "0"], "0 is not in the range"),
        (["sweep", "nowhere.toml", "--jbos", "2"], "Did you mean '--jobs'"),
    ],
    ids=str,
)
def test_words_that_are_wrong_are_refused(words: list[str], said: str, run: Run) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.fixture
def read_only(elsewhere: Path) -> Iterator[Path]:
    """Yield a folder into which nobody can write, not even the superuser."""
    folder = elsewhere / "fixed"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        yield Path("/sys/kernel")  # where nobody may mount
    else:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)


def test_a_store_that_cannot_be_written_is_told_before_anything_runs(
    run: Run, grid: Callable[[str], Path], read_only: Path
) -> None:
    done = run("sweep", str(grid(SHORT)), "--store", str(read_only / "store"))
    assert (done.code, done.out) == (2, "")
    assert re.search(
        r"cannot be written: (Read-only file system|Permission denied|Operation not permitted)\. Nothing",
        done.err,
    )


@pytest.fixture
def small_disk(elsewhere: Path) -> Iterator[tuple[Path, Callable[[], object]]]:
    """Yield a folder with room for a run or two, and what makes room for more.

    Where nobody may mount, no file may be larger than a run's smallest ones.
    """
    folder = elsewhere / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
        yield folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    else:
        yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_a_sweep_with_an_error_and_more_room_resumes_it(
    small_disk: tuple[Path, Callable[[], object]], grid: Callable[[str], Path]
) -> None:
    folder, make_room = small_disk
    path = str(grid(SHORT.replace("[1, 2]", "[1, 2, 3, 4, 5, 6]")))
    full = process("sweep", path, "--store", str(folder), "--jobs", "1")
    assert (full.code, full.out) == (2, "")
    assert re.search("No space left on device|File too large", full.err)
    assert "Traceback" not in full.err
    before = len(Store(folder).scan().entries)
    make_room()
    done = process("sweep", path, "--store", str(folder), "--jobs", "1")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("6 of 6 runs are finished")
    assert len(Store(folder).scan().entries) == 6 > before


def begun(path: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a sweep, and return when its first checkpoint is written."""
    child = start("sweep", str(path), *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: checkpoints(Path("store")) or child.poll() is not None)
    assert child.poll() is None, child.communicate()
    return child


def finished(path: Path, *flags: str) -> Ending:
    """Finish a sweep, and see that every run is what it is without any interruption."""
    done = process("sweep", str(path), *flags)
    assert done.code == 0, done.err
    compare(path)
    assert started(Store("store")) == {}
    return done


def compare(path: Path) -> None:
    """See that every run of a sweep is what it is in a sweep that nobody interrupts."""
    assert process("sweep", str(path), "--store", "whole", "--jobs", "1").code == 0
    there, whole = Store("store"), Store("whole")
    assert all(same(there.read(spec), whole.read(spec)) for spec in read_grid(path))


def test_killed_at_once_a_sweep_leaves_nobody_behind_and_goes_on(grid: Callable[[str], Path]) -> None:
    path = grid(LONG)
    child = begun(path, "--jobs", "1")
    workers = children(child.pid)
    assert workers
    child.kill()
    child.communicate()
    until(lambda: not any(map(alive, workers)))
    assert len(started(Store("store"))) == 1
    assert not list(Path("store/runs").glob("[!.]*"))
    finished(path, "--jobs", "1")


def test_ctrl_c_says_how_to_go_on(grid: Callable[[str], Path]) -> None:
    path = grid(ENDLESS)
    child = begun(path, "--jobs", "1")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out) == (130, "")
    assert err == (
        "interrupted: 0 of 2 runs are finished. Go on with: varangian sweep grid.toml --store store\n"
    )
    assert checkpoints(Path("store"))


@pytest.mark.slow
def test_a_killed_worker_is_replaced(grid: Callable[[str], Path]) -> None:
    path = grid(LONG)
    child = begun(path, "--jobs", "1")
    for worker in children(child.pid):
        os.kill(worker, signal.SIGKILL)
    out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, err) == (0, "")
    assert out.startswith("2 of 2 runs are finished.")
    compare(path)


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_told(grid: Callable[[str], Path]) -> None:
    path = grid(LONG)
    child = begun(path, "--jobs", "1")
    (checkpoint,) = checkpoints(Path("store"))
    before = checkpoint.stat().st_mtime_ns
    for worker in children(child.pid):
        os.kill(worker, signal.SIGKILL)
    until(lambda: checkpoint.stat().st_mtime_ns > before)
    for worker in children(child.pid):
        os.kill(worker, signal.SIGKILL)
    until(lambda: list(Path("store").glob("batches/*/checkpoint-*")))
    for worker in children(child.pid):
        os.kill(worker, signal.SIGKILL)
    out, err = child.communicate(timeout=SECONDS)
    assert child.returncode == 1
    assert out.startswith("1 of 2 runs are finished. 1 failed.")
    assert "its process died (killed by SIGKILL; the system kills so where memory runs out)" in err
    assert "seed = 1" in err


def test_a_sweep_waits_for_what_another_process_works_on(grid: Callable[[str], Path]) -> None:
    path, store = grid(SHORT), Store("store")
    store.prepare()
    batch, _ = begin(store, read_grid(path)[:1], every=1)
    assert batch is not None
    child = start("sweep", str(path), "--jobs", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: tiny(seed=2) in store)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(1)
    assert tiny(seed=1) not in store
    batch.leave()
    out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, err) == (0, "")
    assert tiny(seed=1) in store
    assert out.startswith("2 of 2 runs are finished.")


@pytest.mark.slow
def test_two_sweeps_share_a_store(grid: Callable[[str], Path]) -> None:
    path = grid(LONG.replace("[1, 2]", "[1, 2, 3, 4]").replace("2000", "300"))
    both = [
        start("sweep", str(path), "--jobs", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for child in both:
        out, err = child.communicate(timeout=2 * SECONDS)
        assert (child.returncode, err) == (0, "")
        assert out.startswith("4 of 4 runs are finished")
    finished(path)


def test_a_batch_whose_worker_found_it_finished_is_over(grid: Callable[[str], Path]) -> None:
    """Killed between the last result and the end of the batch, a sweep has nothing left to do but say so."""
    path, store = grid(SHORT), Store("store")
    store.prepare()
    batch, _ = begin(store, read_grid(path), every=1)
    assert batch is not None
    for result in vg.run(read_grid(path)):
        store.write(result)
    batch.leave()
    assert process("sweep", str(path)).out.startswith("2 of 2 runs are finished, 2 of them before.")
    left = resume(store, batch.folder.name)
    assert left is not None
    left.leave()
    obey({"store": "store", "batch": batch.folder.name}, lambda event: None)
    assert started(store) == {}


def test_a_terminal_shows_progress_over_the_whole_grid(grid: Callable[[str], Path]) -> None:
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    child = start("sweep", str(grid(ENDLESS)), "--jobs", "1", stdout=subprocess.PIPE, stderr=inside)
    os.close(inside)
    shown = read_until(terminal, b" left")
    child.send_signal(signal.SIGINT)
    rest = read_until(terminal, b"Go on with")
    child.communicate(timeout=SECONDS)
    os.close(terminal)
    assert b"0/2 runs" in shown
    assert b"% of all steps" in shown
    assert b"Traceback" not in rest
    assert child.returncode == 130
