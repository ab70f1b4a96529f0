"""Programs over rows: wherever the numbers lie, whatever they are, however many threads there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from kernels.examples import DTYPES, normal

from varangian.kernels import columns, eager
from varangian.kernels.columns import reduce, reduced, reducible
from varangian.kernels.compiled import tasks
from varangian.kernels.compiled.columns import tile_columns
from varangian.kernels.lanes import lanes
from varangian.kernels.programs import Middle, Nearest, Program, SignSum, Trimmed
from varangian.kernels.rows import LARGEST, WORKING_DTYPES, Rows, Segment

PROGRAMS = [Middle(), Trimmed(2), Nearest(3, Middle()), SignSum()]
SIZES = [5, 11, 29]
"""Numbers of rows: of two the columns stay in registers on most processors, of one they cannot."""


@pytest.fixture(autouse=True)
def _compile(compiled: None) -> None:
    """Compile all of these."""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut columns into many stretches."""
    monkeypatch.setattr(tasks, "STRETCH", 2**12)


@pytest.fixture
def threads() -> Iterator[None]:
    """Put the number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def outcome(program: Program, rows: Rows) -> list[torch.Tensor]:
    """Return what a program makes of rows, by segment, compiled."""
    assert reducible(rows)
    outputs = [s.sample.new_full((*rows.batch, s.width), torch.nan) for s in rows.segments]
    reduce(program, rows, outputs)
    assert rows.reads == 1
    return outputs


def wanted(program: Program, vectors: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the same from the library's operations, with the guard's zeros for what is not finite."""
    values = vectors if isinstance(vectors, torch.Tensor) else torch.stack(list(vectors))
    wide = values.detach().to(WORKING_DTYPES[values.dtype])
    wide = torch.where(wide.isfinite(), wide, 0.0)
    if wide.dtype == torch.float64:
        wide = wide.clamp(-LARGEST, LARGEST)
    return eager.reduced(program, wide).to(wide.dtype).to(values.dtype)


def holds(vectors: torch.Tensor | Sequence[torch.Tensor]) -> None:
    """Check all programs on one segment."""
    for program in PROGRAMS:
        segment = Segment(vectors if isinstance(vectors, torch.Tensor) else tuple(vectors))
        (got,) = outcome(program, Rows([segment]))
        assert torch.equal(got, wanted(program, vectors)), program


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_any_width(n: int, dtype: torch.dtype) -> None:
    tile = tile_columns(n, str(dtype).removeprefix("torch."))
    x = normal(n, 5 * tile + 3, dtype=dtype)
    for d in (0, 1, 7, tile - 1, tile, tile + 1, 2 * tile - 1, 3 * tile, 5 * tile + 3):
        holds(x[:, :d])


@pytest.mark.parametrize("n", SIZES)
def test_any_place_in_memory(n: int) -> None:
    d = 1001
    x = normal(2 * n, d + 3)
    holds(x[::2, 1 : d + 1])
    holds(x[:n])
    holds(x[0].expand(n, -1))
    holds(list(x[:n].unbind(0)))
    holds([x[n - 1 - i, i % 3 : d + i % 3] for i in range(n)])
    holds([normal(d, seed=i) for i in range(n)])
    holds([x[0], *x[: n - 1]])
    holds(torch.from_numpy(x.numpy()[:n]).requires_grad_())


@pytest.mark.parametrize("n", SIZES)
def test_batches(n: int) -> None:
    x = normal(3, 2, n, 333)
    holds(x)
    holds(x[0])
    holds(x[:, :1].expand(-1, 4, -1, -1))
    holds(x[:1, :, :, 5:].expand(5, -1, -1, -1))
    holds(x.transpose(0, 1))
    holds(normal(n, 4, 333).transpose(0, 1))
    holds(x[:0])
    holds(x[:, :0])
    holds(x[..., :0])


def test_segments_of_all_kinds() -> None:
    matrix, halves = normal(11, 301), normal(11, 40, dtype=torch.float16)
    apart = [normal(5000, dtype=torch.float64, seed=i) for i in range(11)]
    brains = normal(11, 1, dtype=torch.bfloat16)
    parts: list[torch.Tensor | list[torch.Tensor]] = [
        matrix,
        halves,
        apart,
        matrix[:, :0],
        brains,
        matrix[:, 1:],
    ]
    for program in PROGRAMS:
        rows = Rows([Segment(p if isinstance(p, torch.Tensor) else tuple(p)) for p in parts])
        for got, part in zip(outcome(program, rows), parts, strict=True):
            assert torch.equal(got, wanted(program, part))


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_memory_that_may_only_be_read(tmp_path: Path) -> None:
    x = normal(11, 50_001)
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    holds(torch.from_numpy(mapped))
    holds([torch.from_numpy(row) for row in mapped])
    assert np.array_equal(np.load(tmp_path / "x.npy"), x.numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_nothing_is_written_beside_the_output(n: int, dtype: torch.dtype) -> None:
    for d in (1, 17, 130, 1001):
        room = torch.full((d + 512,), 7.0, dtype=dtype)
        x = normal(n, d, dtype=dtype)
        rows = Rows([Segment(x)])
        assert reducible(rows)
        reduce(Middle(), rows, [room[256 : 256 + d]])
        assert torch.equal(room[256 : 256 + d], wanted(Middle(), x))
        assert (room[:256] == 7).all()
        assert (room[256 + d :] == 7).all()


def test_rows_stay_as_they_are() -> None:
    for dtype in DTYPES:
        x = normal(29, 1000, dtype=dtype)
        x[3, 5] = torch.inf
        before = x.clone()
        holds(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize(
    "x",
    [normal(11, 400)[:, ::2], normal(300, 11).T, normal(3, 300, 11).mT],
    ids=["every other column", "columns first", "batch of columns first"],
)
def test_what_is_not_compiled(x: torch.Tensor) -> None:
    assert not reducible(Rows([Segment(x)]))
    assert not reducible(Rows([Segment(normal(x.shape[-2], 5)), Segment(x.reshape(-1, *x.shape[-2:])[0])]))


def test_values_that_are_to_pass_are_not_compiled() -> None:
    assert not reducible(Rows([Segment(normal(5, 9))], sanitise=False))


def test_nothing_is_compiled_without_a_compiler(no_compiler: None) -> None:
    assert not reducible(Rows([Segment(normal(5, 9))]))


HOSTILE = {
    torch.float16: [torch.nan, torch.inf, -torch.inf, 65504.0, -65504.0, 6e-8, -0.0],
    torch.bfloat16: [torch.nan, torch.inf, -torch.inf, 3.3e38, 1e-40, -0.0],
    torch.float32: [torch.nan, torch.inf, -torch.inf, 3.4028e38, -3.4028e38, 1e-44, -0.0],
    torch.float64: [torch.nan, torch.inf, -torch.inf, 1.7e308, -1.7e308, 1e141, -1.0001e140, 9e139, 5e-324],
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_hostile_values_anywhere(n: int, dtype: torch.dtype, short: None) -> None:
    """In the first, a middle and the last column, at the seams of stretches, and all over one column."""
    tile = tile_columns(n, str(dtype).removeprefix("torch."))
    plain = normal(n, 3 * 2**12 // n + tile // 2 + 1, dtype=dtype)
    seams = {part.stop for part in tasks.stretches(Rows([Segment(plain)]), [tile])}
    last = plain.shape[-1] - 1
    assert len(seams) > 2
    places = sorted(
        {0, tile // 2, last // 2, last - tile // 2, last, *(s - 1 for s in seams), *seams} - {last + 1}
    )
    for value in HOSTILE[dtype]:
        for place in places:
            for liars in (slice(n // 2, n // 2 + 1), slice(0, n - 1)):
                x = plain.clone()
                x[liars, place] = value
                rows = Rows([Segment(x)])
                (got,) = outcome(Trimmed(2), rows)
                assert torch.equal(got, wanted(Trimmed(2), x))
                assert torch.equal(rows.nonfinite, (~x.isfinite()).sum(-1))


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hostile_values_everywhere(dtype: torch.dtype, program: Program, short: None) -> None:
    generator = torch.Generator().manual_seed(0)
    for n in SIZES:
        for share in (0.001, 0.5):
            x = normal(2, n, 1201, dtype=dtype)
            values = torch.tensor(HOSTILE[dtype], dtype=dtype)
            drawn = values[torch.randint(len(values), x.shape, generator=generator)]
            x = torch.where(torch.rand(x.shape, generator=generator) < share, drawn, x)
            rows = Rows([Segment(x)])
            (got,) = outcome(program, rows)
            assert torch.equal(got, wanted(program, x))
            assert torch.equal(rows.nonfinite, (~x.isfinite()).sum(-1))


def test_what_is_not_finite_is_counted_once() -> None:
    x = normal(11, 1000)
    x[2, 990:], x[4, 0] = torch.nan, torch.inf
    rows = Rows([Segment(x), Segment(x.double())])
    outputs = [torch.empty(1000), torch.empty(1000, dtype=torch.float64)]
    for _ in range(2):
        assert reducible(rows)
        reduce(Middle(), rows, outputs)
        assert rows.nonfinite.tolist() == [0, 0, 20, 0, 2, 0, 0, 0, 0, 0, 0]
    assert rows.reads == 2


def test_a_repaired_stretch_stays_repaired(threads: None) -> None:
    """The last tile of a row is filled up with columns before it, which belong to nobody else."""
    torch.set_num_threads(1)
    step = tasks.STRETCH // (25 * tile_columns(25, "float32")) * tile_columns(25, "float32")
    x = normal(25, step + 5)
    x[3:16, step - 2] = torch.inf
    (got,) = outcome(Trimmed(2), Rows([Segment(x)]))
    assert torch.equal(got, wanted(Trimmed(2), x))


@pytest.mark.parametrize("n", SIZES)
def test_threads_change_no_bit(n: int, short: None, threads: None) -> None:
    x = normal(2, n, 5003)
    x[0, 0, 2000] = torch.nan
    for program in PROGRAMS:
        results = []
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            assert lanes() == count
            rows = Rows([Segment(x), Segment(x.double())])
            results.append([*outcome(program, rows), rows.nonfinite])
        for others in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_past_the_caches_is_the_same(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the result lies: whole pieces of memory go past the caches, what lies odd does not."""
    monkeypatch.setattr(columns, "LARGE", 1)
    x = normal(11, 5003, dtype=dtype)
    for program in PROGRAMS:
        for odd in (0, 1, 7):
            out = x.new_full((5003 + odd,), torch.nan)
            reduce(program, Rows([Segment(x)]), [out[odd:]])
            assert torch.equal(out[odd:], wanted(program, x))


def test_blocks_and_rows_agree() -> None:
    for n in SIZES:
        x = normal(n, 777)
        for program in PROGRAMS:
            assert torch.equal(outcome(program, Rows([Segment(x)]))[0], reduced(program, x))
