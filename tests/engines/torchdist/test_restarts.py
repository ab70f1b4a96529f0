"""A rank dies, torchrun starts all of them again, and they go on from the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from engines.torchdist.jobs import backward, gradient, model
from engines.torchdist.restarted import DEATH, STEPS
from launched import torchrun

import varangian as vg

RANKS = 3


def uninterrupted() -> torch.Tensor:
    """Return the weights to which the same training comes in one process."""
    net = model()
    for step in range(STEPS):
        gradients = []
        for rank in range(RANKS):
            net.zero_grad()
            backward(net, rank, step)
            gradients.append(gradient(net).clone())
        mean = vg.Median(f=1)(torch.stack(gradients))
        with torch.no_grad():
            for p, part in zip(
                net.parameters(), mean.split([p.numel() for p in net.parameters()]), strict=True
            ):
                p.sub_(0.1 * part.view_as(p))
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["--standalone", "--master-port=29533"])
def test_torchrun_starts_the_ranks_again(way: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("restarted.py")
    torchrun(RANKS, script, tmp_path, options=(way, "--max-restarts=2"))
    for rank in range(RANKS):
        said = json.loads((tmp_path / f"{rank}.json").read_text())
        assert (said["attempt"], said["begun"]) == (1, DEATH)
        torch.testing.assert_close(torch.tensor(said["weights"]), uninterrupted())
