"""Kernels for processors with fewer or smaller registers than this one's are right as well."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from kernels.examples import grid, normal

from varangian.kernels import columns, eager
from varangian.kernels.compiled import columns as writer
from varangian.kernels.compiled import glances, jit, reading, sums
from varangian.kernels.compiled.processor import Processor, processor
from varangian.kernels.programs import Middle, Nearest, SignSum, Trimmed

HERE = processor()
PROCESSORS = {
    "few registers": replace(HERE, registers=16),
    "small registers": replace(HERE, register_bytes=16),
    "small and few": replace(HERE, register_bytes=16, registers=16),
    "no whole numbers": replace(HERE, whole=0, asked=2),
    "whole numbers": replace(HERE, whole=256, asked=3),
}
if platform.machine().lower() in ("x86_64", "amd64"):
    PROCESSORS["old x86-64"] = Processor("x86-64", "+f16c", 16, 16)


@pytest.fixture(params=PROCESSORS)
def elsewhere(
    request: pytest.FixtureRequest, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Processor]:
    """Compile for another processor than this, and keep nothing of it."""
    chip = PROCESSORS[request.param]
    monkeypatch.setattr(writer, "processor", lambda: chip)
    monkeypatch.setattr(jit, "processor", lambda: chip)
    monkeypatch.setattr(jit, "cache_folder", lambda: None)
    monkeypatch.setattr(columns._network, "made", {})
    for cached in (columns.kernel_of, columns.network_of):
        cached.cache_clear()
    yield chip
    for cached in (columns.kernel_of, columns.network_of):
        cached.cache_clear()


@pytest.mark.parametrize("n", [1, 2, 12, 13, 25, 29])
def test_the_same_bits(n: int, elsewhere: Processor) -> None:
    for dtype in (torch.float32, torch.float64):
        values = torch.cat([normal(n, 200, dtype=dtype), grid(n, 201, dtype=dtype)], dim=-1)
        for program in (Middle(), Trimmed((n - 1) // 3), Nearest(n // 3, Middle()), SignSum()):
            for width in (1, 16, 401):
                got = columns.reduced(program, values[:, :width])
                assert torch.equal(got, eager.reduced(program, values[:, :width]).to(dtype))
    assert columns._network.made


def test_the_same_bits_of_many_rows(elsewhere: Processor) -> None:
    values = torch.cat([normal(70, 200), grid(70, 201)], dim=-1)
    program = Nearest(20, Middle())
    assert torch.equal(columns.reduced(program, values), eager.reduced(program, values).float())


@pytest.mark.parametrize("asked", [2, 3])
def test_memory_is_asked_to_fill_either_cache(
    asked: int, compiled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llvmlite import binding

    chip = replace(HERE, asked=asked)
    for module in (glances, reading, sums):
        monkeypatch.setattr(module, "processor", lambda: chip)
    codes = [
        glances.glance_code("float32", 64, scales=False),
        reading.reading_code(wide=True),
        sums.sum_code("float32"),
    ]
    for code in codes:
        binding.parse_assembly(code).verify()
        assert f"i32 0, i32 {asked}, i32 1)" in code


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_same_bits_of_halves(dtype: torch.dtype, elsewhere: Processor) -> None:
    for n in (3, 13):
        values = normal(n, 401, dtype=dtype)
        for program in (Middle(), Trimmed(1), Nearest(1, Middle())):
            assert torch.equal(columns.reduced(program, values), eager.reduced(program, values).to(dtype))


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="tells features of x86-64")
@pytest.mark.parametrize(
    ("features", "size", "count"),
    [({"f16c"}, 16, 16), ({"f16c", "avx2"}, 32, 16), ({"f16c", "avx2", "avx512f", "avx512dq"}, 64, 32)],
)
def test_registers_follow_from_features(
    features: set[str], size: int, count: int, told: Callable[[set[str]], None]
) -> None:
    told(features)
    chip = processor()
    assert (chip.register_bytes, chip.registers) == (size, count)


def test_a_processor_without_halves_compiles_nothing(
    told: Callable[[set[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    told(set())
    assert not jit.available()


@pytest.fixture
def told(compiled: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[set[str]], None]]:
    """Tell of a processor's features."""
    from llvmlite import binding

    def tell(features: set[str]) -> None:
        has = binding.targets.FeatureMap()
        has.update(dict.fromkeys(features, True))
        monkeypatch.setattr(binding, "get_host_cpu_features", lambda: has)
        processor.cache_clear()
        jit.available.cache_clear()

    yield tell
    processor.cache_clear()


def test_registers_are_those_of_the_chip() -> None:
    assert HERE.lanes(4) * 4 == HERE.lanes(8) * 8 == HERE.register_bytes
    assert f'"prefer-vector-width"="{8 * HERE.register_bytes}"' in HERE.attributes
