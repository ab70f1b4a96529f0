"""Columns of rows that are in files, read into a room by a call of the system, and worked with there.

To touch a page of a mapped file, the system has to be asked for it, page after page; to copy what it holds
into a room that stays in the cache takes less. What it does not hold yet is left to the map, for which it
reads ahead.
"""

from __future__ import annotations

from varangian.kernels.compiled.assembly import read_words
from varangian.kernels.compiled.lines import WORDS

SOURCE = ("preadv", "origins", "n", "size")
"""Words that tell where rows are: the system's ``preadv2``, for each row an open file and the byte in it
where the row begins, how many rows there are, and the bytes of a number."""

AT_ONCE = 8
"""The flag by which ``preadv2`` reads nothing that has to be waited for, RWF_NOWAIT."""


def fill_code() -> str:
    """Return ``i64 kernel(ptr source, i64 start, i64 stop, ptr room, i64 pitch, ptr rows)``.

    It reads columns of every row into a room, each ``pitch`` bytes after the one before, and notes where the
    rows would then begin. It returns 0; or 1 if there is a row that could not be read whole at once.
    """
    return f"""
define i64 @kernel(ptr %source, i64 %start, i64 %stop, ptr %room, i64 %pitch, ptr %rows) {{
entry:
  {read_words("source", *SOURCE)}
  %read = inttoptr i64 %preadv to ptr
  %table = inttoptr i64 %origins to ptr
  %columns = sub i64 %stop, %start
  %bytes = mul i64 %columns, %size
  %before = mul i64 %start, %size
  %back = sub i64 0, %before
  %span = alloca {{ ptr, i64 }}
  %span.size = getelementptr {{ ptr, i64 }}, ptr %span, i64 0, i32 1
  store i64 %bytes, ptr %span.size
  br label %row
row:
  %i = phi i64 [0, %entry], [%next, %on]
  %far = mul i64 %i, %pitch
  %into = getelementptr i8, ptr %room, i64 %far
  store ptr %into, ptr %span
  %begin = getelementptr i8, ptr %into, i64 %back
  %slot = getelementptr ptr, ptr %rows, i64 %i
  store ptr %begin, ptr %slot
  %file.at = getelementptr {{ i64, i64 }}, ptr %table, i64 %i
  %file = load i64, ptr %file.at
  %place.at = getelementptr i64, ptr %file.at, i64 1
  %place = load i64, ptr %place.at
  %from = add i64 %place, %before
  %handle = trunc i64 %file to i32
  %got = call i64 %read(i32 %handle, ptr %span, i32 1, i64 %from, i32 {AT_ONCE})
  %whole = icmp eq i64 %got, %bytes
  br i1 %whole, label %on, label %miss
on:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %row, label %done
done:
  ret i64 0
miss:
  ret i64 1
}}"""


def filed_part_code() -> str:
    """Return ``i64 kernel(ptr args, i64 place, ptr room)``: read a part of the one line, and then do it.

    It is given a line and marks (see ``compiled.lines``), the functions ``part_code`` and ``fill_code``, the
    source, rooms, the bytes of one and of a row in it, and a word for each room, which is 0 if the room is
    free. There must be one for every thread. A part that cannot be read is done where the line has its rows.
    """
    names = ("line", "marks", "work", "fill", "source", "rooms", "size", "pitch", "busy")
    return f"""
define i64 @kernel(ptr %args, i64 %place, ptr %room) {{
entry:
  {read_words("args", *names)}
  %told = inttoptr i64 %line to ptr
  {read_words("told", "code", "rows", "past", "out", "width", "step", "tile", "first")}
  %part = inttoptr i64 %work to ptr
  %bring = inttoptr i64 %fill to ptr
  %where = inttoptr i64 %source to ptr
  %flags = inttoptr i64 %busy to ptr
  %n.at = getelementptr i64, ptr %where, i64 2
  %n = load i64, ptr %n.at
  %table = alloca i64, i64 %n
  %own = alloca [{WORDS} x i64]
  %given = alloca [3 x i64]
  %start = mul i64 %place, %step
  %after = add i64 %start, %step
  %tail = sub i64 %width, %tile
  %last = icmp ugt i64 %after, %tail
  %stop = select i1 %last, i64 %width, i64 %after
  br label %look
look:
  %which = phi i64 [0, %entry], [%following, %look]
  %following = add i64 %which, 1
  %flag = getelementptr i64, ptr %flags, i64 %which
  %taken = atomicrmw xchg ptr %flag, i64 1 acquire
  %free = icmp eq i64 %taken, 0
  br i1 %free, label %enter, label %look
enter:
  %far = mul i64 %which, %size
  %all = inttoptr i64 %rooms to ptr
  %mine = getelementptr i8, ptr %all, i64 %far
  %lost = call i64 %bring(ptr %where, i64 %start, i64 %stop, ptr %mine, i64 %pitch, ptr %table)
  %whole = icmp eq i64 %lost, 0
  %mapped = inttoptr i64 %rows to ptr
  %found = select i1 %whole, ptr %table, ptr %mapped
  call void @llvm.memcpy.p0.p0.i64(ptr %own, ptr %told, i64 {8 * WORDS}, i1 false)
  %own.rows = getelementptr i64, ptr %own, i64 1
  store ptr %found, ptr %own.rows
  store ptr %own, ptr %given
  %given.owners = getelementptr i64, ptr %given, i64 1
  store ptr null, ptr %given.owners
  %given.marks = getelementptr i64, ptr %given, i64 2
  store i64 %marks, ptr %given.marks
  %bad = call i64 %part(ptr %given, i64 %place, ptr %room)
  store atomic i64 0, ptr %flag release, align 8
  ret i64 %bad
}}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"""
