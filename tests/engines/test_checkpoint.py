"""A batch that was cut off goes on to the same bits; a file that is no checkpoint of it is refused."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines.by_hand import DATA, small
from torch import nn

import varangian as vg
from varangian.engines import Progress, simulate
from varangian.engines.simulate.batch import Batch
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
import sys, time
from pathlib import Path
import torch
import varangian as vg
from varangian.engines import simulate

def watch(progress):
    print(progress.step, flush=True)
    time.sleep(0.01)

specs = [
    vg.Experiment(steps=60, workers=11, byzantine=3, rule=rule, attack=vg.ALittleIsEnough(z=1.5), seed=seed)
    for seed, rule in enumerate((vg.Median(f=3), vg.Krum(f=3)), 1)
]
results = simulate(specs, watch, checkpoint=Path(sys.argv[1]), every=1)
torch.save([result.parameters for result in results], sys.argv[2])
"""


@pytest.mark.slow
def test_killed_ten_times_in_ten(tmp_path: Path) -> None:
    def start(*names: str) -> subprocess.Popen[str]:
        places = [str(tmp_path / name) for name in names]
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *places], stdout=subprocess.PIPE, text=True)

    def finish(running: subprocess.Popen[str]) -> list[str]:
        told, _ = running.communicate()
        assert running.returncode == 0
        return told.split()

    assert finish(start("never", "whole.pt")) == [str(step) for step in range(1, 61)]
    whole = torch.load(tmp_path / "whole.pt", weights_only=True)
    when = random.Random(1)
    for trial in range(10):
        running = start(f"{trial}.npz", f"{trial}.pt")
        assert running.stdout is not None
        for _ in range(when.randint(1, 50)):
            reached = int(running.stdout.readline())
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        assert not (tmp_path / f"{trial}.pt").exists(), "The run was over before it was killed."
        resumed = finish(start(f"{trial}.npz", f"{trial}.pt"))
        assert int(resumed[0]) >= reached
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


@dataclass(frozen=True)
class Diary:
    """What an attack may remember: a tensor, a number, and nothing yet."""

    rounds: int
    mean: torch.Tensor
    last: torch.Tensor | None = None


class Remembering(vg.SignFlip):
    """Flip the sign of a mean over all rounds."""

    memory = Diary

    def vectors(self, scene: Any) -> tuple[torch.Tensor, Any]:
        seen = Diary(0, torch.zeros_like(scene.mean)) if scene.state is None else scene.state
        mean = (seen.rounds * seen.mean + scene.mean) / (seen.rounds + 1)
        last = scene.mean if seen.rounds else None
        forged = -mean if seen.last is None else -mean - 0.1 * seen.last
        return forged[..., None, :].expand(*mean.shape[:-1], scene.b, -1), Diary(seen.rounds + 1, mean, last)


@pytest.mark.parametrize("step", [1, 2, 3, 9])
def test_an_attacks_own_memory_goes_on(step: int, tmp_path: Path) -> None:
    specs, file = [small(steps=12, attack=Remembering())], tmp_path / "batch.npz"
    with pytest.raises(Enough):
        simulate(specs, cut_at(step), checkpoint=file, every=1)
    (again,) = simulate(specs, checkpoint=file)
    assert torch.equal(again.parameters, simulate(specs)[0].parameters)


class Undeclared(Remembering):
    """The same, without saying what it remembers."""

    memory = None


def test_a_memory_that_was_not_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="names as its memory"):
        simulate([small(attack=Undeclared())], checkpoint=tmp_path / "batch.npz", every=1)


def test_other_data_of_the_same_name_are_other_experiments(tmp_path: Path) -> None:
    file = tmp_path / "batch.npz"
    simulate([small()], checkpoint=file, every=5)
    relabelled = replace(DATA, train_labels=(DATA.train_labels + 1) % DATA.classes)
    with pytest.raises(DataError, match="belongs to other experiments"):
        simulate([small(data=relabelled)], checkpoint=file)


def test_a_model_that_a_function_makes_is_known_again() -> None:
    assert Batch([small(model=linear_of)]).digest == Batch([small(model=linear_of)]).digest
    assert " at 0x" not in repr(linear_of.__qualname__)


def linear_of(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Linear(shape[0], classes)
