"""Arrays and containers of many kinds: read for what they are, given back alike, or refused by name."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch._subclasses.functional_tensor import FunctionalTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils.flop_counter import FlopCounterMode

import varangian as vg
from varangian.core.leaves import as_tensor
from varangian.errors import InputError, ShapeError

X = torch.randn(9, 50, generator=torch.Generator().manual_seed(0))
RULES = [vg.Median(f=2), vg.Average(), vg.Krum(f=2)]

each_rule = pytest.mark.parametrize("rule", RULES, ids=repr)


@each_rule
def test_a_negative_bit_is_no_lost_sign(rule: vg.Stage) -> None:
    conjugated = torch.complex(torch.zeros_like(X), X).conj().imag
    for negated in (conjugated, torch._neg_view(X)):
        assert negated.is_neg()
        assert torch.equal(rule(negated), rule(-X))
        assert torch.equal(rule(list(negated)), rule(-X))
        assert torch.equal(rule([[row] for row in negated])[0], rule(-X))


READ_ONLY: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
    "matrix": lambda: X.numpy().copy(),
    "no columns": lambda: np.zeros((9, 0), np.float32),
    "no rows": lambda: np.zeros((0, 50)),
    "one number": lambda: np.array(3.0),
    "every other": lambda: np.arange(24.0).reshape(4, 6)[::2, ::3],
    "across": lambda: np.arange(24.0, dtype=np.float16).reshape(4, 6).T,
    "one row again and again": lambda: np.broadcast_to(np.arange(3.0), (5, 3)),
    "backwards": lambda: np.arange(6.0)[::-1],
    "swapped": lambda: np.arange(6.0, dtype=">f4"),
    "truth": lambda: np.arange(6) > 2,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", READ_ONLY)
def test_read_only_arrays_are_read_where_they_lie(kind: str) -> None:
    array = READ_ONLY[kind]().view()
    array.flags.writeable = False
    tensor = as_tensor(array)
    assert tensor.shape == array.shape
    assert np.array_equal(tensor.numpy(), array)
    assert not array.flags.writeable
    copied = kind in ("backwards", "swapped")
    assert not array.size or (tensor.data_ptr() != array.ctypes.data) is copied


def test_read_only_arrays_live_as_long_as_they_are_read() -> None:
    array: Any = X.numpy().copy()
    array.flags.writeable = False
    tensor, held = as_tensor(array), weakref.ref(array)
    del array
    gc.collect()
    assert held() is not None
    assert torch.equal(tensor, X)


def test_read_only_arrays_leave_warnings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def entered(*_: object) -> None:
        raise AssertionError("the filters of warnings are everybody's")

    array = X.numpy().copy()
    array.flags.writeable = False
    with monkeypatch.context() as patch:
        patch.setattr(warnings.catch_warnings, "__enter__", entered)
        read = [as_tensor(array), as_tensor(X.numpy())]
    assert all(torch.equal(tensor, X) for tensor in read)


@each_rule
def test_fields_of_records_are_read(rule: vg.Stage) -> None:
    records = np.zeros(X.shape, [("a", "u1"), ("b", "f4")])
    records["b"] = X
    assert np.array_equal(rule(records["b"]), rule(X.numpy()))


MASKED: Any = np.ma.masked_array(X.numpy(), X.numpy() > 2)


@pytest.mark.parametrize(
    "vectors",
    [
        MASKED,
        list(MASKED),
        [[row] for row in MASKED],
        [{"w": row} for row in MASKED],
        [X[0].numpy(), *MASKED[1:]],
        vg.InBlocks(lambda: [MASKED], (9, 50)),
        vg.InBlocks(lambda: [MASKED.data[:, :20], MASKED[:, 20:]], (9, 50)),
    ],
    ids=["matrix", "list", "parameters", "state dicts", "one of a list", "blocks", "a later block"],
)
def test_a_mask_is_not_overlooked(vectors: Any) -> None:
    with pytest.raises(InputError, match=r"x\.filled\(np\.nan\)"):
        vg.Average(missing=True)(vectors)


def test_the_advice_on_masks_holds() -> None:
    got = vg.Average(missing=True)(MASKED.filled(np.nan))
    np.testing.assert_allclose(got, MASKED.mean(0), rtol=1e-5, atol=1e-6)


class Pair(NamedTuple):
    """Parameters by name."""

    weight: Tensor
    bias: Tensor


class Closed(Mapping[str, Tensor]):
    """A mapping that cannot be made of another."""

    def __init__(self, *, weight: Tensor, bias: Tensor) -> None:
        self.held = {"weight": weight, "bias": bias}

    def __getitem__(self, key: str) -> Tensor:
        return self.held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


def by_default(weight: Tensor, bias: Tensor) -> defaultdict[str, Any]:
    return defaultdict(deque, weight=weight, bias=bias)


class Pairs(dict[str, Tensor]):
    """A mapping that is made of pairs alone."""

    def __init__(self, pairs: Iterable[tuple[str, Tensor]] = ()) -> None:
        super().__init__()
        for key, value in pairs:
            self[key] = value


CONTAINERS: list[tuple[Callable[..., Any], type]] = [
    (Pair, Pair),
    (by_default, defaultdict),
    (lambda **parts: OrderedDict(parts), OrderedDict),
    (lambda **parts: MappingProxyType(parts), MappingProxyType),
    (Closed, dict),
    (lambda **parts: Pairs(parts.items()), Pairs),
    (lambda **parts: tuple(parts.values()), tuple),
]


@pytest.mark.parametrize(("make", "kind"), CONTAINERS, ids=[kind.__name__ for _, kind in CONTAINERS])
def test_containers_are_made_again(make: Callable[..., Any], kind: type) -> None:
    vectors = [make(weight=row[:20].view(4, 5), bias=row[20:]) for row in X]
    want = vg.Median(f=2)(X)
    got = vg.Median(f=2)(vectors)
    assert type(got) is kind
    weight, bias = got.values() if isinstance(got, Mapping) else got
    assert torch.equal(torch.cat([weight.flatten(), bias]), want)
    assert not isinstance(got, Mapping) or [*got] == ["weight", "bias"]
    assert not isinstance(got, defaultdict) or got.default_factory is deque
    assert {type(one) for one in vg.NearestNeighborMixing(f=2)(vectors)} == {kind}


TRANSFORMED: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "vmap": lambda call: torch.func.vmap(call)(X.expand(2, 9, 50)),
    "vmap of lists": lambda call: torch.func.vmap(lambda x: call(list(x)))(X.expand(2, 9, 50)),
    "grad": lambda call: torch.func.grad(lambda x: call(x).sum())(X),
    "jvp": lambda call: torch.func.jvp(call, (X,), (X,)),
    "functionalize": lambda call: torch.func.functionalize(call)(X),
    "fake": lambda call: call(FakeTensorMode().from_tensor(X)),
}


@each_rule
@pytest.mark.parametrize("way", TRANSFORMED)
def test_tensors_without_memory_are_refused(way: str, rule: vg.Stage) -> None:
    with pytest.raises(InputError, match=r"without memory.* outside of the transformation"):
        TRANSFORMED[way](rule)


MODES: dict[str, Callable[[Callable[..., Any], Any], Any]] = {
    "fake": lambda call, x: _under(FakeTensorMode(allow_non_fake_inputs=True), call, x),
    "make_fx": lambda call, x: make_fx(lambda _: call(x))(X),
    "functional": lambda call, x: _under(FunctionalTensorMode(), call, x),
}


def _under(mode: Any, call: Callable[..., Any], x: Any) -> Any:
    with mode:
        return call(x)


@pytest.mark.parametrize("x", [X, list(X), [{"w": row} for row in X], X.numpy()], ids=type)
@pytest.mark.parametrize("way", MODES)
def test_what_lies_in_memory_is_refused_where_results_would_not(way: str, x: Any) -> None:
    with pytest.raises(InputError, match=r"without memory.* outside of the transformation"):
        MODES[way](vg.Krum(f=2), x)


@each_rule
def test_modes_that_only_watch_are_no_matter(rule: vg.Stage) -> None:
    for x in (X, list(X), X.numpy()):
        with FlopCounterMode(display=False):
            got = rule(x)
        assert np.array_equal(got, rule(x))


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[1:]], ids=["whole", "view"])
def test_memory_that_was_freed_is_not_read(view: Callable[[Tensor], Tensor]) -> None:
    x = view(torch.randn(10, 50))
    x.untyped_storage().resize_(0)
    with pytest.raises(InputError, match="without memory"):
        vg.Krum(f=2)(x)


@each_rule
@pytest.mark.parametrize("kind", [UninitializedParameter, UninitializedBuffer])
def test_parameters_without_numbers_are_refused(kind: type[Any], rule: vg.Stage) -> None:
    for vectors in (kind(), [kind()] * 9, [[kind()]] * 9, [{"w": kind()}] * 9):
        with pytest.raises(InputError, match=rf"{kind.__name__} arrived.* call its module once"):
            rule(vectors)


def test_what_lies_in_memory_is_read_inside_of_a_transformation() -> None:
    got = torch.func.vmap(lambda x: x + vg.Median(f=2)(X))(torch.zeros(2, 50))
    assert torch.equal(got[1], vg.Median(f=2)(X))


@each_rule
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
def test_nested_tensors_are_refused(layout: torch.layout, rule: vg.Stage) -> None:
    nested = torch.nested.nested_tensor([X[0], X[1, :9]], layout=layout)
    for vectors in (nested, [nested] * 9):
        with pytest.raises(InputError, match=r"A nested tensor arrived.* dense"):
            rule(vectors)


@each_rule
@pytest.mark.parametrize("way", ["jit", "grad", "vmap"])
def test_tracers_of_jax_are_refused(way: str, rule: vg.Stage) -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(np.broadcast_to(X.numpy(), (2, 9, 50)) if way == "vmap" else X.numpy())
    with pytest.raises(InputError, match=r"tracer of JAX.* outside .*varangian\.jax\.jitted"):
        getattr(jax, way)(lambda x: rule(x).sum())(x)


def test_arrays_of_jax_that_cannot_be_read_are_refused() -> None:
    jax = pytest.importorskip("jax")
    gone = jax.numpy.ones((9, 50))
    gone.delete()
    for x in (jax.random.key(0), gone, jax.numpy.ones((9, 50), jax.numpy.int4)):
        with pytest.raises(InputError, match=f"{x.dtype}.* pass an array of floating point"):
            vg.Median(f=2)(x)


def test_out_in_another_order_of_bytes_is_refused_as_such() -> None:
    x = X.numpy().astype(">f4")
    with pytest.raises(InputError, match=r"dtype >f4.* float32"):
        vg.Median(f=2)(x, out=np.empty(50, ">f4"))
    out = np.empty(50, np.float32)
    assert vg.Median(f=2)(x, out=out) is out
    assert np.array_equal(out, vg.Median(f=2)(X.numpy()))


def test_blocks_need_a_function() -> None:
    """Without type checks, that is, which refuse it first."""
    code = (
        "import torch, varangian as vg\n"
        "try: vg.Median(f=1)(vg.InBlocks(torch.ones(5, 30).split(7, dim=1), (5, 30)))\n"
        "except vg.errors.InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "received a tuple; make is a function" in done.stdout


@pytest.mark.parametrize(
    "wrong", [torch.zeros(4, 3), torch.zeros(2, 6), torch.zeros(12)], ids=lambda x: str(x.shape)
)
def test_extra_vectors_have_the_shape_of_the_others(wrong: torch.Tensor) -> None:
    """So many numbers in another shape are other numbers."""
    vectors = [{"w": torch.randn(3, 4)} for _ in range(5)]
    rule = vg.CenteredClipping(f=1, radius=1.0)
    assert rule(vectors, state={"w": torch.zeros(3, 4)}, out={"w": torch.zeros(3, 4)})["w"].shape == (3, 4)
    for given in ({"out": {"w": wrong}}, {"state": {"w": wrong}}):
        with pytest.raises(ShapeError, match=r"vector 0 has \(3, 4\)"):
            rule(vectors, **given)
    with pytest.raises(ShapeError, match=r"vector 0 has \(3, 4\)"):
        vg.FLTrust()(vectors, pivot={"w": wrong})
