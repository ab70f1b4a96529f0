"""Measure the kernels on a graphics processor, beside what it copies and PyTorch's own operators.

    python benchmarks/card.py [FILE.json [columns] [halves] [pairs] [sums] [rules]]

Of each stack, about four gibibytes, which no cache of a card holds: the kernels of rules by CUDA's events,
many calls between two of them, medians of rounds in which all take turns. A share is the bytes that must be
read and written, each once, in the time taken, over the rate at which the card copies in the same rounds,
reads and writes counted. Whole rules are timed on the wall, at d = 1e6, waiting for the result.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import varangian as vg
from varangian.experiments.bench.machine import machine
from varangian.kernels.cuda.columns import reduce
from varangian.kernels.cuda.combinations import combine
from varangian.kernels.cuda.distances import distances
from varangian.kernels.programs import Middle, Nearest, Program, Trimmed
from varangian.kernels.rows import Rows, Segment

Work = Callable[[], object]
BYTES, ROUNDS, AT_LEAST = 2**32, 5, 0.02
SIZES = (11, 25, 51, 101)
HALVES = (11, 25, 51)
WIDTH = 1_000_000


def main() -> None:
    """Measure everything, print it, and write it down."""
    if not torch.cuda.is_available():
        sys.exit(
            "There is no CUDA device here, or PyTorch has no CUDA; python -m torch.utils.collect_env says."
        )
    card = torch.cuda.get_device_properties(0)
    here = {**machine(), "card": card.name, "cuda": str(torch.version.cuda)}
    print(here)
    parts = {"columns": columns, "halves": halves, "pairs": pairs, "sums": sums, "rules": rules}
    found: list[dict[str, Any]] = []
    if wrong := sorted({*sys.argv[2:]} - {*parts}):
        sys.exit(f"There is no part {wrong[0]!r}; choose from {', '.join(parts)}.")
    for name in sys.argv[2:] or parts:
        found += parts[name]()
        if len(sys.argv) > 1:
            Path(sys.argv[1]).write_text(json.dumps({"machine": here, "found": found}, indent=1) + "\n")


def stack(n: int, dtype: torch.dtype = torch.float32, width: int | None = None) -> Tensor:
    """Return normal vectors, so long that no cache holds them."""
    d = width or BYTES // (n * torch.empty((), dtype=dtype).element_size()) // 128 * 128
    return torch.randn(n, d, device="cuda").to(dtype)


def columns() -> list[dict[str, Any]]:
    """Measure column programs in float32."""
    return [one for n in SIZES for one in _columns(n, torch.float32, sort=n < 100)]


def halves() -> list[dict[str, Any]]:
    """Measure the median and the trimmed mean in half precision."""
    return [one for n in HALVES for dtype in (torch.float16, torch.bfloat16) for one in _columns(n, dtype)]


def _columns(n: int, dtype: torch.dtype, *, sort: bool = False) -> list[dict[str, Any]]:
    x, f = stack(n, dtype), (n - 1) // 4
    out = torch.empty_like(x[0])
    programs: dict[str, Program] = {"Median": Middle(), "TrimmedMean": Trimmed(f)}
    if dtype == torch.float32:
        programs |= {"MeanAroundMedian": Nearest(f, Middle()), "Phocas": Nearest(f, Trimmed(f))}
    works: dict[str, Work] = {
        name: lambda program=program: reduce(program, Rows([Segment(x)]), [out])  # type: ignore[misc]
        for name, program in programs.items()
    }
    if sort:
        small = x[:, : x.shape[1] // 32]
        works |= {"torch.median / 32": lambda: small.median(0), "torch.sort / 32": lambda: small.sort(0)}
    return _shown(x, works, (n + 1) / n * x.nbytes)


def pairs() -> list[dict[str, Any]]:
    """Measure distances, also of rows that do not begin where 16 bytes are loaded at once."""
    found = []
    for n in SIZES:
        x = stack(n)
        odd = x.view(-1)[: n * (x.shape[1] - 1)].view(n, -1)
        works: dict[str, Work] = {
            "distances": lambda x=x: distances(Rows([Segment(x)])),
            "distances, odd rows": lambda odd=odd: distances(Rows([Segment(odd)])),
            "x @ x.T": lambda x=x: x @ x.mT,
            "torch.cdist, direct, / 256": lambda x=x: torch.cdist(
                x[:, : x.shape[1] // 256],
                x[:, : x.shape[1] // 256],
                compute_mode="donot_use_mm_for_euclid_dist",
            ),
        }
        found += _shown(x, works, x.nbytes)
    return found


def sums() -> list[dict[str, Any]]:
    """Measure one combination of all rows, and as many as there are rows."""
    return [one for n in SIZES[:3] for one in _sums(n)]


def _sums(n: int) -> list[dict[str, Any]]:
    x = stack(n)
    one = torch.full((1, n), 1 / n, dtype=torch.float64, device="cuda")
    out, outs = torch.empty_like(x[:1]), torch.empty_like(x)
    single: dict[str, Work] = {"one sum": lambda: combine(one, Rows([Segment(x)]), [out])}
    many: dict[str, Work] = {"n sums": lambda: combine(one.expand(n, n), Rows([Segment(x)]), [outs])}
    return [*_shown(x, single, (n + 1) / n * x.nbytes), *_shown(x, many, 2 * x.nbytes)]


def _shown(x: Tensor, works: dict[str, Work], least: float) -> list[dict[str, Any]]:
    """Measure in turns, beside a copy of half of the bytes there and back; show, and return what came out."""
    flat = torch.empty(x.nbytes // 2, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(flat)
    times = alternate({"copy": lambda: other.copy_(flat), **works})
    rate = x.nbytes / times["copy"]
    found = []
    for name, seconds in times.items():
        share = least / seconds / rate if name != "copy" else 1.0
        kind = str(x.dtype).removeprefix("torch.")
        found.append({"what": name, "n": x.shape[0], "d": x.shape[1], "dtype": kind, "seconds": seconds})
        found[-1] |= {"share of the copy rate": share, "copy rate": rate}
        told = f"{seconds * 1e3:9.3f} ms {share:8.1%} of {rate / 1e9:.0f} GB/s"
        print(f"n={x.shape[0]:<4} {kind:9} {name:26} {told}", flush=True)
    return found


def alternate(works: dict[str, Work]) -> dict[str, float]:
    """Return the seconds of one call of each, by events, medians over rounds in turns."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    calls = {}
    for name, work in works.items():
        work()
        calls[name] = max(2, int(AT_LEAST / max(1e-6, _spent(work, 2))))
    for _ in range(ROUNDS):
        for name, work in works.items():
            spent[name].append(_spent(work, calls[name]))
    return {name: statistics.median(rounds) for name, rounds in spent.items()}


def _spent(work: Work, calls: int) -> float:
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(calls):
        work()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop) / 1e3 / calls


def rules() -> list[dict[str, Any]]:
    """Time whole rules on the wall, at n = 25, and PyTorch's operators."""
    n, f = 25, 5
    x = stack(n, width=WIDTH)
    made = [
        vg.Average(),
        vg.Median(f=f),
        vg.TrimmedMean(f=f),
        vg.MeanAroundMedian(f=f),
        vg.Krum(f=f),
        vg.MultiKrum(f=f),
        vg.GeometricMedian(f=f),
        vg.CenteredClipping(f=f, radius=1000.0),
        vg.Bulyan(f=f),
        vg.chain(vg.NearestNeighborMixing(f=f), vg.TrimmedMean(f=f)),
    ]
    works: dict[str, Work] = {str(rule): lambda rule=rule: rule(x) for rule in made}  # type: ignore[misc]
    works |= {
        "torch.median": lambda: x.median(0),
        "torch.sort": lambda: x.sort(0),
        "x @ x.T": lambda: x @ x.mT,
    }
    found = []
    for name, work in works.items():
        work()
        spent = []
        for _ in range(2 * ROUNDS):
            torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            spent.append(time.perf_counter() - start)
        seconds = statistics.median(spent)
        found.append({"what": name, "n": n, "d": WIDTH, "dtype": "float32", "wall": seconds})
        print(f"n={n:<4} d={WIDTH:.0e} {name:60} {seconds * 1e3:9.3f} ms on the wall")
    return found


if __name__ == "__main__":
    main()
