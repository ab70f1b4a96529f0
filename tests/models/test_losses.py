"""Losses and accuracy against their definitions, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from varangian.errors import ShapeError, UnknownNameError
from varangian.models import (
    LOSSES,
    MODELS,
    correct,
    cross_entropy,
    loss_for,
    mse,
    nll,
)

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])
LABELS = torch.tensor([0, 1])


def test_cross_entropy_is_nll_of_log_softmax() -> None:
    by_hand = -(LOGITS.exp() / LOGITS.exp().sum(-1, keepdim=True)).log()[[0, 1], [0, 1]].mean()
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS), by_hand)
    torch.testing.assert_close(nll(LOGITS.log_softmax(-1), LABELS), by_hand)
    torch.testing.assert_close(cross_entropy(LOGITS.log_softmax(-1), LABELS), by_hand)


def test_mse_by_hand() -> None:
    assert mse(torch.tensor([0.5, 1.0]), torch.tensor([1, 0])).item() == 0.625


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_labels_of_any_integer_type(dtype: torch.dtype) -> None:
    assert torch.equal(nll(LOGITS, LABELS.to(dtype)), nll(LOGITS, LABELS))
    assert torch.equal(cross_entropy(LOGITS, LABELS.to(dtype)), cross_entropy(LOGITS, LABELS))
    single = LOGITS[:, 0].sigmoid()
    assert torch.equal(mse(single, LABELS.to(dtype)), mse(single, LABELS))
    assert torch.equal(correct(single, LABELS.to(dtype)), correct(single, LABELS))


def test_correct_takes_the_largest() -> None:
    assert correct(LOGITS, LABELS).tolist() == [True, False]


def test_correct_of_single_outputs_is_strict() -> None:
    outputs = torch.tensor([0.49, 0.5, 0.51, 0.5, torch.nan])
    assert correct(outputs, torch.tensor([0, 0, 1, 1, 1])).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(("loss", "outputs"), [(nll, 1), (cross_entropy, 1), (mse, 2)])
def test_outputs_that_do_not_fit_are_refused(loss: object, outputs: int) -> None:
    wrong = torch.zeros(2) if outputs == 1 else torch.zeros(2, 1)
    with pytest.raises(ShapeError, match=r"received outputs of shape \(2,(.|\n)*take the loss that fits"):
        loss(wrong, LABELS)  # type: ignore[operator]


def test_correct_refuses_more_axes() -> None:
    with pytest.raises(ShapeError, match="correct received"):
        correct(torch.zeros(2, 3, 4), LABELS)


def test_every_model_names_a_loss_that_exists() -> None:
    assert {architecture.loss for architecture in MODELS} <= set(LOSSES)
    assert loss_for("logistic-sigmoid") is mse
    assert loss_for(MODELS[0]) is nll


def test_models_of_the_user_give_logits() -> None:
    assert loss_for(nn.Linear(3, 2)) is cross_entropy
    assert loss_for(lambda shape, classes: nn.Linear(*shape, classes)) is cross_entropy


def test_named_loss_wins() -> None:
    def mine(outputs: Tensor, labels: Tensor) -> Tensor:
        return outputs.sum() - labels.sum()

    assert loss_for("mlp", "cross_entropy") is cross_entropy
    assert loss_for("mlp", mine) is mine


def test_unknown_names_are_refused() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no loss called 'cross-entropy'. Did you mean 'cross_entropy'"
    ):
        loss_for("mlp", "cross-entropy")
    with pytest.raises(UnknownNameError, match=r"no model called 'mpl'. Did you mean 'mlp'"):
        loss_for("mpl")
