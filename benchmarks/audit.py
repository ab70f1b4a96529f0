"""What an audit of long recorded rounds takes: seconds, and memory that is no file's, at its peak.

    python benchmarks/audit.py [--rounds 20] [--clients 8] [--d 25000000] [--rule nnm+trmean] [--folder DIR]

One round is written to the folder (800 MB as it stands) under as many names as there are rounds; each is
hashed and read as if it were another. The command runs in a process of its own, at which this one looks
twenty times a second. Beside its peak stands what such a process holds when all is imported. Linux only.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

IMPORTS = "import re, varangian.cli, varangian.audit; print(open('/proc/self/status').read())"
ANONYMOUS = re.compile(r"RssAnon:\s+(\d+)")
PIECE = 2**20


def written(folder: Path, clients: int, d: int, rounds: int) -> Path:
    """Write the rounds: what clients have in common, and noise ten times as large."""
    folder.mkdir()
    x = open_memmap(folder / "1.npy", mode="w+", dtype=np.float32, shape=(clients, d))
    for client in range(clients):
        random = np.random.default_rng(client)
        for start in range(0, d, PIECE):
            part = x[client, start : start + PIECE]
            part[:] = 1e-4 + 1e-3 * random.standard_normal(len(part), dtype=np.float32)
    x.flush()
    for other in range(2, rounds + 1):
        (folder / f"{other}.npy").hardlink_to(folder / "1.npy")
    return folder


def megabytes(status: str) -> float:
    """Return what a process holds that is no file's; nothing if it is over."""
    found = ANONYMOUS.search(status)
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--d", type=int, default=25_000_000)
    parser.add_argument("--rule", default="nnm+trmean")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as room:
        rounds = written(Path(room) / "rounds", asked.clients, asked.d, asked.rounds)
        told = subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True)
        command = ["-m", "varangian", "audit", "--rounds", str(rounds), "--rule", asked.rule, "--f", "1"]
        begun, held = time.perf_counter(), [0.0]
        running = subprocess.Popen(
            [sys.executable, *command, "--out", f"{room}/report"], stdout=subprocess.DEVNULL
        )
        while running.poll() is None:
            held.append(megabytes(Path(f"/proc/{running.pid}/status").read_text()))
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
    third = len(held) // 3
    print(f"{asked.rule}, {asked.clients} x {asked.d} x {asked.rounds}: {seconds:.1f} s")
    if running.returncode:
        sys.exit(f"The audit failed: exit code {running.returncode}.")
    print(f"RssAnon: {megabytes(told.stdout):.0f} MB imported, {max(held):.0f} at the peak,", end=" ")
    print("peaks by thirds:", *(f"{max(held[i * third : (i + 1) * third]):.0f}" for i in range(3)))


if __name__ == "__main__":
    main()
