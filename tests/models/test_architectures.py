"""Every model of the catalogue: its size, its shapes, its gradients, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from varangian.core.parameters import FlatParameters, flatten
from varangian.core.randomness import Stream
from varangian.errors import ParameterError
from varangian.models import MODELS, Architecture, build, correct, loss_for

NAMES = [architecture.name for architecture in MODELS]
MNIST, CIFAR, DIGITS = (1, 28, 28), (3, 32, 32), (1, 8, 8)


def small(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a model in evaluation mode, and six samples of digits with their labels."""
    classes = 2 if name == "logistic-sigmoid" else 10
    module = build(name, DIGITS, classes, Stream(3)).eval()
    drawn = Stream(4).generator()
    return module, torch.randn(6, *DIGITS, generator=drawn), torch.randint(classes, (6,), generator=drawn)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "d"),
    [
        ("logistic", MNIST, 10, 7_850),
        ("logistic", (68,), 2, 138),
        ("logistic-sigmoid", (68,), 2, 69),
        ("mlp", MNIST, 10, 79_510),
        ("mlp", DIGITS, 10, 7_510),
        ("cnn-cifar", CIFAR, 10, 1_310_922),
        ("cnn-cifar", CIFAR, 100, 260_928 + 8_193 * 256 + 257 * 100),
        ("cnn-cifar", MNIST, 10, 260_928 - 2 * 64 * 9 + (7 * 7 * 128 + 1) * 128 + 1_290),
        ("cnn-mnist", MNIST, 10, 1_199_882),
        ("cnn-mnist", DIGITS, 10, 320 + 18_496 + 257 * 128 + 1_290),
    ],
)
def test_d_is_the_published_one(name: str, shape: tuple[int, ...], classes: int, d: int) -> None:
    module = build(name, shape, classes, Stream(1))
    assert FlatParameters(module).d == d
    out = module(torch.zeros(2, *shape))
    assert out.shape == ((2,) if name == "logistic-sigmoid" else (2, classes))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_probabilities(name: str) -> None:
    module, inputs, labels = small(name)
    out = module(inputs)
    if out.ndim == 2:
        torch.testing.assert_close(out.exp().sum(-1), torch.ones(6))
    else:
        assert bool(((out > 0) & (out < 1)).all())
    assert loss_for(name)(out, labels).isfinite()
    assert correct(out, labels).shape == (6,)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_per_sample_average_to_that_of_the_batch(name: str) -> None:
    module, inputs, labels = small(name)
    flat, loss = FlatParameters(module), loss_for(name)

    def error(vector: Tensor, sample: Tensor, label: Tensor) -> Tensor:
        return loss(functional_call(module, flat.unflatten(vector), sample[None]), label[None])

    each = vmap(grad(error), in_dims=(None, 0, 0))(flat.get(), inputs, labels)
    assert each.shape == (6, flat.d)
    torch.testing.assert_close(each[2], flat.gradient(loss(module(inputs[2:3]), labels[2:3])))
    torch.testing.assert_close(each.mean(0), flat.gradient(loss(module(inputs), labels)))


@pytest.mark.parametrize("name", ["logistic", "mlp"])
def test_gradients_per_sample_by_name(name: str) -> None:
    module, inputs, labels = small(name)
    flat, loss = FlatParameters(module), loss_for(name)

    def error(parameters: dict[str, Tensor], sample: Tensor, label: Tensor) -> Tensor:
        return loss(functional_call(module, parameters, sample[None]), label[None])

    named = vmap(grad(error), in_dims=(None, 0, 0))(flat.unflatten(flat.get()), inputs, labels)
    each = flatten((named[key] for key in flat.names), leading=1)
    for row, sample, label in zip(each, inputs, labels, strict=True):
        torch.testing.assert_close(row, flat.gradient(loss(module(sample[None]), label[None])))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_gives_no_outputs(name: str) -> None:
    module, inputs, labels = small(name)
    assert correct(module(inputs[:0]), labels[:0]).shape == (0,)


def test_mlp_is_its_equation() -> None:
    module, x, _ = small("mlp")
    w1, b1, w2, b2 = module.parameters()
    hidden = (x.flatten(1) @ w1.T + b1).clamp(min=0)
    torch.testing.assert_close(module(x), (hidden @ w2.T + b2).log_softmax(-1))


def test_sigmoid_is_its_equation() -> None:
    module, x, labels = small("logistic-sigmoid")
    w, b = module.parameters()
    expected = 1 / (1 + (-(x.flatten(1) @ w[0] + b)).exp())
    torch.testing.assert_close(module(x), expected)
    torch.testing.assert_close(
        loss_for("logistic-sigmoid")(expected, labels), (expected - labels).pow(2).mean()
    )


def kinds(module: nn.Module) -> str:
    return " ".join(type(layer).__name__ for layer in module.children())


def test_layers_are_the_published_ones() -> None:
    block = "Conv2d ReLU BatchNorm2d Conv2d ReLU BatchNorm2d MaxPool2d Dropout"
    assert kinds(build("cnn-cifar", CIFAR, 10, Stream(1))) == (
        f"{block} {block} Flatten Linear ReLU Dropout Linear LogSoftmax"
    )
    assert kinds(build("cnn-mnist", MNIST, 10, Stream(1))) == (
        "Conv2d ReLU Conv2d MaxPool2d Dropout2d Flatten Linear ReLU Dropout Linear LogSoftmax"
    )


@pytest.mark.parametrize(
    ("name", "shape", "smallest"), [("cnn-cifar", (3, 4, 5), 4), ("cnn-mnist", (1, 6, 7), 6)]
)
def test_smallest_picture(name: str, shape: tuple[int, int, int], smallest: int) -> None:
    assert build(name, shape, 3, Stream(1))(torch.zeros(2, *shape)).shape == (2, 3)
    channels, height, width = shape
    with pytest.raises(ParameterError, match=f"at least {smallest} x {smallest} pixels"):
        build(name, (channels, height - 1, width), 3, Stream(1))


@pytest.mark.parametrize("name", ["cnn-cifar", "cnn-mnist"])
@pytest.mark.parametrize("shape", [(68,), (28, 28), (1, 3, 32, 32)])
def test_no_picture_is_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match=r"needs pictures \(channels, height, width\)(.|\n)*mlp"):
        build(name, shape, 10, Stream(1))


def test_one_sigmoid_tells_two_classes_apart_only() -> None:
    with pytest.raises(ParameterError, match=r'classes=10; its one output(.|\n)*Take "logistic"'):
        build("logistic-sigmoid", (68,), 10, Stream(1))


@pytest.mark.parametrize("architecture", MODELS, ids=NAMES)
def test_impossible_data_is_refused(architecture: Architecture) -> None:
    with pytest.raises(ParameterError, match="at least one axis"):
        architecture((), 2)
    with pytest.raises(ParameterError, match="no axis may be empty"):
        architecture((1, 0, 8), 2)
    with pytest.raises(ParameterError, match="classes=1"):
        architecture(DIGITS, 1)


@pytest.mark.parametrize("architecture", MODELS, ids=NAMES)
def test_entry_says_what_it_is(architecture: Architecture) -> None:
    assert architecture.name == architecture.name.lower()
    assert architecture.summary
    assert architecture.reference.year
