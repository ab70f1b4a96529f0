"""Attacks on the liars' own data."""

from __future__ import annotations

import pytest
import torch

import varangian as vg
from varangian.errors import ParameterError

INPUTS = torch.rand(200, 3, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(200) % 10
POISONS: list[vg.DataAttack] = [
    vg.LabelFlip(),
    vg.RandomLabel(),
    vg.MalformedInput(),
    vg.MalformedInput(factor=0.0),
]


@pytest.mark.parametrize("classes", [2, 10, 13])
def test_label_flip_mirrors(classes: int) -> None:
    labels = torch.arange(classes)
    inputs, flipped = vg.LabelFlip().poison(INPUTS[:classes], labels, classes, vg.Stream())
    assert torch.equal(flipped, labels.flip(0))
    assert torch.equal(inputs, INPUTS[:classes])
    assert torch.equal(vg.LabelFlip().poison(inputs, flipped, classes, vg.Stream())[1], labels)


def test_random_labels_are_uniform_and_of_the_stream() -> None:
    labels, images = LABELS.repeat(50), INPUTS.repeat(50, 1)
    poison = vg.RandomLabel().poison
    inputs, drawn = poison(images, labels, 10, vg.Stream(1))
    assert torch.equal(inputs, images)
    counts = torch.bincount(drawn, minlength=10)
    assert counts.shape == (10,)
    assert int((counts - 1000).abs().max()) < 5 * 30
    assert torch.equal(poison(images, labels, 10, vg.Stream(1))[1], drawn)
    assert not torch.equal(poison(images, labels, 10, vg.Stream(2))[1], drawn)
    assert float((drawn == labels).double().mean()) == pytest.approx(0.1, abs=0.02)


def test_malformed_inputs_are_multiplied() -> None:
    inputs, labels = vg.MalformedInput().poison(INPUTS, LABELS, 10, vg.Stream())
    torch.testing.assert_close(inputs, -1e12 * INPUTS)
    assert torch.equal(labels, LABELS)
    assert torch.equal(vg.MalformedInput(factor=2.0).poison(INPUTS, LABELS, 10, vg.Stream())[0], 2 * INPUTS)


@pytest.mark.parametrize("attack", POISONS, ids=repr)
def test_the_data_is_left_as_it_was(attack: vg.DataAttack) -> None:
    inputs, labels = INPUTS.clone(), LABELS.clone()
    got_inputs, got_labels = attack.poison(inputs, labels, 10, vg.Stream(3))
    assert torch.equal(inputs, INPUTS)
    assert torch.equal(labels, LABELS)
    assert got_inputs.dtype == INPUTS.dtype
    assert got_labels.dtype == LABELS.dtype


@pytest.mark.parametrize("attack", POISONS, ids=repr)
def test_there_are_no_vectors_to_forge(attack: vg.DataAttack) -> None:
    with pytest.raises(ParameterError, match=r"poisons data, not vectors: call poison"):
        attack(torch.zeros(3, 2), b=1)
