"""Making a model: names, copies and factories; the stream decides, and nothing else is disturbed."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from varangian.core.parameters import FlatParameters
from varangian.core.randomness import Stream
from varangian.errors import ParameterError, UnknownNameError
from varangian.models import MODELS, build, find

NAMES = [architecture.name for architecture in MODELS]


def values(model: str, stream: Stream) -> torch.Tensor:
    return FlatParameters(build(model, (1, 8, 8), 2, stream)).get()


@pytest.mark.parametrize("name", NAMES)
def test_stream_decides_the_values(name: str) -> None:
    first = values(name, Stream(1).at("model"))
    torch.manual_seed(99)
    assert torch.equal(values(name, Stream(1).at("model")), first)
    assert not torch.equal(values(name, Stream(2).at("model")), first)
    assert not torch.equal(values(name, Stream(1).at("other")), first)


def test_initialisation_is_the_default_of_pytorch() -> None:
    stream = Stream(7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.key())
        expected = nn.Sequential(nn.Linear(64, 100), nn.Linear(100, 2))
    assert torch.equal(values("mlp", stream), FlatParameters(expected).get())


def test_accelerators_are_not_reseeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seed: int) -> None:
        raise AssertionError(f"An accelerator was seeded with {seed}.")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    build("mlp", (4,), 2, Stream(1))


def test_model_is_on_the_cpu_wherever_tensors_are_made() -> None:
    with torch.device("meta"):
        module = build("mlp", (4,), 2, Stream(1))
    assert FlatParameters(module).get().device.type == "cpu"


def failing(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    torch.rand(3)
    raise RuntimeError("no model today")


def test_global_generator_is_as_before() -> None:
    before = torch.get_rng_state()
    for name in NAMES:
        build(name, (1, 8, 8), 2, Stream(5))
    with pytest.raises(RuntimeError, match="today"):
        build(failing, (4,), 2, Stream(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_module_of_the_user_is_copied_with_its_values() -> None:
    mine = nn.Linear(4, 2)
    built = build(mine, (4,), 2, Stream(1))
    assert torch.equal(FlatParameters(built).get(), FlatParameters(mine).get())
    FlatParameters(built).set(torch.zeros(10))
    assert FlatParameters(mine).get().count_nonzero() > 0


def test_factory_of_the_user_draws_from_the_stream() -> None:
    def factory(input_shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Linear(*input_shape, classes)

    first, again = (build(factory, torch.Size([4]), 2, Stream(1)) for _ in range(2))
    assert torch.equal(FlatParameters(first).get(), FlatParameters(again).get())


def test_entry_of_the_catalogue_is_a_factory() -> None:
    built = build(find("mlp"), (1, 8, 8), 2, Stream(1))
    assert torch.equal(FlatParameters(built).get(), values("mlp", Stream(1)))


@pytest.mark.parametrize("architecture", MODELS, ids=NAMES)
def test_entries_can_be_found_and_pickled(architecture: object) -> None:
    assert pickle.loads(pickle.dumps(architecture)) == architecture


def test_names_are_read_in_any_case() -> None:
    assert find("CNN-MNIST").name == "cnn-mnist"


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no model called 'cnn_cifar'. Did you mean 'cnn-cifar'"):
        build("cnn_cifar", (3, 32, 32), 10, Stream(1))


def test_factory_must_return_a_module() -> None:
    with pytest.raises(ParameterError, match="returned int"):
        build(lambda shape, classes: 3, (4,), 2, Stream(1))  # type: ignore[arg-type, return-value]
