"""What whole rules cost beside their input: memory, and time that is no measuring."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory")]

RULES = """
import torch
import varangian as vg
from varangian.core.needs import Pivot

def rules(f):
    nnm = vg.NearestNeighborMixing(f=f)
    return [
        vg.Average(), vg.Median(f=f), vg.TrimmedMean(f=f), vg.MeanAroundMedian(f=f), vg.Phocas(f=f),
        vg.SignMajority(f=f), vg.Condense(f=f), vg.Krum(f=f), vg.MultiKrum(f=f), vg.Bulyan(f=f),
        vg.MultiBulyan(f=f), vg.MinimumDiameterAveraging(f=f), vg.Aksel(f=f), vg.GeometricMedian(f=f),
        vg.ComparativeGradientElimination(f=f), vg.CenteredClipping(f=f, radius=1.0), vg.MoNNA(f=f),
        vg.CAF(f=f), vg.DnC(f=f), vg.FLTrust(), vg.chain(nnm, vg.TrimmedMean(f=f)),
        vg.chain(nnm, vg.Krum(f=f)), vg.chain(nnm, vg.Aksel(f=f)), vg.chain(nnm, vg.DnC(f=f)),
        vg.chain(vg.AdaptiveClipping(f=f), nnm, vg.Median(f=f)),
        vg.chain(vg.Clipping(radius=1.0, f=f), vg.Average()),
        vg.chain(vg.Bucketing(f=f, s=2), vg.Median(f=f)),
    ]

def given(rule, x):
    asked = {pivot for stage in rule.stages() for pivot in stage.pivots}
    return {"pivot": x[0]} if Pivot.GIVEN in asked else {}
"""

MEMORY = (
    RULES
    + """
import ctypes, gc

def megabytes(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

x = torch.empty(51, 4_000_000).normal_()
x[:, :10] += 3
small = x[:, :20_000].clone()
for rule in rules(10):
    rule(small, **given(rule, small))
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins here
    before = megabytes("VmRSS")
    rule(x, **given(rule, x))
    print(megabytes("VmHWM") - before, rule, sep="\\t")
"""
)

TIME = (
    RULES
    + """
import time
from varangian.core import measures
from varangian.experiments.bench.cases import vectors
from varangian.experiments.bench.floor import ways

spent = 0.0

def timed(function):
    def call(*given, **more):
        global spent
        start = time.process_time()
        made = function(*given, **more)
        spent += time.process_time() - start
        return made
    return call

def least(work):
    global spent
    found = []
    for _ in range(9):
        spent, start = 0.0, time.process_time()
        work()
        found.append(time.process_time() - start - spent)
    return min(found)

torch.set_num_threads(2)
measures.measured, measures.measured_on = timed(measures.measured), timed(measures.measured_on)
x = vectors(25, 1_000_000, "float32")
for rule in rules(4):
    rule(x, **given(rule, x))
    best = float("inf")
    for _ in range(8):  # others may be using the cache and the memory
        floor = min(map(least, ways(x).values()))
        best = min(best, least(lambda: rule(x, **given(rule, x))) / floor)
        if best <= 3:
            break
    print(best, rule, sep="\\t")
"""
)

OUTPUT, ROOM = 16, 64
"""Mebibytes."""
READS = 3
"""How often what a rule takes beside its distances would read the vectors."""


def told(code: str) -> dict[str, float]:
    """Return a number for every rule, from a process without checks of types."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name: float(number) for number, name in (line.split("\t") for line in done.stdout.splitlines())}


def test_no_rule_takes_more_room_than_its_result_and_a_little() -> None:
    found = told(MEMORY)
    assert len(found) == 27
    assert {name: room for name, room in found.items() if room > OUTPUT + ROOM} == {}


def test_no_rule_takes_more_than_three_reads_beside_its_distances() -> None:
    found = told(TIME)
    assert len(found) == 27
    assert {name: reads for name, reads in found.items() if reads > READS} == {}
