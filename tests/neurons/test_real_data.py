"""What is claimed of models trained on MNIST, on MNIST."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from varangian.core.randomness import Stream
from varangian.data import load_dataset
from varangian.models import build
from varangian.neurons import Crash, Evaluation, Network, measure, study

pytestmark = pytest.mark.real_data
SECONDS = 120


def test_errors_grow_as_they_should_and_variances_are_foretold(real_data: Path) -> None:
    data = load_dataset("mnist", real_data)
    train, test = (data.train_inputs, data.train_labels), (data.test_inputs, data.test_labels)
    for one in study(train, test, stream=Stream(1)):
        assert one.accuracy > 0.9
        for passed, line in zip(range(one.depth - 1, -1, -1), one.steepness.by_layer(), strict=True):
            assert line.slope == pytest.approx(passed, abs=0.1)
            assert line.quality > 0.98 or passed == 0
        if one.depth > 2:
            flattest = one.steepness.by_depth()[0]
            assert flattest.quality > 0.98
        for told in one.foretold:
            assert abs(told.b3 - 1) < 0.2
            assert abs(told.b4 - 1) < 0.05


def test_ten_thousand_draws_on_the_whole_test_set(real_data: Path) -> None:
    data = load_dataset("mnist", real_data)
    model = build("mlp", data.input_shape, data.classes, Stream(1))
    assert sum(values.numel() for values in model.parameters()) == 79_510
    evaluation = Evaluation.of(Network.of(model, data.test_inputs), data.test_inputs)
    start = time.process_time()
    found = measure(evaluation, Crash(count=5), 10_000, labels=data.test_labels)
    assert time.process_time() - start < SECONDS * torch.get_num_threads()
    assert found.accuracy is not None
