"""Inner products and largest numbers of a few long vectors as machine code, in one read."""

from __future__ import annotations

from varangian.kernels.compiled.assembly import Assembly
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers

PARAMETERS = "ptr %rows, i64 %d, ptr %out"


def inner_code(element: str, k: int) -> str:
    """Return ``void kernel(rows, d, out)`` in LLVM's language.

    Of k vectors it writes, in float64, the inner product of each with itself and those before it, one vector
    after the other, and last the largest size of a number in each, where all numbers are finite.
    """
    at, chip = Assembly(), processor()
    lanes = chip.lanes(8)
    kind, size = ("float", 4) if element == "float32" else ("double", 8)
    on = Registers(at, "double", lanes, kind)
    pairs = [(i, j) for i in range(k) for j in range(i + 1)]
    narrow, place = f"<{lanes} x {kind}>", f"v{lanes}f{8 * size}"

    def taken(column: str, sums: list[str], mask: str | None) -> list[str]:
        values = []
        for row in range(k):
            address = at.index(at.get(f"load ptr, ptr {at.index('%rows', str(row), 'ptr')}"), column, kind)
            if mask is None:
                loaded = at.get(f"load {narrow}, ptr {address}, align {size}")
            else:
                call = f"call {narrow} @llvm.masked.load.{place}.p0"
                loaded = at.get(
                    f"{call}(ptr {address}, i32 {size}, <{lanes} x i1> {mask}, {narrow} zeroinitializer)"
                )
            values.append(on.widened(loaded))
        products = [
            at.get(
                f"call {on.vector} @llvm.fma.v{lanes}f64"
                f"({on.vector} {values[i]}, {on.vector} {values[j]}, {on.vector} {before})"
            )
            for (i, j), before in zip(pairs, sums[: len(pairs)], strict=True)
        ]
        sizes = zip(values, sums[len(pairs) :], strict=True)
        return products + [on.most(before, on.size(value)) for value, before in sizes]

    at.enter("entry")
    rest = at.get(f"urem i64 %d, {lanes}")
    whole = at.get(f"sub i64 %d, {rest}")
    nothing = [(on.vector, on.splat(0.0))] * (len(pairs) + k)
    with at.counted("column", whole, step=lanes, carried=nothing) as column:
        column.values = taken(column.counter, column.values, None)
    ends = taken(whole, column.values, _first_lanes(at, rest, lanes))
    for number, value in enumerate(ends):
        start = "double 0.0, " if number < len(pairs) else ""
        name = "fadd" if number < len(pairs) else "fmax"
        call = f"call reassoc double @llvm.vector.reduce.{name}.v{lanes}f64"
        told = at.get(f"{call}({start}{on.vector} {value})")
        at.do(f"store double {told}, ptr {at.index('%out', str(number), 'double')}")
    at.do("ret void")
    declared = [
        f"declare double @llvm.vector.reduce.fadd.v{lanes}f64(double, {on.vector})",
        f"declare double @llvm.vector.reduce.fmax.v{lanes}f64({on.vector})",
        f"declare {narrow} @llvm.masked.load.{place}.p0(ptr, i32, <{lanes} x i1>, {narrow})",
        *on.declarations(),
        chip.attributes,
    ]
    return "\n".join([f"define void @kernel({PARAMETERS}) #0 {{", *at.lines, "}", *declared])


def _first_lanes(at: Assembly, count: str, lanes: int) -> str:
    """Return a mask of the first few lanes."""
    kind = f"<{lanes} x i64>"
    one = at.get(f"insertelement {kind} poison, i64 {count}, i64 0")
    many = at.get(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")
    return at.get(f"icmp ult {kind} <{', '.join(f'i64 {lane}' for lane in range(lanes))}>, {many}")
