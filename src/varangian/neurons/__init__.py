"""Neurons: a trained model, and faults of its parts -> how wrong it gets, proven and measured."""

from varangian.neurons.activations import Steep
from varangian.neurons.bounds import Bound, expected_error, fep
from varangian.neurons.curves import Critical, Point, critical_neurons
from varangian.neurons.evaluation import Evaluation
from varangian.neurons.exported import load, traced
from varangian.neurons.fault import Fault
from varangian.neurons.faults import FAULTS, BitFlip, Byzantine, Crash, Quantised, StuckAt
from varangian.neurons.injection import injected
from varangian.neurons.measure import Mean, Measured, measure
from varangian.neurons.moments import Moments, b1, b2, b3, b4
from varangian.neurons.network import Layer, Network
from varangian.neurons.regularisers import CrashVariance, LargestWeight
from varangian.neurons.replicas import Certificate, certify, certify_measured, replicas_for
from varangian.neurons.report import Report, examine
from varangian.neurons.search import Worst, worst_crash
from varangian.neurons.steepness import Steepness, steepened, steepness
from varangian.neurons.study import Studied, study
from varangian.neurons.tolerance import (
    Tolerated,
    bits_needed,
    error_budget,
    speedup,
    tolerated,
    tolerated_alone,
)

__all__ = [
    "FAULTS",
    "BitFlip",
    "Bound",
    "Byzantine",
    "Certificate",
    "Crash",
    "CrashVariance",
    "Critical",
    "Evaluation",
    "Fault",
    "LargestWeight",
    "Layer",
    "Mean",
    "Measured",
    "Moments",
    "Network",
    "Point",
    "Quantised",
    "Report",
    "Steep",
    "Steepness",
    "StuckAt",
    "Studied",
    "Tolerated",
    "Worst",
    "b1",
    "b2",
    "b3",
    "b4",
    "bits_needed",
    "certify",
    "certify_measured",
    "critical_neurons",
    "error_budget",
    "examine",
    "expected_error",
    "fep",
    "injected",
    "load",
    "measure",
    "replicas_for",
    "speedup",
    "steepened",
    "steepness",
    "study",
    "tolerated",
    "tolerated_alone",
    "traced",
    "worst_crash",
]
