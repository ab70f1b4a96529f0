"""A batch that was cut off goes on to the same bits; a file that is no checkpoint of it is refused."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines.by_hand import small
from torch import nn

import varangian as vg
from varangian.engines import Progress, simulate
from varangian.errors import DataError, ParameterError

NORMALISED = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 4))

SPECS: dict[str, list[dict[str, Any]]] = {
    "a mixed batch": [
        {"rule": vg.Median(f=2), "attack": vg.Mimic()},
        {"rule": vg.CenteredClipping(f=2, radius=0.2), "attack": vg.Mimic(), "momentum_at": "server"},
        {"rule": vg.RuleMixture((vg.Krum(f=2), vg.Median(f=2))), "attack": vg.Gaussian(), "nesterov": True},
    ],
    "a model with memory": [
        {"model": NORMALISED, "rule": vg.Krum(f=2), "attack": vg.SignFlip(), "seed": s} for s in (1, 2)
    ],
}


class Enough(Exception):  # noqa: N818 (no error, the end of a test)
    """Stands for whatever cuts a run off."""


def cut_at(step: int) -> Any:
    def watch(progress: Progress) -> None:
        if progress.step == step:
            raise Enough

    return watch


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("step", [1, 7, 11, 12])
def test_goes_on_to_the_same_bits(name: str, step: int, tmp_path: Path) -> None:
    specs = [small(steps=12, evaluate_every=5, **fields) for fields in SPECS[name]]
    whole = simulate(specs)
    file = tmp_path / "batch.npz"
    with pytest.raises(Enough):
        simulate(specs, cut_at(step), checkpoint=file, every=1)
    seen: list[int] = []
    again = simulate(specs, lambda progress: seen.append(progress.step), checkpoint=file, every=1)
    assert seen == list(range(step + 1, 13))
    for one, other in zip(whole, again, strict=True):
        assert torch.equal(one.parameters, other.parameters)
        assert list(one.metrics) == list(other.metrics)
        for column in one.metrics:
            np.testing.assert_array_equal(one.metrics[column], other.metrics[column])


SCRIPT = """
import sys
from pathlib import Path
import varangian as vg
from varangian.engines import simulate
specs = [
    vg.Experiment(steps=60, workers=11, byzantine=3, rule=rule, attack=vg.ALittleIsEnough(z=1.5), seed=seed)
    for seed, rule in enumerate((vg.Median(f=3), vg.Krum(f=3)), 1)
]
import torch
results = simulate(specs, checkpoint=Path(sys.argv[1]), every=1)
torch.save([result.parameters for result in results], sys.argv[2])
"""


@pytest.mark.slow
def test_killed_ten_times_in_ten(tmp_path: Path) -> None:
    def start(*names: str) -> subprocess.Popen[bytes]:
        places = [str(tmp_path / name) for name in names]
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *places])

    assert start("never", "whole.pt").wait() == 0
    whole = torch.load(tmp_path / "whole.pt", weights_only=True)
    when = random.Random(1)
    for trial in range(10):
        file = tmp_path / f"{trial}.npz"
        running = start(file.name, f"{trial}.pt")
        while not file.exists():
            time.sleep(0.01)
        time.sleep(when.uniform(0, 0.6))
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        assert not (tmp_path / f"{trial}.pt").exists(), "The run was over before it was killed."
        assert start(file.name, f"{trial}.pt").wait() == 0
        again = torch.load(tmp_path / f"{trial}.pt", weights_only=True)
        assert all(torch.equal(one, other) for one, other in zip(whole, again, strict=True))


def test_another_batchs_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "batch.npz"
    simulate([small()], checkpoint=file, every=5)
    for other in (small(seed=2), small(learning_rate=0.2), small(attack=vg.SignFlip())):
        with pytest.raises(DataError, match="belongs to other experiments"):
            simulate([other], checkpoint=file)


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_file_is_refused(damage: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "batch.npz"
    simulate([small()], checkpoint=file, every=5)
    file.write_bytes(file.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(DataError, match="is no checkpoint"):
        simulate([small()], checkpoint=file)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    file = tmp_path / "batch.npz"
    np.savez(file.open("wb"), about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="is no checkpoint"):
        simulate([small()], checkpoint=file)


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        simulate([small()], checkpoint=tmp_path / "nowhere" / "batch.npz", every=1)


class Rambling(vg.SignFlip):
    """An attack whose memory is no array."""

    def vectors(self, scene: Any) -> tuple[torch.Tensor, Any]:
        return super().vectors(scene)[0], ["a", "list"]


def test_a_memory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be written to a checkpoint"):
        simulate([small(attack=Rambling())], checkpoint=tmp_path / "batch.npz", every=1)
