"""What norms and signed sums of many blocks come to, as machine code: a sketch's numbers in one go."""

from __future__ import annotations

from varangian.kernels.compiled.processor import processor

PROJECTIONS = 16
"""Projections onto random signs, a bit of each block's word for each."""
PRIME, EXACT = 2654435761, 0xFFFFFFFFFF
"""What spreads the bits of a fingerprint, and those of its bits that a float64 surely holds."""


def tally_code() -> str:
    """Return ``void kernel(norms, sums, signs, count, out)`` in LLVM's language.

    It writes 4 + 16 float64: how many norms are not finite, the root of their squares, the largest one, the
    fingerprint, and the 16 sums of the signed sums, negated where a block's word has the bit.
    """
    wide = f"<{PROJECTIONS} x double>"
    return f"""
define void @kernel(ptr %norms, ptr %sums, ptr %signs, i64 %count, ptr %out) #0 {{
entry:
  br label %head
head:
  %i = phi i64 [0, %entry], [%i.next, %body]
  %broken = phi i64 [0, %entry], [%broken.next, %body]
  %square = phi double [0.0, %entry], [%square.next, %body]
  %peak = phi float [0.0, %entry], [%peak.next, %body]
  %print = phi i64 [0, %entry], [%print.next, %body]
  %seen = phi {wide} [zeroinitializer, %entry], [%seen.next, %body]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %body, label %after
body:
  %norm.at = getelementptr float, ptr %norms, i64 %i
  %norm = load float, ptr %norm.at, align 4
  %finite = fcmp olt float %norm, 0x7FF0000000000000
  %lost = xor i1 %finite, true
  %one = zext i1 %lost to i64
  %broken.next = add i64 %broken, %one
  %exact = fpext float %norm to double
  %squared = fmul double %exact, %exact
  %square.next = fadd double %square, %squared
  %higher = fcmp ogt float %norm, %peak
  %peak.next = select i1 %higher, float %norm, float %peak
  %bits = bitcast float %norm to i32
  %place = trunc i64 %i to i32
  %twice = shl i32 %place, 1
  %odd = or i32 %twice, 1
  %spread = mul i32 %odd, {PRIME}
  %mixed = mul i32 %bits, %spread
  %long = zext i32 %mixed to i64
  %print.next = add i64 %print, %long
  %sum.at = getelementptr float, ptr %sums, i64 %i
  %sum = load float, ptr %sum.at, align 4
  %double = fpext float %sum to double
  %lane = insertelement {wide} poison, double %double, i64 0
  %all = shufflevector {wide} %lane, {wide} poison, <{PROJECTIONS} x i32> zeroinitializer
  %word.at = getelementptr i16, ptr %signs, i64 %i
  %word = load i16, ptr %word.at, align 2
  %mask = bitcast i16 %word to <{PROJECTIONS} x i1>
  %minus = fneg {wide} %all
  %signed = select <{PROJECTIONS} x i1> %mask, {wide} %minus, {wide} %all
  %seen.next = fadd {wide} %seen, %signed
  %i.next = add i64 %i, 1
  br label %head
after:
  %lost.all = uitofp i64 %broken to double
  store double %lost.all, ptr %out, align 8
  %root = call double @llvm.sqrt.f64(double %square)
  %o1 = getelementptr double, ptr %out, i64 1
  store double %root, ptr %o1, align 8
  %o2 = getelementptr double, ptr %out, i64 2
  %top = fpext float %peak to double
  store double %top, ptr %o2, align 8
  %kept = and i64 %print, {EXACT}
  %told = uitofp i64 %kept to double
  %o3 = getelementptr double, ptr %out, i64 3
  store double %told, ptr %o3, align 8
  %o4 = getelementptr double, ptr %out, i64 4
  store {wide} %seen, ptr %o4, align 8
  ret void
}}
declare double @llvm.sqrt.f64(double)
{processor().attributes}"""
