"""Sharing out work among threads that wait in compiled code, so that none of them has to ask for Python.

Work is a function ``i64 part(ptr args, i64 place, ptr room)``. Whoever is there takes the next part, so that
a thread that comes late costs no more than its share. Between, helpers sleep on semaphores of the system.

All meet at a board of words of eight bytes, in lines of which no two are written for different reasons.
"""

from __future__ import annotations

import platform

LINE = 8
"""Words in a line."""

DOOR, NEXT, TOTAL, TURN, CALLS, BEDS = (LINE * line for line in range(6))
"""Lines: how many are at work; the next part; what parts came to; which work this is, and what it is
(function, arguments, end, helpers, and whether somebody has these); functions of the system (wait, post,
yield); and a line for each helper: whether it is awake, or will be, and half a line on its semaphore."""

HAD = 5
"""The word of that line which is 1 while somebody has the helpers."""

PATIENCE = 1000
"""How often one looks whether the others are done before other threads may have the processor."""


def help_code() -> str:
    """Return ``i64 kernel(ptr board, i64 me, ptr room)``: what a helper, counted from 0, does for ever."""
    return f"""
define i64 @kernel(ptr %board, i64 %me, ptr %room) {{
entry:
  {_words()}
  %place = mul i64 %me, {LINE}
  %beds = getelementptr i64, ptr %board, i64 {BEDS}
  %awake = getelementptr i64, ptr %beds, i64 %place
  %bed = getelementptr i64, ptr %awake, i64 {LINE // 2}
  %wait = load ptr, ptr %calls
  br label %rest
rest:
  %last = phi i64 [0, %entry], [%now, %out]
  store atomic i64 0, ptr %awake seq_cst, align 8
  %early = load atomic i64, ptr %turn seq_cst, align 8
  %none = icmp eq i64 %early, %last
  br i1 %none, label %sleep, label %rise
rise:  ; who has the work may have begun to wake this helper meanwhile
  %called = atomicrmw xchg ptr %awake, i64 1 seq_cst
  %free = icmp eq i64 %called, 0
  br i1 %free, label %come, label %sleep
sleep:
  call i32 %wait(ptr %bed)
  br label %come
come:
  %now = load atomic i64, ptr %turn acquire, align 8
  br label %knock
knock:
  %inside = load atomic i64, ptr %door acquire, align 8
  %shut = icmp eq i64 %inside, 0
  %more = add i64 %inside, 1
  br i1 %shut, label %out, label %enter
enter:
  %tried = cmpxchg ptr %door, i64 %inside, i64 %more seq_cst seq_cst
  %entered = extractvalue {{ i64, i1 }} %tried, 1
  br i1 %entered, label %in, label %knock
in:
  {_work()}
  %count = getelementptr i64, ptr %turn, i64 4
  %helpers = load i64, ptr %count
  %wanted = icmp ult i64 %me, %helpers
  br i1 %wanted, label %take, label %leave
  {_parts("in", "leave")}
leave:
  %made = phi i64 [0, %in], [%sum, %take]
  atomicrmw add ptr %total, i64 %made monotonic
  atomicrmw sub ptr %door, i64 1 seq_cst
  br label %out
out:
  br label %rest
}}"""


def share_code() -> str:
    """Return ``i64 kernel(ptr board, ptr work, ptr args, i64 begin, i64 end, i64 helpers, ptr room)``.

    It does the parts from ``begin`` to ``end`` with so many helpers, who are woken if they are not awake, and
    returns the sum of what the parts came to, when nobody is at work any more. If somebody else has the
    helpers, it does nothing and returns -1: who has them is settled here, where no signal interrupts.
    """
    return f"""
define i64 @kernel(
  ptr %board, ptr %function, ptr %given, i64 %begin, i64 %last, i64 %helpers, ptr %room
) {{
entry:
  {_words()}
  %had = getelementptr i64, ptr %turn, i64 {HAD}
  %asked = cmpxchg ptr %had, i64 0, i64 1 seq_cst seq_cst
  %ours = extractvalue {{ i64, i1 }} %asked, 1
  br i1 %ours, label %begun, label %busy
busy:
  ret i64 -1
begun:
  store atomic i64 %begin, ptr %next monotonic, align 8
  store atomic i64 0, ptr %total monotonic, align 8
  %w1 = getelementptr i64, ptr %turn, i64 1
  store ptr %function, ptr %w1
  %w2 = getelementptr i64, ptr %turn, i64 2
  store ptr %given, ptr %w2
  %w3 = getelementptr i64, ptr %turn, i64 3
  store i64 %last, ptr %w3
  %w4 = getelementptr i64, ptr %turn, i64 4
  store i64 %helpers, ptr %w4
  store atomic i64 1, ptr %door seq_cst, align 8
  atomicrmw add ptr %turn, i64 1 seq_cst
  %c1 = getelementptr i64, ptr %calls, i64 1
  %post = load ptr, ptr %c1
  %beds = getelementptr i64, ptr %board, i64 {BEDS}
  br label %each
each:
  %who = phi i64 [0, %begun], [%following, %called]
  %more = icmp ult i64 %who, %helpers
  br i1 %more, label %look, label %open
look:
  %place = mul i64 %who, {LINE}
  %awake = getelementptr i64, ptr %beds, i64 %place
  %was = atomicrmw xchg ptr %awake, i64 1 seq_cst
  %asleep = icmp eq i64 %was, 0
  br i1 %asleep, label %call, label %called
call:
  %bed = getelementptr i64, ptr %awake, i64 {LINE // 2}
  call i32 %post(ptr %bed)
  br label %called
called:
  %following = add i64 %who, 1
  br label %each
open:
  {_work()}
  br label %take
  {_parts("open", "shut")}
shut:
  atomicrmw add ptr %total, i64 %sum monotonic
  br label %wait
wait:
  %looks = phi i64 [0, %shut], [%looked, %pause], [0, %yield]
  %tried = cmpxchg ptr %door, i64 1, i64 0 seq_cst seq_cst
  %alone = extractvalue {{ i64, i1 }} %tried, 1
  br i1 %alone, label %done, label %pause
pause:
  {_pause()}
  %looked = add i64 %looks, 1
  %patient = icmp ult i64 %looked, {PATIENCE}
  br i1 %patient, label %wait, label %yield
yield:
  %c2 = getelementptr i64, ptr %calls, i64 2
  %give = load ptr, ptr %c2
  call i32 %give()
  br label %wait
done:
  %all = load atomic i64, ptr %total seq_cst, align 8
  store atomic i64 0, ptr %had seq_cst, align 8
  ret i64 %all
}}
{_declarations()}"""


def _words() -> str:
    """Return the lines that find the lines of the board."""
    names = {"door": DOOR, "next": NEXT, "total": TOTAL, "turn": TURN, "calls": CALLS}
    return "\n  ".join(f"%{name} = getelementptr i64, ptr %board, i64 {at}" for name, at in names.items())


def _work() -> str:
    """Return the lines that read what the work is."""
    return """%a1 = getelementptr i64, ptr %turn, i64 1
  %code = load ptr, ptr %a1
  %a2 = getelementptr i64, ptr %turn, i64 2
  %args = load ptr, ptr %a2
  %a3 = getelementptr i64, ptr %turn, i64 3
  %end = load i64, ptr %a3"""


def _parts(before: str, after: str) -> str:
    """Return the lines that do parts as long as there are any, and add up what they come to."""
    return f"""
take:
  %sum = phi i64 [0, %{before}], [%grown, %part]
  %at = atomicrmw add ptr %next, i64 1 monotonic
  %left = icmp ult i64 %at, %end
  br i1 %left, label %part, label %{after}
part:
  %one = call i64 %code(ptr %args, i64 %at, ptr %room)
  %grown = add i64 %sum, %one
  br label %take"""


def _pause() -> str:
    """Return the line that lets a processor rest while it looks again and again."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return "call void @llvm.x86.sse2.pause()"
    return "fence seq_cst"


def _declarations() -> str:
    return "declare void @llvm.x86.sse2.pause()" if "call" in _pause() else ""
