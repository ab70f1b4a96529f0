"""Flat parameters: the vector and the module say the same, both ways."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, vmap

from varangian.core.parameters import FlatParameters, flatten
from varangian.errors import ParameterError, ShapeError


class Shared(nn.Module):
    """A frozen scale, a weight used by two layers, a scalar, and one parameter that no output uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.tensor(2.0), requires_grad=False)
        self.scalar = nn.Parameter(torch.tensor(5.0))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x) * self.frozen) * self.scalar


def test_layout_is_the_registration_order_of_what_learns() -> None:
    flat = FlatParameters(Shared())
    assert flat.names == ("scalar", "unused", "first.weight", "second.bias")
    assert flat.shapes == ((), (2,), (3, 3), (3,))
    assert flat.d == 15
    assert flat.get().shape == (15,)
    assert flat.get()[:3].tolist() == [5.0, 1.0, 1.0]
    assert repr(flat) == "FlatParameters(Shared, d=15)"


@pytest.mark.parametrize("module", [nn.Linear(1, 4, bias=False), Shared()], ids=["one", "many"])
def test_get_is_a_copy(module: nn.Module) -> None:
    flat = FlatParameters(module)
    before = flat.get()
    flat.get().fill_(7.0)
    assert torch.equal(flat.get(), before)
    assert not before.requires_grad


def test_set_then_get_returns_the_vector() -> None:
    flat = FlatParameters(Shared())
    wanted = torch.arange(15.0)
    flat.set(wanted)
    assert torch.equal(flat.get(), wanted)
    assert flat.module.scalar.item() == 0.0
    assert flat.module.frozen.item() == 2.0
    assert all(tensor.requires_grad and tensor.is_leaf for tensor in flat.tensors())


def test_set_keeps_the_dtype_of_the_module() -> None:
    flat = FlatParameters(nn.Linear(2, 2))
    flat.set(torch.ones(6, dtype=torch.float64))
    assert flat.get().dtype == torch.float32


def test_unflatten_gives_views() -> None:
    flat = FlatParameters(nn.Linear(3, 2))
    vector = torch.zeros(8)
    flat.unflatten(vector)["bias"].fill_(1.0)
    assert vector.tolist() == [0.0] * 6 + [1.0] * 2


@given(st.lists(st.integers(0, 3), max_size=2))
def test_unflatten_undoes_flatten_under_any_leading_axes(batch: list[int]) -> None:
    flat = FlatParameters(Shared())
    vectors = torch.rand(*batch, flat.d)
    again = flatten(flat.unflatten(vectors).values(), leading=len(batch))
    assert torch.equal(again, vectors)


def test_functional_call_reads_the_vector() -> None:
    module, other, x = Shared(), Shared(), torch.rand(4, 3)
    vector = FlatParameters(other).get()
    out = functional_call(module, FlatParameters(module).unflatten(vector), x)
    assert torch.equal(out, other(x))


def test_many_models_run_at_once() -> None:
    module, x = nn.Linear(3, 2), torch.rand(4, 3)
    flat = FlatParameters(module)
    vectors = torch.rand(5, flat.d)
    out = vmap(lambda vector: functional_call(module, flat.unflatten(vector), x))(vectors)
    for vector, row in zip(vectors, out, strict=True):
        flat.set(vector)
        torch.testing.assert_close(row, module(x))


def test_gradient_is_what_backward_leaves_and_zero_where_unused() -> None:
    flat, x = FlatParameters(Shared()), torch.rand(4, 3)
    gradient = flat.gradient(flat.module(x).square().mean())
    flat.module(x).square().mean().backward()
    expected = [torch.zeros(2) if tensor.grad is None else tensor.grad for tensor in flat.tensors()]
    assert torch.equal(gradient, flatten(expected))
    assert gradient[1:3].tolist() == [0.0, 0.0]
    assert not gradient.requires_grad


def test_gradient_leaves_no_trace_on_the_module() -> None:
    flat = FlatParameters(Shared())
    flat.gradient(flat.module(torch.rand(4, 3)).sum())
    assert all(tensor.grad is None for tensor in flat.tensors())


def test_module_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"ReLU has no trainable parameters.*\n.*requires_grad_"):
        FlatParameters(nn.ReLU())
    with pytest.raises(ParameterError, match="no trainable"):
        FlatParameters(nn.Linear(2, 2).requires_grad_(False))


def test_lazy_module_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"shape of 'weight' yet.\nPass one batch"):
        FlatParameters(nn.LazyLinear(2))


@pytest.mark.parametrize("wrong", [torch.zeros(7), torch.zeros(9), torch.zeros(()), torch.zeros(0)])
def test_wrong_length_is_refused_and_nothing_is_written(wrong: Tensor) -> None:
    flat = FlatParameters(nn.Linear(3, 2))
    before = flat.get()
    with pytest.raises(ShapeError, match=r"d = 8|\(8,\)"):
        flat.set(wrong)
    with pytest.raises(ShapeError, match="d = 8"):
        flat.unflatten(wrong)
    assert torch.equal(flat.get(), before)


def test_set_refuses_several_vectors() -> None:
    with pytest.raises(ShapeError, match="one vector"):
        FlatParameters(nn.Linear(3, 2)).set(torch.zeros(2, 8))


def test_flatten_refuses_nothing_at_all() -> None:
    with pytest.raises(ShapeError, match="no tensor"):
        flatten([])
