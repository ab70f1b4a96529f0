"""Moments of vectors as machine code, gathered as the vectors are read once, and written where they are sent.

Deviations are taken from the first vector and summed in float64: nothing is lost, copies have no spread, and
one pass is enough.
"""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers
from varangian.kernels.compiled.tiles import BYTES

AHEAD = 8
"""Vectors ahead that memory is asked for."""

OF_ROWS = "ptr %rows, i64 %n, i64 %first, i64 %last, ptr %mean, ptr %squares, ptr %total"
OF_SENT = (
    "ptr %rows, ptr %factors, ptr %sent, i64 %n, double %mu, double %new, i64 %first, i64 %last, "
    "ptr %mean, ptr %total, ptr %sentmean, ptr %squares"
)


def moments_code(element: str, summed: bool, wide: bool) -> str:
    """Return ``void kernel(rows, n, first, last, mean, squares, total)`` in LLVM's language.

    Of columns ``first`` to ``last`` of n vectors it writes the mean, and the squared deviations: per column,
    or, if ``summed``, only the sum of all, which it adds to the float64 ``total``. If ``wide``, all it does
    and writes is float64.
    """
    return _Writer(element, sends=False, momentum=False, summed=summed, wide=wide).text(OF_ROWS)


def gather_code(element: str, momentum: bool) -> str:
    """Return ``void kernel(rows, factors, sent, n, mu, new, first, last, mean, total, sentmean, squares)``.

    Sampled is a row times its factor; sent is that, or with ``momentum`` ``new`` times it plus ``mu`` times
    what was sent before, in place. Of the sampled it writes the mean and adds the squared deviations to
    ``total``; of the sent it writes the mean and the squared deviations per column.
    """
    return _Writer(element, sends=True, momentum=momentum, summed=True).text(OF_SENT)


class _Writer:
    """Writes one of the functions: over columns, and in each over the vectors."""

    def __init__(
        self, element: str, *, sends: bool, momentum: bool, summed: bool, wide: bool = False
    ) -> None:
        self.at = Assembly()
        self.chip = processor()
        self.kind = ELEMENTS[element].working
        self.align = ELEMENTS[element].working_bytes
        self.letters = f"f{8 * self.align}"
        self.lanes = self.chip.lanes(self.align)
        self.on = Registers(self.at, self.kind, self.lanes)
        self.wide = Registers(self.at, "double", self.lanes, self.kind)
        self.told = self.wide if wide else self.on
        self.sends, self.momentum, self.summed = sends, momentum, summed
        self.mask: str | None = None

    def text(self, parameters: str) -> str:
        """Return the whole module."""
        at, wide, lanes = self.at, self.wide.vector, self.lanes
        at.enter("entry")
        at.do(f"%all = alloca {wide}, align 64")
        at.do(f"store {wide} zeroinitializer, ptr %all, align 64")
        if self.momentum:
            self.mu, self.new = (self._share(name) for name in ("%mu", "%new"))
        at.do("%length = sub i64 %last, %first")
        at.do(f"%rest = urem i64 %length, {lanes}")
        at.do("%whole = sub i64 %last, %rest")
        at.do(f"br i1 {at.get('icmp ult i64 %first, %whole')}, label %body, label %more")
        at.enter("body")
        at.do("%c = phi i64 [%first, %entry], [%cn, %bodyend]")
        self._columns("body", "%c")
        at.next_of("%c", lanes, "%whole", "body", "more")
        at.do(f"br i1 {at.get('icmp ne i64 %rest, 0')}, label %tail, label %done")
        at.enter("tail")
        self.mask = self._first_lanes("%rest")
        self._columns("tail", "%whole")
        at.label("done")
        total = at.get(f"load {wide}, ptr %all, align 64")
        added = at.get(f"call double @llvm.vector.reduce.fadd.v{lanes}f64(double 0.0, {wide} {total})")
        before = at.get("load double, ptr %total")
        at.do(f"store double {at.get(f'fadd double {before}, {added}')}, ptr %total")
        at.do("ret void")
        return "\n".join([f"define void @kernel({parameters}) #0 {{", *at.lines, "}", *self._declarations()])

    def _columns(self, name: str, column: str) -> None:
        """Do as many columns as a register holds, or the first few where there is a mask."""
        at = self.at
        first = self._row("0", column)
        sums = [f"%{name}{kind}{place}" for place in range(len(first)) for kind in ("sum", "square")]
        at.do(f"br label %{name}start")
        at.enter(f"{name}start")
        at.do(f"br i1 {at.get('icmp ult i64 1, %n')}, label %{name}rows, label %{name}after")
        at.enter(f"{name}rows")
        at.do(f"%{name}i = phi i64 [1, %{name}start], [%{name}in, %{name}rows]")
        for one in sums:
            at.do(f"{one} = phi {self.wide.vector} [zeroinitializer, %{name}start], [{one}n, %{name}rows]")
        for value, start, total, square in zip(
            self._row(f"%{name}i", column), first, sums[::2], sums[1::2], strict=True
        ):
            if self.told is self.wide:
                gap = self.wide.sub(self.wide.widened(value), self.wide.widened(start))
            else:
                gap = self.wide.widened(self.on.sub(value, start))
            at.do(f"{total}n = fadd {self.wide.vector} {total}, {gap}")
            at.do(f"{square}n = fadd {self.wide.vector} {square}, {self.wide.times(gap, gap)}")
        at.next_of(f"%{name}i", 1, "%n", f"{name}rows", f"{name}after")
        before = f"[zeroinitializer, %{name}start]"
        ends = [at.get(f"phi {self.wide.vector} {before}, [{one}n, %{name}rows]") for one in sums]
        self._finish(first, ends, column)
        at.label(f"{name}end")

    def _row(self, row: str, column: str) -> list[str]:
        """Return what a vector holds in these columns: what is sampled, and what is sent if it is sent."""
        sampled = self._loaded("%rows", row, column)
        if not self.sends:
            return [sampled]
        factor = self.at.get(f"load {self.kind}, ptr {self.at.index('%factors', row, self.kind)}")
        sampled = self.on.times(sampled, self.on.spread(factor))
        sent = sampled
        if self.momentum:
            kept = self.on.times(self.mu, self._loaded("%sent", row, column))
            sent = self.on.add(self.on.times(self.new, sampled), kept)
        self._store(sent, self._address("%sent", row, column), self.on)
        return [sampled, sent]

    def _finish(self, first: list[str], sums: list[str], column: str) -> None:
        """Write what the sums come to."""
        at = self.at
        count = self.wide.spread(at.get("uitofp i64 %n to double"))
        outputs = ["%mean", "%sentmean"]
        for place, start in enumerate(first):
            total, square = sums[2 * place : 2 * place + 2]
            share = at.get(f"fdiv {self.wide.vector} {total}, {count}")
            mean = self.wide.add(self.wide.widened(start), share)
            self._tell(mean, outputs[place], column)
            square = self.wide.sub(square, self.wide.times(total, share))
            square = self.wide.if_less(square, self.wide.splat(0.0), self.wide.splat(0.0), square)
            if self.mask is not None:
                mask = f"<{self.lanes} x i1> {self.mask}"
                square = at.get(
                    f"select {mask}, {self.wide.vector} {square}, {self.wide.vector} zeroinitializer"
                )
            if place == 0:
                before = at.get(f"load {self.wide.vector}, ptr %all, align 64")
                at.do(f"store {self.wide.vector} {self.wide.add(before, square)}, ptr %all, align 64")
            if place == 1 or not self.summed:
                self._tell(square, "%squares", column)

    def _tell(self, value: str, table: str, column: str) -> None:
        """Write what came out, as it is told."""
        value = value if self.told is self.wide else self.wide.narrowed(value)
        self._store(value, self.at.index(table, column, self.told.kind), self.told)

    def _share(self, name: str) -> str:
        """Return a float64 argument in every lane."""
        given = self.at.get(f"fptrunc double {name} to float") if self.kind == "float" else name
        return self.on.spread(given)

    def _address(self, table: str, row: str, column: str) -> str:
        start = self.at.get(f"load ptr, ptr {self.at.index(table, row, 'ptr')}")
        return self.at.index(start, column, self.kind)

    def _loaded(self, table: str, row: str, column: str) -> str:
        address, vector = self._address(table, row, column), self.on.vector
        if self.mask is None:
            ahead = self.at.index(address, str(AHEAD * self.lanes), self.kind)
            self.at.ask(ahead, self.chip.asked)
            return self.at.get(f"load {vector}, ptr {address}, align {self.align}")
        call = f"call {vector} @llvm.masked.load.v{self.lanes}{self.letters}.p0"
        return self.at.get(
            f"{call}(ptr {address}, i32 {self.align}, {self._masked()}, {vector} zeroinitializer)"
        )

    def _store(self, value: str, address: str, on: Registers) -> None:
        vector, size = on.vector, BYTES[on.kind]
        if self.mask is None:
            self.at.do(f"store {vector} {value}, ptr {address}, align {size}")
            return
        call = f"call void @llvm.masked.store.v{self.lanes}f{8 * size}.p0"
        self.at.do(f"{call}({vector} {value}, ptr {address}, i32 {size}, {self._masked()})")

    def _masked(self) -> str:
        return f"<{self.lanes} x i1> {self.mask}"

    def _first_lanes(self, count: str) -> str:
        """Return a mask of the first few lanes."""
        kind = f"<{self.lanes} x i64>"
        one = self.at.get(f"insertelement {kind} poison, i64 {count}, i64 0")
        every = f"<{self.lanes} x i32> zeroinitializer"
        many = self.at.get(f"shufflevector {kind} {one}, {kind} poison, {every}")
        lanes = ", ".join(f"i64 {lane}" for lane in range(self.lanes))
        return self.at.get(f"icmp ult {kind} <{lanes}>, {many}")

    def _declarations(self) -> list[str]:
        vector, mask = self.on.vector, f"<{self.lanes} x i1>"
        place = f"v{self.lanes}{self.letters}"
        return [
            f"declare double @llvm.vector.reduce.fadd.v{self.lanes}f64(double, {self.wide.vector})",
            f"declare {vector} @llvm.masked.load.{place}.p0(ptr, i32, {mask}, {vector})",
            *dict.fromkeys(
                f"declare void @llvm.masked.store.v{self.lanes}f{8 * BYTES[on.kind]}.p0"
                f"({on.vector}, ptr, i32, {mask})"
                for on in (self.on, self.wide)
            ),
            ASKS,
            self.chip.attributes,
        ]
