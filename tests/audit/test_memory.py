"""Recorded rounds of any length and number: what an audit holds is a block of them, at no time a vector."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import open_memmap

BLOCK = 2**18
"""Bytes of vectors in memory at once, here."""
SHORT, LONG = 600_000, 2_500_000
MOST = 7
"""Megabytes that a long round may take beyond a short one: a tenth of its file, and less than one vector."""
SMALL, FEW, MANY = 40_000, 2, 18
"""Coordinates of small rounds, of which there are few or many."""

AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "16384"}
"""Tells the C library to give freed arrays back at once: what it keeps for later is not what is measured."""

MEASURE = f'''
import re, sys
from pathlib import Path
import varangian as vg
from varangian.audit import read_rounds, replay
from varangian.audit.effort import QUICK
from varangian.audit.examination import Job, examine
from varangian.audit.measured import measure
from varangian.audit.recording import rounds
from varangian.audit.recording.files import Stored

peak, read = 0.0, Stored.rows

def watched(array, step):
    """Look, after every block, at how much memory is no file's: all that is kept of blocks shows in it."""
    global peak
    for block in read(array, step):
        yield block
        held = re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())
        peak = max(peak, int(held[1]) / 1024)

def worst(folder):
    """Aggregate under an attack, block by block; trusted vectors come in blocks, too."""
    one = read_rounds(folder)[0]
    for rule in (RULE, vg.FLTrust(), vg.DnC(f=1, iterations=12)):
        job = Job(rule, 8, 1, True)
        ground = job.ground(measure(one, rule, 1), tuple(range(7)))
        ground.exactly(ground.rows[:1])

def measured(folder):
    """Read every round once, and keep what is kept of it."""
    kept = [measure(one, vg.Krum(f=1), 1).table for one in read_rounds(folder)]

def examined(folder):
    """Look for the worst attack on every round."""
    examine(read_rounds(folder), Job(vg.Krum(f=1), 8, 1, True), QUICK)

def whole(folder):
    """Do all that the command does."""
    out = folder.with_suffix(".out")
    vg.audit(folder, RULE).write(out)
    assert replay(out / "worst-attack.npz").same

RULE = vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))
rounds.BLOCK, Stored.rows = {BLOCK}, watched
for look in map(globals().get, sys.argv[3:]):
    peaks = []
    for folder in map(Path, sys.argv[1:3]):
        peak = 0.0
        look(folder)
        peaks.append(peak)
    print(peaks[1] - peaks[0])
'''


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how much memory is no file")


def recorded(folder: Path, d: int, dtype: type, rounds: int = 1) -> Path:
    """Write a round of eight clients, under as many names as there are to be rounds."""
    folder.mkdir()
    x = open_memmap(folder / "1.npy", mode="w+", dtype=dtype, shape=(8, d))
    for i in range(8):
        x[i] = np.random.default_rng(i).standard_normal(d, dtype=np.float32)
    x.flush()
    for other in range(2, rounds + 1):
        (folder / f"{other}.npy").hardlink_to(folder / "1.npy")
    return folder


def more(little: Path, much: Path, *looks: str) -> list[float]:
    """Return how many megabytes more are held, at most, while a folder is looked at than while another is."""
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, str(little), str(much), *looks],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **AT_ONCE},
    )
    return [float(line) for line in told.stdout.split()]


def test_memory_is_bounded_by_a_block(tmp_path: Path) -> None:
    assert 8 * 4 * LONG > 10 * MOST * 2**20
    assert 4 * LONG > MOST * 2**20
    little, much = (recorded(tmp_path / str(d), d, np.float32) for d in (SHORT, LONG))
    found = more(little, much, "worst", "whole")
    assert max(found) < MOST, f"{found} MB for a file of {8 * 4 * LONG >> 20} MB"


def test_memory_is_bounded_by_a_block_of_the_widest_numbers(tmp_path: Path) -> None:
    little, much = (recorded(tmp_path / str(d), d, np.float64) for d in (SHORT // 2, LONG // 2))
    (found,) = more(little, much, "measured")
    assert found < MOST, f"{found} MB for a file of {8 * 8 * LONG // 2 >> 20} MB"


def test_of_many_rounds_no_more_is_held_than_of_few(tmp_path: Path) -> None:
    few, many = (recorded(tmp_path / str(count), SMALL, np.float32, count) for count in (FEW, MANY))
    (found,) = more(few, many, "examined")
    assert found < MOST, f"{found} MB for {MANY - FEW} rounds"
