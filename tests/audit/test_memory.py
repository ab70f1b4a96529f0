"""Recorded rounds of any length: what an audit holds is a block of them, at no time a vector."""

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
LONG = 2_500_000
MOST = 7
"""Megabytes that a long round may take beyond a short one: a tenth of its file, and less than one vector."""

AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "16384"}
"""Tells the C library to give freed arrays back at once: what it keeps for later is not what is measured."""

MEASURE = f'''
import re, sys
from pathlib import Path
import varangian as vg
from varangian.audit import read_rounds, replay
from varangian.audit.examination import Job
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
    (one,) = read_rounds(folder)
    for rule in (RULE, vg.FLTrust()):
        job = Job(rule, 8, 1, True)
        ground = job.ground(measure(one, rule, 1), tuple(range(7)))
        ground.exactly(ground.rows[:1])

def whole(folder):
    """Do all that the command does."""
    out = folder.with_suffix(".out")
    vg.audit(folder, RULE).write(out)
    assert replay(out / "worst-attack.npz").same

RULE = vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))
rounds.BLOCK, Stored.rows = {BLOCK}, watched
for look in (worst, whole):
    peaks = []
    for folder in map(Path, sys.argv[1:]):
        peak = 0.0
        look(folder)
        peaks.append(peak)
    print(peaks[1] - peaks[0])
'''


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how much memory is no file")
def test_memory_is_bounded_by_a_block(tmp_path: Path) -> None:
    for name, d in ("short", 600_000), ("long", LONG):
        (tmp_path / name).mkdir()
        x = open_memmap(tmp_path / name / "1.npy", mode="w+", dtype=np.float32, shape=(8, d))
        for i in range(8):
            x[i] = np.random.default_rng(i).standard_normal(d, dtype=np.float32)
        x.flush()
    assert 8 * 4 * LONG > 10 * MOST * 2**20
    assert 4 * LONG > MOST * 2**20
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, *(str(tmp_path / name) for name in ("short", "long"))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **AT_ONCE},
    )
    more = [float(line) for line in told.stdout.split()]
    assert max(more) < MOST, f"{more} MB for a file of {8 * 4 * LONG >> 20} MB"
