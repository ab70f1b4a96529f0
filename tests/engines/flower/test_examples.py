"""The examples, run: Flower's simulation, and its real deployment over TLS, with a client that lies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.flower.clients import HereGrid
from engines.flower.deployment import APP, deployed
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg

pytestmark = pytest.mark.flower

CLIENTS, ROUNDS, MOST_LINES = 5, 2, 60
LIARS_SHARE = 0.01
"""How much accuracy a liar may cost: one point."""


@pytest.fixture(scope="module")
def clean() -> float:
    """Return what FedAvg comes to where nobody lies: the clients' own code, called here."""
    spec = spec_from_file_location("flower_example", APP / "app.py")
    assert spec is not None
    assert spec.loader is not None
    example: Any = module_from_spec(spec)
    spec.loader.exec_module(example)
    grid = HereGrid(dict.fromkeys(range(CLIENTS), example.client), nodes=CLIENTS)
    start = ArrayRecord({"w": Array(np.zeros((example.PIXELS.shape[1], 10), np.float32))})
    result = FedAvg(fraction_evaluate=0.0).start(grid, start, num_rounds=ROUNDS)
    scores = example.PIXELS[example.TRAINING :] @ result.arrays["w"].numpy()
    accuracy = float((scores.argmax(1) == example.DIGITS[example.TRAINING :]).mean())
    assert accuracy > 0.85
    return accuracy


@pytest.mark.parametrize("file", sorted(APP.glob("*.py")), ids=lambda file: file.name)
def test_an_example_is_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def test_simulation(clean: float) -> None:
    done = subprocess.run(
        [sys.executable, "simulate.py", "robust", str(ROUNDS)],
        check=False,
        cwd=APP,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "FLWR_TELEMETRY_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=170,
    )
    found = re.search(r"robust: accuracy ([\d.]+)%", done.stdout)
    assert found, done.stdout
    assert float(found[1]) / 100 >= clean - LIARS_SHARE


def test_deployment(clean: float, tmp_path: Path) -> None:
    with deployed(tmp_path, [*[None] * (CLIENTS - 1), "nan"]) as deployment:
        accuracy, said = deployment.train(strategy="robust", rounds=ROUNDS)
        assert accuracy is not None, said + deployment.logs()
        assert accuracy / 100 >= clean - LIARS_SHARE, said


@pytest.mark.slow
@pytest.mark.parametrize("lie", ["nan", "sign-flip", "other-shape"])
def test_deployment_beside_flowers_own(clean: float, tmp_path: Path, lie: str) -> None:
    """One deployment, one liar, three strategies: ours trains as if nobody lied, Flower's do not."""
    stock = {"nan": ["FedAvg", "FedMedian"], "sign-flip": ["FedAvg"], "other-shape": ["FedAvg", "FedMedian"]}
    with deployed(tmp_path, [*[None] * (CLIENTS - 1), lie]) as deployment:
        accuracy, said = deployment.train(strategy="robust", rounds=ROUNDS)
        assert accuracy is not None, said + deployment.logs()
        print(f"\n{lie}: clean {clean:.1%}, RobustStrategy {accuracy:.1f}%", end="")
        assert accuracy / 100 >= clean - LIARS_SHARE
        for name in stock[lie]:
            theirs, said = deployment.train(strategy=name, rounds=ROUNDS)
            print(f", {name} {'no model' if theirs is None else f'{theirs:.1f}%'}", end="")
            assert theirs is None or theirs / 100 < clean - 5 * LIARS_SHARE
    print()
