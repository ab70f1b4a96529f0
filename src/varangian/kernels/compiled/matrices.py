"""Products of matrices whose rows lie anywhere, as machine code.

A library wants a matrix in one piece. Here samples are read where the data set has them and sums are written
where they are wanted, and a number is the sum of the same terms in the same order whatever is computed beside
it. A tile of the result stays in registers while the terms go by, some of them at a time, so that what they
are made of stays in the first cache.
"""

from __future__ import annotations

from varangian.kernels.compiled.assembly import Assembly
from varangian.kernels.compiled.elements import ELEMENTS
from varangian.kernels.compiled.processor import processor
from varangian.kernels.compiled.registers import Registers

TERMS = 96
"""Terms that go by before the next tile's turn."""

PARAMETERS = (
    "ptr %as, ptr %bs, ptr %out, i64 %groups, i64 %m, i64 %k, i64 %width, i64 %stride, ptr %first, "
    "ptr %squares"
)


def product_code(element: str, n: int) -> str:
    """Return ``void kernel(as, bs, out, groups, m, k, width, stride, first, squares)`` in LLVM's language.

    Of every group it writes ``first`` plus A B: A has m rows of k numbers, B has k rows of n, and where their
    rows begin stands in ``as`` and ``bs``, group after group. Rows of the result are ``width`` numbers apart,
    groups ``stride``. It leaves ``squares`` alone.
    """
    return _Writer(element, n, across=False).text()


def outer_code(element: str, n: int) -> str:
    """Return the same for A transposed, k rows of m numbers, which also sums the squares of every group."""
    return _Writer(element, n, across=True).text()


class _Writer:
    """Writes a function: over groups, panels of columns, some terms at a time, tiles, and single terms."""

    def __init__(self, element: str, n: int, *, across: bool) -> None:
        self.at, self.chip = Assembly(), processor()
        self.kind, self.size = ELEMENTS[element].working, ELEMENTS[element].working_bytes
        self.lanes = self.chip.lanes(self.size)
        self.on = Registers(self.at, self.kind, self.lanes)
        self.wide = Registers(self.at, "double", self.lanes, self.kind)
        self.place = f"v{self.lanes}f{8 * self.size}"
        self.n, self.across = n, across
        # Sums, what they are multiplied by, and one more: all that a register file holds.
        self.rows, self.vectors = (3, 7) if self.chip.registers >= 32 else (3, 3)

    def text(self) -> str:
        """Return the whole module."""
        at = self.at
        at.enter("entry")
        if self.across:
            at.do(f"%room = alloca [{TERMS * self.vectors} x {self.on.vector}], align 64")
        with at.counted("group", "%groups") as group:
            given = at.get(f"mul i64 {group.counter}, {'%k' if self.across else '%m'}")
            self.a = at.index("%as", given, "ptr")
            self.b = at.index("%bs", at.get(f"mul i64 {group.counter}, %k"), "ptr")
            self.out = at.index("%out", at.get(f"mul i64 {group.counter}, %stride"), self.kind)
            self.last = at.get(f"icmp eq i64 {at.get(f'add i64 {group.counter}, 1')}, %groups")
            panel = self.vectors * self.lanes
            whole = self.n // panel * panel
            with at.counted("panel", str(whole), step=panel, carried=[("double", "0.0")]) as column:
                total = self._panel("whole", column.counter, [None] * self.vectors, column.values[0])
                column.values[0] = total
            total = column.values[0]
            if whole < self.n:
                full, more = divmod(self.n - whole, self.lanes)
                masks = [None] * full + ([self._first_lanes(more)] if more else [])
                total = self._panel("rest", str(whole), masks, total)
            if self.across:
                at.do(f"store double {total}, ptr {at.index('%squares', group.counter, 'double')}")
        at.do("ret void")
        head = f"define void @kernel({PARAMETERS}) #0 {{"
        return "\n".join([head, *at.lines, "}", *self._declarations()])

    def _panel(self, name: str, column: str, masks: list[str | None], total: str) -> str:
        """Do some columns of all rows; return the total with their squares."""
        at = self.at
        if self.across:
            self.later, self.next = self._following(column)
        whole = at.get(f"sub i64 %m, {at.get(f'urem i64 %m, {self.rows}')}")
        with at.counted(f"{name}.terms", "%k", step=TERMS, carried=[("double", total)]) as block:
            self.start = block.counter
            end = at.get(f"add i64 {self.start}, {TERMS}")
            ends = at.get(f"icmp uge i64 {end}, %k")
            self.end = at.get(f"select i1 {ends}, i64 %k, i64 {end}")
            if self.across:
                self._pack(name, column, masks)
            self.begins = at.get(f"icmp eq i64 {self.start}, 0")
            nothing = [("double", "0.0")]
            with at.counted(f"{name}.tile", whole, step=self.rows, carried=nothing) as tile:
                tile.values[0] = self._tile(name, column, tile.counter, self.rows, masks, tile.values[0])
            last = [("double", tile.values[0])]
            with at.counted(f"{name}.row", "%m", start=whole, carried=last) as row:
                row.values[0] = self._tile(f"{name}.one", column, row.counter, 1, masks, row.values[0])
            added = at.get(f"fadd double {block.values[0]}, {row.values[0]}")
            block.values[0] = at.get(f"select i1 {ends}, double {added}, double {block.values[0]}")
        return block.values[0]

    def _following(self, column: str) -> tuple[str, str]:
        """Return whose rows are wanted after a panel, and from which column."""
        at = self.at
        beyond = at.get(f"add i64 {column}, {self.vectors * self.lanes}")
        inside = at.get(f"icmp ult i64 {beyond}, {self.n}")
        group = at.get(f"select i1 {self.last}, ptr {self.b}, ptr {at.index(self.b, '%k', 'ptr')}")
        rows = at.get(f"select i1 {inside}, ptr {self.b}, ptr {group}")
        return rows, at.get(f"select i1 {inside}, i64 {beyond}, i64 0")

    def _pack(self, name: str, column: str, masks: list[str | None]) -> None:
        """Bring what every tile reads of some terms close together."""
        at = self.at
        with at.counted(f"{name}.pack", self.end, start=self.start) as term:
            source = at.index(self._row_of(self.b, term.counter), column, self.kind)
            target = self._packed(term.counter)
            for v, mask in enumerate(masks):
                place = str(v * self.lanes)
                value = self._load(at.index(source, place, self.kind), mask)
                at.do(f"store {self.on.vector} {value}, ptr {at.index(target, place, self.kind)}, align 64")

    def _packed(self, term: str) -> str:
        """Return where a term's columns lie once they are packed."""
        place = self.at.get(f"sub i64 {term}, {self.start}")
        return self.at.index("%room", self.at.get(f"mul i64 {place}, {self.vectors * self.lanes}"), self.kind)

    def _tile(self, name: str, column: str, row: str, rows: int, masks: list[str | None], total: str) -> str:
        """Add some terms to some rows in some columns; return the total with the squares of the sums."""
        at, on = self.at, self.on
        columns = [(str(v * self.lanes), mask) for v, mask in enumerate(masks)]
        here = [at.get(f"add i64 {row}, {r}") for r in range(rows)]
        targets = [
            at.index(at.index(self.out, at.get(f"mul i64 {one}, %width"), self.kind), column, self.kind)
            for one in here
        ]
        first = at.index("%first", column, self.kind)
        starts = []
        for target in targets:
            source = at.get(f"select i1 {self.begins}, ptr {first}, ptr {target}")
            starts += [self._load(at.index(source, v, self.kind), mask) for v, mask in columns]
        carried = [(on.vector, one) for one in starts]
        tops = [] if self.across else [self._row_of(self.a, one) for one in here]
        ahead = [] if self.across else [self._later(one, rows) for one in here]
        if self.across:
            turn = at.get(f"urem i64 {at.get(f'udiv i64 {row}, {self.rows}')}, {self.vectors}")
            soon = at.get(f"add i64 {self.next}, {at.get(f'mul i64 {turn}, {self.lanes}')}")
        with at.counted(f"{name}.term", self.end, start=self.start, carried=carried) as term:
            if self.across:
                at.ask(at.index(self._row_of(self.later, term.counter), soon, self.kind), 2)
                source = self._packed(term.counter)
                side = at.index(self._row_of(self.a, term.counter), row, self.kind)
                factors = [self._spread(side, str(r)) for r in range(rows)]
            else:
                source = at.index(self._row_of(self.b, term.counter), column, self.kind)
                factors = [self._spread(top, term.counter) for top in tops]
            for top in ahead:
                later = at.index(top, term.counter, self.kind)
                at.do(f"call void @llvm.prefetch.p0(ptr {later}, i32 0, i32 2, i32 1)")
            for v, (place, mask) in enumerate(columns):
                value = self._load(at.index(source, place, self.kind), None if self.across else mask)
                for r, factor in enumerate(factors):
                    mine = r * len(masks) + v
                    term.values[mine] = self._fused(factor, value, term.values[mine])
        for r, target in enumerate(targets):
            for v, (place, mask) in enumerate(columns):
                self._store(term.values[r * len(masks) + v], at.index(target, place, self.kind), mask)
        return self._with_squares(total, term.values) if self.across else total

    def _with_squares(self, total: str, values: list[str]) -> str:
        """Return the total and the squares of these numbers, few of which are added up in few digits."""
        squares = self.on.splat(0.0)
        for value in values:
            squares = self._fused(value, value, squares)
        wide = f"{self.wide.vector} {self.wide.widened(squares)}"
        added = f"call reassoc double @llvm.vector.reduce.fadd.v{self.lanes}f64"
        return self.at.get(f"{added}(double {total}, {wide})")

    def _row_of(self, table: str, row: str) -> str:
        return self.at.get(f"load ptr, ptr {self.at.index(table, row, 'ptr')}")

    def _later(self, row: str, rows: int) -> str:
        """Return where the row begins that takes this one's place in the next tile."""
        later = self.at.get(f"add i64 {row}, {rows}")
        there = self.at.get(f"icmp ult i64 {later}, %m")
        return self._row_of(self.a, self.at.get(f"select i1 {there}, i64 {later}, i64 {row}"))

    def _spread(self, row: str, place: str) -> str:
        address = self.at.index(row, place, self.kind)
        return self.on.spread(self.at.get(f"load {self.kind}, ptr {address}, align {self.size}"))

    def _fused(self, x: str, y: str, z: str) -> str:
        vector = self.on.vector
        return self.at.get(f"call {vector} @llvm.fma.{self.place}({vector} {x}, {vector} {y}, {vector} {z})")

    def _first_lanes(self, count: int) -> str:
        """Return a mask of the first few lanes."""
        marks = ", ".join(f"i1 {int(lane < count)}" for lane in range(self.lanes))
        return f"<{self.lanes} x i1> <{marks}>"

    def _load(self, address: str, mask: str | None) -> str:
        vector = self.on.vector
        if mask is None:
            return self.at.get(f"load {vector}, ptr {address}, align {self.size}")
        call = f"call {vector} @llvm.masked.load.{self.place}.p0"
        return self.at.get(f"{call}(ptr {address}, i32 {self.size}, {mask}, {vector} zeroinitializer)")

    def _store(self, value: str, address: str, mask: str | None) -> None:
        vector = self.on.vector
        if mask is None:
            self.at.do(f"store {vector} {value}, ptr {address}, align {self.size}")
            return
        call = f"call void @llvm.masked.store.{self.place}.p0"
        self.at.do(f"{call}({vector} {value}, ptr {address}, i32 {self.size}, {mask})")

    def _declarations(self) -> list[str]:
        vector, mask = self.on.vector, f"<{self.lanes} x i1>"
        return [
            f"declare {vector} @llvm.fma.{self.place}({vector}, {vector}, {vector})",
            f"declare double @llvm.vector.reduce.fadd.v{self.lanes}f64(double, {self.wide.vector})",
            f"declare {vector} @llvm.masked.load.{self.place}.p0(ptr, i32, {mask}, {vector})",
            f"declare void @llvm.masked.store.{self.place}.p0({vector}, ptr, i32, {mask})",
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
            self.chip.attributes,
        ]
