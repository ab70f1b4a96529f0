"""One weighted sum of rows as machine code, straight from where they lie to where it goes."""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers

LINE = 64
"""Bytes that memory hands over at a time."""

RUN = 1024
"""Columns of a row that are read one after the other: long runs are what memory is fastest with."""

TOGETHER = 5
"""Rows that are added at a time, so that sums are loaded and stored so seldom."""


def sum_columns(element: str) -> int:
    """Return how many columns memory hands over at a time: the function sums multiples of that."""
    return LINE // ELEMENTS[element].bytes


def sum_code(element: str) -> str:
    """Return ``i32 kernel(ptr rows, ptr weights, i64 n, i64 all, i64 first, i64 last, ptr out)`` for LLVM.

    Of n rows it sums columns ``first`` to ``last``, whose number is a multiple of ``sum_columns``, in
    float64, as the step ``combine`` does; at the rows after them, up to ``all``, it only looks. It returns 1
    if it met a value that is not finite: then what it wrote is worth nothing. Not for float64, where a value
    may also be too large.
    """
    return _Writer(element).text()


class _Writer:
    """Writes the function: over runs of columns, some rows at a time, and the columns of a run."""

    def __init__(self, element: str) -> None:
        self.at, self.chip, self.stored = Assembly(), processor(), ELEMENTS[element]
        self.aligned = f", align {self.chip.register_bytes}"
        self.line, self.lanes = sum_columns(element), self.chip.lanes(8)
        self.on = Registers(self.at, "double", self.lanes, self.stored.working)

    def text(self) -> str:
        """Return the whole module."""
        at, on = self.at, self.on
        at.enter("entry")
        at.do(f"%room = alloca [{RUN} x double], align 64")
        self.final = at.get("sub i64 %all, 1")
        whole = at.get(f"sub i64 %n, {at.get(f'urem i64 %n, {TOGETHER}')}")
        watch = [(on.vector, "zeroinitializer")]
        with at.counted("run", "%last", start="%first", step=RUN, carried=watch) as run:
            self.begin = run.counter
            after = at.get(f"add i64 {self.begin}, {RUN}")
            self.end = at.get(f"call i64 @llvm.umin.i64(i64 {after}, i64 %last)")
            with at.counted("zero", self.end, start=self.begin, step=self.lanes) as column:
                # Minus zero is what leaves a row as it is that is added to it.
                at.do(f"store {on.vector} {on.splat(-0.0)}, ptr {self._sum_of(column.counter)}{self.aligned}")
            with at.counted("some", whole, step=TOGETHER) as row:
                self._add("some", row.counter, TOGETHER)
            with at.counted("one", "%n", start=whole) as row:
                self._add("one", row.counter, 1)
            run.values[0] = self._watched_rows(self._given_back(run.values[0]))
        at.do(f"ret i32 {at.get(f'zext i1 {on.is_nan_anywhere(run.values[0])} to i32')}")
        given = "ptr %rows, ptr %weights, i64 %n, i64 %all, i64 %first, i64 %last, ptr %out"
        head = f"define i32 @kernel({given}) #0 {{"
        declared = [ASKS, "declare i64 @llvm.umin.i64(i64, i64)", *on.declarations()]
        return "\n".join([head, *at.lines, "}", *declared, self.chip.attributes])

    def _add(self, name: str, row: str, count: int) -> None:
        """Add so many rows to the sums of a run, and ask for what comes after them meanwhile."""
        at, on = self.at, self.on
        here = [at.get(f"add i64 {row}, {more}") for more in range(count)]
        rows = [self._row(one) for one in here]
        later = [self._later(one) for one in here]
        factors = [
            on.spread(at.get(f"load double, ptr {at.index('%weights', one, 'double')}")) for one in here
        ]
        with at.counted(f"{name}.line", self.end, start=self.begin, step=self.line) as column:
            for begins in later:
                at.ask(at.index(begins, column.counter, self.stored.memory), self.chip.asked)
            sums = self._sum_of(column.counter)
            lines = [at.index(begins, column.counter, self.stored.memory) for begins in rows]
            for ahead in range(0, self.line, self.lanes):
                where = at.index(sums, str(ahead), "double")
                total = at.get(f"load {on.vector}, ptr {where}{self.aligned}")
                for line, factor in zip(lines, factors, strict=True):
                    total = on.fused(factor, self._value(line, str(ahead)), total)
                at.do(f"store {on.vector} {total}, ptr {where}{self.aligned}")

    def _given_back(self, watch: str) -> str:
        """Write the sums of a run where they go; return what was watched before, NaN if one is not finite."""
        at, on = self.at, self.on
        watched = [(on.vector, watch)]
        with at.counted("give", self.end, start=self.begin, step=self.lanes, carried=watched) as column:
            total = at.get(f"load {on.vector}, ptr {self._sum_of(column.counter)}{self.aligned}")
            column.values[0] = on.watched(total, column.values[0])
            target = at.index("%out", column.counter, self.stored.memory)
            self.stored.store(at, on.narrowed(total), target, self.lanes)
        return column.values[0]

    def _watched_rows(self, watch: str) -> str:
        """Look at the rows of a run that weigh nothing; return likewise."""
        at, on = self.at, self.on
        with at.counted("idle", "%all", start="%n", carried=[(on.vector, watch)]) as row:
            begins = self._row(row.counter)
            watched = [(on.vector, row.values[0])]
            with at.counted("look", self.end, start=self.begin, step=self.lanes, carried=watched) as column:
                column.values[0] = on.watched(self._value(begins, column.counter), column.values[0])
            row.values[0] = column.values[0]
        return row.values[0]

    def _row(self, row: str) -> str:
        return self.at.get(f"load ptr, ptr {self.at.index('%rows', row, 'ptr')}")

    def _later(self, row: str) -> str:
        """Return the row that takes this one's place next, beginning in its next run if it does so there."""
        at = self.at
        after = at.get(f"add i64 {row}, {TOGETHER}")
        here = at.get(f"icmp ult i64 {after}, %all")
        which = at.get(f"select i1 {here}, i64 {after}, i64 {at.get(f'sub i64 {after}, %all')}")
        begins = self._row(at.get(f"call i64 @llvm.umin.i64(i64 {which}, i64 {self.final})"))
        return at.index(begins, at.get(f"select i1 {here}, i64 0, i64 {RUN}"), self.stored.memory)

    def _value(self, begins: str, column: str) -> str:
        where = self.at.index(begins, column, self.stored.memory)
        return self.on.widened(self.stored.load(self.at, where, self.lanes))

    def _sum_of(self, column: str) -> str:
        """Return where the sum of a column is meanwhile."""
        return self.at.index("%room", self.at.get(f"sub i64 {column}, {self.begin}"), "double")
