"""Reading alone as machine code: load every byte of a table of rows once, and keep nothing but a check sum.

No aggregation can be faster than its bytes can be loaded, so this is what others are measured against.
"""

from __future__ import annotations

from varangian.kernels.compiled.assembly import ASKS, Assembly, read_words
from varangian.kernels.compiled.processor import processor

LINE = 64
"""Bytes that memory hands over at a time."""


def strip_bytes(wide: bool) -> int:
    """Return how many bytes of a row are read before the next row's: a few registers, or many."""
    chip = processor()
    return chip.register_bytes * (chip.registers // 2 if wide else 4)


def reading_code(wide: bool) -> str:
    """Return ``i32 kernel(ptr rows, i64 n, i64 first, i64 last, ptr sink)`` in LLVM's language.

    It reads bytes ``first`` to ``last`` of n rows, whose number is a multiple of ``strip_bytes``, strip by
    strip through all rows, and asks memory for the next strip of each. A register full, the exclusive or of
    all that was read, goes to the sink.
    """
    chip, strip, at = processor(), strip_bytes(wide), Assembly()
    vector = f"<{chip.register_bytes // 4} x i32>"
    sums = range(strip // chip.register_bytes)
    at.enter("entry")
    at.label("strip")
    at.do("%c = phi i64 [%first, %entry], [%cn, %rowsend]")
    for k in sums:
        at.do(f"%t{k} = phi {vector} [zeroinitializer, %entry], [%b{k}, %rowsend]")
    at.label("row")
    at.do("%r = phi i64 [0, %strip], [%rn, %row]")
    for k in sums:
        at.do(f"%a{k} = phi {vector} [%t{k}, %strip], [%b{k}, %row]")
    start = at.get(f"load ptr, ptr {at.index('%rows', '%r', 'ptr')}")
    place = at.index(start, "%c", "i8")
    for ahead in range(0, strip, LINE):
        at.ask(at.index(place, str(chip.ahead(strip) + ahead), "i8"), chip.asked)
    for k in sums:
        loaded = at.get(f"load {vector}, ptr {at.index(place, str(k * chip.register_bytes), 'i8')}, align 1")
        at.do(f"%b{k} = xor {vector} %a{k}, {loaded}")
    at.next_of("%r", 1, "%n", "row", "rowsend")
    at.next_of("%c", strip, "%last", "strip", "done")
    total = "%b0"
    for k in sums[1:]:
        total = at.get(f"xor {vector} {total}, %b{k}")
    at.do(f"store {vector} {total}, ptr %sink, align 1")
    at.do("ret i32 0")
    return "\n".join(
        [
            "define i32 @kernel(ptr %rows, i64 %n, i64 %first, i64 %last, ptr %sink) #0 {",
            *at.lines,
            "}",
            ASKS,
            chip.attributes,
        ]
    )


def reading_part_code() -> str:
    """Return ``i64 kernel(ptr args, i64 place, ptr room)``, which reads a part of the rows.

    ``args`` are the function ``reading_code``, the rows, how many, the bytes of a part, of a row, and of a
    strip, and where check sums go: two registers full for each part. Where strips do not come out even, the
    last one is read twice.
    """
    size = processor().register_bytes
    return f"""
define i64 @kernel(ptr %args, i64 %place, ptr %room) {{
  {read_words("args", "code", "rows", "n", "step", "width", "strip", "sinks")}
  %read = inttoptr i64 %code to ptr
  %table = inttoptr i64 %rows to ptr
  %start = mul i64 %place, %step
  %after = add i64 %start, %step
  %stop = call i64 @llvm.umin.i64(i64 %after, i64 %width)
  %size = sub i64 %stop, %start
  %odd = urem i64 %size, %strip
  %whole = sub i64 %stop, %odd
  %far = mul i64 %place, {2 * size}
  %all = inttoptr i64 %sinks to ptr
  %sink = getelementptr i8, ptr %all, i64 %far
  %some = icmp ugt i64 %whole, %start
  br i1 %some, label %most, label %rest
most:
  call i32 %read(ptr %table, i64 %n, i64 %start, i64 %whole, ptr %sink)
  br label %rest
rest:
  %even = icmp eq i64 %odd, 0
  br i1 %even, label %end, label %last
last:
  %from = sub i64 %width, %strip
  %other = getelementptr i8, ptr %sink, i64 {size}
  call i32 %read(ptr %table, i64 %n, i64 %from, i64 %width, ptr %other)
  br label %end
end:
  ret i64 0
}}
declare i64 @llvm.umin.i64(i64, i64)"""
