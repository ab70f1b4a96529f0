"""One server on the network gives the numbers of the simulation, step after step."""

from __future__ import annotations

import itertools

import pytest
import torch

import varangian as vg
from varangian.engines.network import Exponential, Link, OnNetwork
from varangian.protocols import Single

RULES: tuple[vg.Stage, ...] = (
    vg.TrimmedMean(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.Median(f=2)),
)
PATIENT = Single(workers=8, byzantine_workers=2, patience=1e6)
LINK = Link(Exponential(), loss=0.05, duplicate=0.1, reorder=0.2)


@pytest.mark.parametrize(("rule", "place"), list(itertools.product(RULES, ("worker", "server"))))
def test_fifty_steps_are_those_of_the_simulation(rule: vg.Stage, place: str) -> None:
    spec = vg.Experiment(
        workers=8,
        byzantine=2,
        rule=rule,
        attack=vg.ALittleIsEnough(z=1.5),
        momentum=0.9,
        momentum_at=place,
        steps=50,
        model="logistic",
        evaluate_every=50,
        dtype="float64",
    )
    simulated, networked = vg.run(spec), OnNetwork(topology=PATIENT, link=LINK).run(spec)
    torch.testing.assert_close(networked.parameters, simulated.parameters, rtol=1e-9, atol=1e-11)
    assert networked.accuracy == simulated.accuracy
    assert networked.messages >= 50 * 16
