"""Kernels for graphics processors say what the others say; without one, Triton runs them on the processor."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from varangian import MeanAroundMedian, Median, TrimmedMean
from varangian.kernels import eager
from varangian.kernels.compiled.jit import SWITCH
from varangian.kernels.cuda import written
from varangian.kernels.cuda.centred import product_source, shared_of
from varangian.kernels.cuda.columns import COLUMNS, column_source, reduce, reducible, repair_source
from varangian.kernels.cuda.combinations import combination_source, combine, reduce_mix
from varangian.kernels.cuda.distances import STRETCH, distances, pair_source
from varangian.kernels.cuda.pairs import near_source
from varangian.kernels.cuda.ptx import ptx_block
from varangian.kernels.cuda.tables import readable
from varangian.kernels.cuda.written import INTERPRETER, multiplies, serves
from varangian.kernels.distances import pairwise
from varangian.kernels.programs import Middle, Nearest, Program, SignSum, Trimmed
from varangian.kernels.rows import FEW, Rows, Segment, sound

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True, scope="module")
def _where_there_is_no_graphics_processor() -> Iterator[None]:
    before = os.environ.get(INTERPRETER)
    if DEVICE == "cpu":
        os.environ[INTERPRETER] = "1"
    yield
    if before is None:
        os.environ.pop(INTERPRETER, None)
    else:
        os.environ[INTERPRETER] = before


def programs(n: int) -> list[Program]:
    few = (n - 1) // 4
    return [
        Middle(),
        Middle(lower=True),
        Trimmed(few),
        Nearest(few, Middle()),
        Nearest(few, Trimmed(few)),
        SignSum(),
    ]


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normal numbers, some of which are alike, and a few of which are none."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    values[..., ::3] = values[..., ::3].round()
    values[..., 0, 5], values[..., -1, 7], values[..., -1, -1] = math.nan, math.inf, -math.inf
    return values.to(dtype).to(DEVICE)


def lost_in(values: Tensor) -> Tensor:
    return (~values.isfinite()).sum(-1)


def as_read(values: Tensor) -> Tensor:
    return sound(values.to(torch.promote_types(values.dtype, torch.float32)))[0]


class Machine:
    """Carries out the instructions of a block, on arrays."""

    def __init__(self, inputs: np.ndarray[Any, Any]) -> None:
        self.known = {f"${place}": row for place, row in enumerate(inputs, 1)}

    def value(self, name: str) -> Any:
        if name[:2] in ("0d", "0f"):
            return np.frombuffer(bytes.fromhex(name[2:]), dtype={"d": ">f8", "f": ">f4"}[name[1]])[0]
        return self.known[name]

    def run(self, block: str) -> Any:
        does = {
            "mov": lambda x: x,
            "min": np.minimum,
            "max": np.maximum,
            "add": np.add,
            "sub": np.subtract,
            "div": np.divide,
            "setp": np.less,
            "selp": lambda then, other, held: np.where(held, then, other),
        }
        for line in block.strip("{} ").split(";"):
            if not line.strip() or line.strip().startswith(".reg"):
                continue
            name, rest = line.strip().split(" ", 1)
            target, *operands = rest.split(", ")
            assert target not in self.known
            self.known[target] = does[name.split(".")[0]](*map(self.value, operands))
        return self.known["$0"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [1, 2, 5, 12, 49, 101])
def test_a_block_of_instructions_says_what_the_program_says(n: int, dtype: torch.dtype) -> None:
    values = as_read(drawn(n, 40).to(dtype).cpu())
    for program in programs(n):
        block = ptx_block(program, n, wide=dtype == torch.float64)
        assert np.array_equal(Machine(values.numpy()).run(block), eager.reduced(program, values).numpy())
        for kind, count in re.findall(r"\.reg \.(\w+) \w+_<(\d+)>", block):
            used = {int(number) for number in re.findall(rf"\b{kind}_(\d+)\b", block)}
            assert used == set(range(int(count)))


def test_what_can_be_read_in_place() -> None:
    values = torch.zeros(4, 10)
    assert readable(Rows([Segment(values), Segment(tuple(values))]))
    assert not readable(Rows([Segment(torch.zeros(10, 4).mT)]))
    assert not readable(Rows([Segment(values.int())]))
    assert readable(Rows([Segment(values)], [[torch.zeros(1).expand(10)]]))
    assert not readable(Rows([Segment(values)], [[torch.zeros(10).double()]]))


@pytest.mark.parametrize(
    ("environment", "compilers", "on_card", "on_processor"),
    [
        ({}, ["gcc"], True, False),
        ({}, ["clang"], True, False),
        ({}, [], False, False),
        ({"CC": "cc"}, [], True, False),
        ({SWITCH: "0"}, ["gcc"], False, False),
        ({INTERPRETER: "1"}, ["gcc"], False, True),
    ],
)
def test_where_kernels_can_be_launched(
    environment: dict[str, str],
    compilers: list[str],
    on_card: bool,
    on_processor: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CC", SWITCH, INTERPRETER):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(written, "_installed", lambda: True)
    monkeypatch.setattr(written.shutil, "which", lambda name: name if name in compilers else None)
    written._builds.cache_clear()
    try:
        assert serves(torch.device("cuda")) == on_card
        assert serves(torch.device("cpu")) == on_processor
    finally:
        written._builds.cache_clear()


@pytest.mark.triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 8, 13])
def test_columns_are_the_same_to_the_bit(n: int, dtype: torch.dtype) -> None:
    values = drawn(2, n, 150, dtype=dtype)
    for program in programs(n):
        rows = Rows([Segment(values)])
        assert reducible(rows)
        out = values.new_empty(2, 150)
        reduce(program, rows, [out])
        want = eager.reduced(program, as_read(values).cpu()).to(dtype)
        assert torch.equal(out.cpu(), want), program
        assert torch.equal(rows.nonfinite, lost_in(values))
        assert rows.reads == 1


@pytest.mark.triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [3, 8])
def test_huge_and_tiny_columns_are_the_same_to_the_bit(n: int, dtype: torch.dtype) -> None:
    """Where a sum is too large, numbers are made smaller; the columns beside do not notice."""
    kind = torch.finfo(dtype)
    values = torch.randn(n, 2 * COLUMNS, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    values[:, ::4] = kind.max * (values[:, ::4] / 2).clamp(-1, 1)
    # Triton's interpreter widens bfloat16 wrongly below its smallest normal number: there, only gaps are.
    tiny = values[:, 1::4].abs() * 8 + 1 if dtype == torch.bfloat16 else values[:, 1::4] * 2
    values[:, 1::4] = tiny * kind.smallest_normal
    values[:, 2::16] = kind.max
    values[:, 6::16] = values[:, 6::16].sign() * kind.max
    values = values.to(dtype).to(DEVICE)
    for program in programs(n):
        rows = Rows([Segment(values)])
        out = values.new_empty(values.shape[-1])
        reduce(program, rows, [out])
        assert torch.equal(out.cpu(), eager.reduced(program, as_read(values).cpu()).to(dtype)), program
        assert not rows.nonfinite.any()


@pytest.mark.triton
def test_columns_of_many_rows() -> None:
    values = drawn(60, 130)
    out = values.new_empty(130)
    reduce(Trimmed(12), Rows([Segment(values)]), [out])
    assert torch.equal(out.cpu(), eager.reduced(Trimmed(12), as_read(values).cpu()).float())


@pytest.mark.triton
def test_segments_of_separate_vectors_and_views() -> None:
    whole = drawn(3, 2, 5, 400)
    view = whole[:, 1, :, 100:333]
    out = view.new_empty(3, 233)
    reduce(Middle(), Rows([Segment(view)]), [out])
    assert torch.equal(out.cpu(), eager.reduced(Middle(), as_read(view).cpu()).float())
    matrix, layers = drawn(5, 40), tuple(row.clone() for row in drawn(5, 300, dtype=torch.bfloat16))
    rows = Rows([Segment(layers), Segment(matrix)])
    outputs = [layers[0].new_empty(300), matrix.new_empty(40)]
    reduce(Middle(), rows, outputs)
    stacked = torch.stack(layers)
    assert torch.equal(outputs[0].cpu(), eager.reduced(Middle(), as_read(stacked).cpu()).bfloat16())
    assert torch.equal(outputs[1].cpu(), eager.reduced(Middle(), as_read(matrix).cpu()).float())
    assert torch.equal(rows.nonfinite, lost_in(stacked) + lost_in(matrix))
    reduce(Middle(), rows, outputs)
    assert torch.equal(rows.nonfinite, lost_in(stacked) + lost_in(matrix))


@pytest.mark.triton
def test_rules_give_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    values = drawn(9, 200).cpu()
    rules = (Median(f=2), TrimmedMean(f=2), MeanAroundMedian(f=2))
    monkeypatch.setenv(INTERPRETER, "0")
    want = [rule.aggregate(values) for rule in rules]
    monkeypatch.setenv(INTERPRETER, "1" if DEVICE == "cpu" else "0")
    before = column_source.cache_info().currsize
    for rule, other in zip(rules, want, strict=True):
        got = rule.aggregate(values.to(DEVICE))
        assert torch.equal(got.value.cpu(), other.value)
        assert torch.equal(got.nonfinite.cpu(), other.nonfinite)
    assert column_source.cache_info().currsize == before + len(rules)


def near(got: Tensor, want: Tensor) -> bool:
    """Tell whether every distance is right in itself, however small beside the others."""
    return bool(((got - want).abs() <= 1e-6 * want).all())


@pytest.mark.triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("n", "d"), [(1, 20), (3, 200), (8, FEW + 10), (19, 100), (28, FEW)])
def test_distances(n: int, d: int, dtype: torch.dtype) -> None:
    values = drawn(2, n, d, dtype=dtype)
    rows = Rows([Segment(values)])
    got = distances(rows)
    assert near(got, pairwise(as_read(values)))
    assert torch.equal(got, got.mT)
    assert torch.equal(rows.nonfinite, lost_in(values))
    assert torch.equal(got[1:], distances(Rows([Segment(values[1:])])))


@pytest.mark.triton
@pytest.mark.parametrize("few", [0, FEW])
def test_distances_of_close_tiny_huge_and_equal_vectors(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varangian.kernels.cuda.distances.FEW", few)
    values = as_read(drawn(6, 500))
    close = 1e3 + 1e-3 * values
    tiny, huge = 1e-25 * values, torch.cat([3e37 * values, values])
    mixed = torch.cat([1e30 * values[:2], 1e-22 * values, values[2:]])
    for rows in (close, tiny, huge, mixed, torch.cat([values, values])):
        assert near(distances(Rows([Segment(rows)])), pairwise(rows))
    large = 1e200 * values.double()
    assert near(distances(Rows([Segment(large)])), pairwise(sound(large)[0]))


@pytest.mark.triton
@pytest.mark.parametrize("n", [17, 40, 101])
def test_distances_around_a_centre(n: int) -> None:
    values = as_read(drawn(n, FEW + 10))
    clusters = values + 1e3 * (torch.arange(n, device=DEVICE) % 3)[:, None]
    clusters[3:] = clusters[: n - 3] + 1e-2 * values[3:]
    outlier, copies, odd = values.clone(), values.clone(), values.clone()
    outlier[0] *= 1e6
    copies[n // 2 :] = copies[n // 2]
    odd[0], odd[1], odd[2], odd[n // 2], odd[-1] = 1e36, 1e-30, 0.0, math.nan, math.inf
    for rows in (values + 1e3, clusters, outlier, copies, odd, 1e-18 * values):
        got = distances(Rows([Segment(rows)]))
        assert near(got, pairwise(as_read(rows)))
        assert torch.equal(got, got.mT)
    got = distances(Rows([Segment(copies)]))
    assert not got[n // 2 :, n // 2 :].any()
    if DEVICE == "cuda":  # NumPy's product of matrices, by which Triton is played, rounds copies differently
        assert torch.equal(got[n // 2 :], got[n // 2].expand(n - n // 2, -1))


@pytest.mark.triton
@pytest.mark.parametrize("n", [5, 19])
def test_distances_of_columns_counted_in_more_bits(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = drawn(n, FEW + 10)
    want = distances(Rows([Segment(values)]))
    monkeypatch.setattr("varangian.kernels.cuda.written.AS_FAR", 0)
    assert torch.equal(distances(Rows([Segment(values)])), want)


@pytest.mark.parametrize(("width", "far"), [(2**20, 0), (2**31 - 2**25, 0), (2**31 - 5, 1), (2**31, 1)])
@pytest.mark.parametrize("k", [3, 40, 200])
def test_places_beyond_the_end_fit_into_their_bits(
    k: int, width: int, far: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[tuple[tuple[Any, ...], dict[str, Any]]]()
    monkeypatch.setattr("varangian.kernels.cuda.distances.launch", lambda *a, **o: told.append((a, o)))
    monkeypatch.setattr("varangian.kernels.cuda.tables.addresses", lambda x: np.zeros((1, k), np.uint64))
    values = torch.zeros(1, 1).bfloat16().expand(k, width)
    distances(Rows([Segment(values)]))
    for (_, _, _, _, d, parts, *_), options in told[:-1]:
        assert options["FAR"] == far
        assert far or d + parts * STRETCH + 2 * STRETCH < 2**31


@pytest.mark.triton
def test_distances_of_signs_and_of_copies_near_others() -> None:
    signs = torch.full((17, FEW), 1.00073)
    signs[0], signs[16] = 0.0, -1.00073
    signs[1, : FEW // 8] *= -1
    copies = as_read(drawn(48, FEW)).cpu()
    copies[40] = copies[0] + 0.01 * copies[1]
    copies[20], copies[45] = copies[0], copies[5]
    for rows in (signs, copies):
        got = distances(Rows([Segment(rows.to(DEVICE))])).cpu()
        assert near(got, pairwise(rows))
    assert got[0, 40] == got[20, 40]


@pytest.mark.parametrize(
    ("major", "room", "fits"),
    [(9, 232448, 128), (8, 166912, 128), (8, 101376, 64), (12, 101376, 64), (7, 98304, 0)],
)
def test_cards_that_multiply_fewer_rows_or_none(
    major: int, room: int, fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SimpleNamespace(major=major, shared_memory_per_block_optin=room)
    monkeypatch.setenv(INTERPRETER, "0")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    found = [k for k in range(17, 129) if multiplies(torch.device("cuda"), shared_of(k))]
    assert found == list(range(17, fits + 1))


@pytest.mark.parametrize(("cuda", "options"), [("13.0", {"maxnreg": 31}), (None, {})])
def test_only_cards_of_one_maker_are_told_of_registers(
    cuda: str | None, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[dict[str, int]]()
    kernel = {(3,): lambda *_, **options: told.append(options)}
    monkeypatch.setenv(INTERPRETER, "0")
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(written, "module_of", lambda _: SimpleNamespace(kernel=kernel))
    written.launch("", 3, torch.zeros(1), warps=1, registers=31)
    assert told == [{"num_warps": 1, "enable_fp_fusion": False, **options}]


@pytest.mark.triton
def test_distances_over_segments_and_to_what_rides_along() -> None:
    one, other = drawn(2, 4, 300), drawn(2, 4, 77)
    centre = [as_read(drawn(2, 300)), torch.ones(1, device=DEVICE).expand(77)]
    rows = Rows([Segment(one), Segment(other)], [centre])
    below = torch.cat([centre[0], centre[1].expand(2, -1)], dim=-1)[:, None]
    origin = torch.zeros_like(below)
    whole = torch.cat([torch.cat([as_read(one), as_read(other)], dim=-1), below, origin], dim=-2)
    assert near(distances(rows, [0, None]), pairwise(whole))
    assert torch.equal(rows.nonfinite, lost_in(one) + lost_in(other))


@pytest.mark.triton
def test_distances_to_what_rides_along_alone() -> None:
    values = drawn(2, 37, 300)
    rows = Rows([Segment(values)], [[torch.ones(300, device=DEVICE)]])
    got = distances(rows, [None, 0], all_pairs=False)
    below = torch.stack([torch.zeros(300), torch.ones(300)]).expand(2, -1, -1).to(DEVICE)
    want = pairwise(torch.cat([as_read(values), below], dim=-2))
    assert near(got[..., 37:, :], want[..., 37:, :])
    assert torch.equal(got[..., 37:, :].mT, got[..., 37:])
    assert near(got[..., :14, :37], want[..., :14, :37])  # the strip of those that ride along
    assert torch.equal(got[0, 14:37, 14:37].isnan(), ~torch.eye(23, dtype=torch.bool, device=DEVICE))
    assert torch.equal(rows.nonfinite, lost_in(values))


def test_distances_to_what_rides_along_alone_take_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[tuple[Any, ...]]()
    monkeypatch.setattr("varangian.kernels.cuda.distances.launch", lambda *a, **_: told.append(a))
    distances(Rows([Segment(torch.zeros(1000, 2**17))]), [None], all_pairs=False)
    assert max(one.nbytes for one in told[0] if isinstance(one, Tensor)) < 2**24


@pytest.mark.triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("m", [1, 3, 11])
def test_combinations_are_added_up_in_order(m: int, dtype: torch.dtype) -> None:
    values = drawn(2, 6, 150, dtype=dtype)
    weights = torch.randn(2, m, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(m))
    weights[..., 2] = 0.0
    weights = weights.to(DEVICE)
    rows = Rows([Segment(values)])
    out = values.new_empty(2, m, 150)
    combine(weights, rows, [out])
    want = torch.zeros(2, m, 150, dtype=torch.float64, device=DEVICE)
    for i, row in enumerate(as_read(values).double().unbind(-2)):
        want = want + weights[..., i, None] * row[:, None]
    assert torch.equal(out, want.to(torch.promote_types(dtype, torch.float32)).to(dtype))
    assert torch.equal(rows.nonfinite, lost_in(values))
    again = torch.empty_like(out)
    combine(weights, rows, [again])
    assert torch.equal(again, out)


@pytest.mark.triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_programs_on_combinations(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varangian.kernels.cuda.combinations.ROOM", 2 * 5 * COLUMNS)
    values, mix = drawn(2, 6, 2 * COLUMNS + 30, dtype=dtype), torch.full((2, 5, 6), 1 / 6, device=DEVICE)
    mix[..., 0], mix[..., -1] = 1 / 3, torch.linspace(0, 1 / 6, 5, device=DEVICE)
    rows, out = Rows([Segment(values)]), values.new_empty(2, values.shape[-1])
    reduce_mix(Middle(), rows, mix.double(), [out])
    sums = as_read(values).new_empty(2, 5, values.shape[-1])
    combine(mix.double(), Rows([Segment(values)]), [sums])
    want = values.new_empty(2, values.shape[-1])
    reduce(Middle(), Rows([Segment(sums)]), [want])
    torch.testing.assert_close(out, eager.reduced(Middle(), sums).to(dtype), rtol=0, atol=0)
    assert torch.equal(out, want)
    assert torch.equal(rows.nonfinite, lost_in(values))
    assert rows.reads == 1


@pytest.mark.triton
def test_combinations_with_what_rides_along_and_of_what_is_not_replaced() -> None:
    values, centre = drawn(4, 150), torch.ones(150, device=DEVICE)
    weights = torch.full((1, 5), 0.5, dtype=torch.float64, device=DEVICE)
    out = values.new_empty(1, 150)
    combine(weights, Rows([Segment(values)], [[centre]]), [out])
    want = torch.zeros(150, dtype=torch.float64, device=DEVICE)
    for row in (*as_read(values).double(), centre.double()):
        want = want + 0.5 * row
    assert torch.equal(out[0], want.float())
    rows = Rows([Segment(values)], sanitise=False)
    combine(weights[:, :4], rows, [out])
    assert torch.equal(out[0].isfinite(), values.isfinite().all(0))
    assert torch.equal(rows.nonfinite, lost_in(values))
    combine(0 * weights[:, :4], rows, [out])
    assert not out.any()


@pytest.mark.triton
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("n", [4, 5])
def test_what_weighs_nothing_adds_nothing_where_it_is_not_replaced(
    n: int, again: bool, dtype: torch.dtype
) -> None:
    values = drawn(n, 150, dtype=dtype)
    weights = torch.eye(n, dtype=torch.float64, device=DEVICE)
    for mix in (weights, weights[1:2], weights[n - 1 :]):
        rows, out = Rows([Segment(values)], sanitise=False), values.new_empty(len(mix), 150)
        if again:
            combine(mix, rows, [out])
        combine(mix, rows, [out])
        assert torch.equal(out.nan_to_num(7.0), values[mix.argmax(1)].nan_to_num(7.0))
        assert torch.equal(rows.nonfinite, lost_in(values))


@pytest.mark.triton
def test_not_a_number_is_none_in_fewer_bits() -> None:
    """A card makes NaN of ones alone; rounded like a number, that is a zero."""
    values = torch.tensor([0x7FFFFFFF, -1, 0x7FC00000], dtype=torch.int32).view(torch.float32)
    out = torch.zeros(1, 3, dtype=torch.bfloat16, device=DEVICE)
    weights = torch.ones(1, 1, dtype=torch.float64, device=DEVICE)
    combine(weights, Rows([Segment(values[None].to(DEVICE))], sanitise=False), [out])
    assert out.isnan().all()


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from varangian.kernels.cuda.written import module_of


def compiled(text, pointers, constants):
    kernel = module_of(text).kernel
    kinds = {name: pointers.get(name, "i32") for name in kernel.arg_names}
    kinds |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, signature=kinds, constexprs=constants)
    for arch in (80, 90):
        made = triton.compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": 8})
        print("made", len(made.asm["cubin"]))


"""


@pytest.mark.triton
def test_kernels_are_accepted_for_processors_that_are_not_here() -> None:
    tables = {"table": "*i64", "counts": "*i64", "marks": "*i8"}
    sides = {"K": 25, "PAIRS": 3, "SIDE": 16, "COLUMNS": 32, "STRETCH": STRETCH, "LOOKS": 16}
    sides |= {"HIGH": 25, "FAR": 0}
    centred = {"K": 25, "SIDE": 32, "STRETCH": STRETCH, "ALIGNED": 0, "FAR": 0}
    weighed, products = {"weights": "*fp64", "out": "*fp16"}, {"shares": "*fp64", "nought": "fp32"}
    wanted: list[tuple[str, dict[str, str], dict[str, int]]] = [
        (column_source(Middle(), 25, "bfloat16", "bfloat16", ptx=True), {"out": "*bf16"}, {"COLUMNS": 128}),
        (
            column_source(Nearest(12, Trimmed(12)), 64, "float32", "float32", ptx=True),
            {"out": "*fp32"},
            {"COLUMNS": 128},
        ),
        (column_source(SignSum(), 50, "float64", "float64", ptx=True), {"out": "*fp64"}, {"COLUMNS": 128}),
        (
            repair_source(Nearest(5, Middle()), 51, "float16", "float16", ptx=True),
            {"out": "*fp16"},
            {"COLUMNS": 128, "TOGETHER": 64},
        ),
        (
            repair_source(Trimmed(1), 5, "float64", "float64", ptx=True),
            {"out": "*fp64"},
            {"COLUMNS": 128, "TOGETHER": 64},
        ),
        (pair_source("float32", wide=False, replace=True), {"shares": "*fp64"}, sides),
        (near_source("float16", 9, STRETCH), {"shares": "*fp64"}, {"FAR": 0}),
        (product_source("bfloat16"), products, centred),
        (product_source("float32"), products, centred | {"K": 101, "SIDE": 128, "ALIGNED": 1}),
        # As many columns as 32 bits can just count, and more.
        (pair_source("float32", wide=False, replace=True), products, sides | {"FAR": 1}),
        (near_source("float16", 3, STRETCH), products, {"FAR": 1}),
        (product_source("bfloat16"), products | {"d": "i64"}, centred | {"FAR": 1}),
        (combination_source("float16", "float16", 13, replace=True), weighed, {"COLUMNS": 256}),
    ]
    lines = [f"compiled({text!r}, {tables | pointers!r}, {sizes!r})" for text, pointers, sizes in wanted]
    assert any("inline_asm" in line for line in lines)
    environment = {name: value for name, value in os.environ.items() if name != INTERPRETER}
    done = subprocess.run(
        [sys.executable, "-"],
        input=COMPILE + "\n".join(lines),
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("made") == 2 * len(wanted)
