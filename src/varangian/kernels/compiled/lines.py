"""Lines of columns that many threads do part by part: which part is where, and what is done there, compiled.

A line is one problem's rows and where its result goes, in words of eight bytes: the kernel (see
``compiled.columns``), the table of the rows, whether results go past the caches, the output, how many columns
there are, how many of them a part has, how many a tile, and which part is the line's first.
"""

from __future__ import annotations

from varangian.kernels.compiled.assembly import read_words

WORDS = 8
"""Words of a line."""


def part_code() -> str:
    """Return ``i64 kernel(ptr args, i64 place, ptr room)``: do a part, and return 1 if it is worth nothing.

    It is given the lines, whose line each part is (nothing if there is one), and bytes, one for each part, in
    which it leaves a mark if it met a value that is not finite.
    """
    return f"""
define i64 @kernel(ptr %args, i64 %place, ptr %room) {{
entry:
  %lines = load ptr, ptr %args
  %a1 = getelementptr i64, ptr %args, i64 1
  %owners = load ptr, ptr %a1
  %a2 = getelementptr i64, ptr %args, i64 2
  %marks = load ptr, ptr %a2
  %one = icmp eq ptr %owners, null
  br i1 %one, label %begin, label %many
many:
  %o = getelementptr i64, ptr %owners, i64 %place
  %owner = load i64, ptr %o
  br label %begin
begin:
  %which = phi i64 [0, %entry], [%owner, %many]
  %words = mul i64 %which, {WORDS}
  %line = getelementptr i64, ptr %lines, i64 %words
  {read_words("line", "code", "rows", "past", "out", "width", "step", "tile", "first")}
  %kernel = inttoptr i64 %code to ptr
  %table = inttoptr i64 %rows to ptr
  %target = inttoptr i64 %out to ptr
  %ahead = sub i64 %place, %first
  %start = mul i64 %ahead, %step
  %after = add i64 %start, %step
  %tail = sub i64 %width, %tile
  %last = icmp ugt i64 %after, %tail
  %stop = select i1 %last, i64 %width, i64 %after
  %size = sub i64 %stop, %start
  %odd = urem i64 %size, %tile
  %whole = sub i64 %stop, %odd
  %bad = call i32 %kernel(ptr %table, i64 %past, i64 %start, i64 %whole, ptr %target, ptr %room)
  %even = icmp eq i64 %odd, 0
  br i1 %even, label %end, label %rest
rest:  ; a few columns twice, to fill the last tile
  %from = sub i64 %stop, %tile
  %worse = call i32 %kernel(ptr %table, i64 %past, i64 %from, i64 %stop, ptr %target, ptr %room)
  br label %end
end:
  %more = phi i32 [0, %begin], [%worse, %rest]
  %any = or i32 %bad, %more
  %mark = getelementptr i8, ptr %marks, i64 %place
  %byte = trunc i32 %any to i8
  store i8 %byte, ptr %mark
  %result = zext i32 %any to i64
  ret i64 %result
}}"""


def one_line_code() -> str:
    """Return ``i64 kernel(ptr told)``: do all parts of one line.

    ``told`` are words: the line's; if the rows are those of a matrix, where the first is, and how far it is
    from one to the next (or else 0); how many rows there are; the marks; the function ``part_code``, how many
    parts, for how many helpers, a room; and the board and the function ``share_code`` of the helpers.
    """
    names = ("base", "pitch", "n", "marks", "work", "count", "helpers", "free", "board", "share")
    return f"""
define i64 @kernel(ptr %told) {{
entry:
  %given = getelementptr i64, ptr %told, i64 {WORDS}
  {read_words("given", *names)}
  %part = inttoptr i64 %work to ptr
  %room = inttoptr i64 %free to ptr
  %table = alloca i64, i64 %n
  %args = alloca i64, i64 3
  store ptr %told, ptr %args
  %a1 = getelementptr i64, ptr %args, i64 1
  store ptr null, ptr %a1
  %a2 = getelementptr i64, ptr %args, i64 2
  store i64 %marks, ptr %a2
  %apart = icmp eq i64 %pitch, 0
  br i1 %apart, label %filled, label %matrix
matrix:
  %w1 = getelementptr i64, ptr %told, i64 1
  store ptr %table, ptr %w1
  br label %row
row:
  %i = phi i64 [0, %matrix], [%next, %row]
  %far = mul i64 %i, %pitch
  %place = add i64 %base, %far
  %slot = getelementptr i64, ptr %table, i64 %i
  store i64 %place, ptr %slot
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %row, label %filled
filled:
  %alone = icmp eq i64 %helpers, 0
  br i1 %alone, label %one, label %all
one:
  %at = phi i64 [0, %filled], [%then, %one]
  %sum = phi i64 [0, %filled], [%grown, %one]
  %bad = call i64 %part(ptr %args, i64 %at, ptr %room)
  %grown = add i64 %sum, %bad
  %then = add i64 %at, 1
  %left = icmp ult i64 %then, %count
  br i1 %left, label %one, label %done
all:
  %meeting = inttoptr i64 %board to ptr
  %call = inttoptr i64 %share to ptr
  %lost = call i64 %call(ptr %meeting, ptr %part, ptr %args, i64 0, i64 %count, i64 %helpers, ptr %room)
  br label %done
done:
  %result = phi i64 [%grown, %one], [%lost, %all]
  ret i64 %result
}}"""
