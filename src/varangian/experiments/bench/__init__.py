"""Bench: rules x sizes x dtypes -> times, beside the read floor and beside what others take."""

from varangian.experiments.bench.cases import DTYPES, RULES, Case, cases
from varangian.experiments.bench.machine import machine
from varangian.experiments.bench.measure import FLOOR, OURS, Measured, measured
from varangian.experiments.bench.peers import Peer, installed
from varangian.experiments.bench.picture import draw_bench
from varangian.experiments.bench.record import as_record
from varangian.experiments.bench.starts import Start, starts

__all__ = [
    "DTYPES",
    "FLOOR",
    "OURS",
    "RULES",
    "Case",
    "Measured",
    "Peer",
    "Start",
    "as_record",
    "cases",
    "draw_bench",
    "installed",
    "machine",
    "measured",
    "starts",
]
