"""Different numbers below a bound, as NumPy's Philox and its choice draw them, as machine code."""

from __future__ import annotations

from varangian.kernels.compiled.assembly import Assembly
from varangian.kernels.compiled.processor import processor

PARAMETERS = (
    "ptr %keys, ptr %tables, ptr %bounds, ptr %counts, i64 %rows, i64 %width, ptr %marks, ptr %words, "
    "ptr %out, ptr %lost"
)

WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
FACTORS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
ROUNDS = 10

Block = list[str]


def draws_code() -> str:
    """Return ``void kernel(keys, tables, bounds, counts, rows, width, marks, words, out, lost)`` in LLVM.

    Row after row it takes ``counts`` different places below ``bounds`` (Floyd), shuffles them, and writes
    what stands there in the row's table; the first of them fills up the ``width`` numbers of the row. Where
    a word would have to be drawn again, it says so in ``lost``, and what it wrote is of no use. ``marks`` are
    a zero byte for every place, and zero again afterwards; ``words`` has room for 32 bits twice for every
    number of a row, and six times more.

    Reference   Salmon et al., SC 2011; Bentley and Floyd, CACM 1987; Lemire, TOMACS 2019
    """
    at = Assembly()
    at.enter("entry")
    with at.counted("row", "%rows") as row:
        key, table, bound, count = (
            at.get(f"load {kind}, ptr {at.index(array, row.counter, kind)}")
            for array, kind in (("%keys", "i64"), ("%tables", "ptr"), ("%bounds", "i64"), ("%counts", "i64"))
        )
        out = at.index("%out", at.get(f"mul i64 {row.counter}, %width"), "i64")
        _write_words(at, key, count)
        first = at.get(f"sub i64 {bound}, {count}")
        with at.counted("floyd", count, carried=[("i64", "0"), ("i1", "false")]) as floyd:
            last = at.get(f"add i64 {first}, {floyd.counter}")
            drawn = _below(at, last, floyd.values)
            place = at.index("%marks", drawn, "i8")
            taken = at.get(f"icmp ne i8 {at.get(f'load i8, ptr {place}')}, 0")
            chosen = at.get(f"select i1 {taken}, i64 {last}, i64 {drawn}")
            at.do(f"store i8 1, ptr {at.index('%marks', chosen, 'i8')}")
            at.do(f"store i64 {chosen}, ptr {at.index(out, floyd.counter, 'i64')}")
        with at.counted("clean", count) as clean:
            chosen = at.get(f"load i64, ptr {at.index(out, clean.counter, 'i64')}")
            at.do(f"store i8 0, ptr {at.index('%marks', chosen, 'i8')}")
            found = at.get(f"load i64, ptr {at.index(table, chosen, 'i64')}")
            at.do(f"store i64 {found}, ptr {at.index(out, clean.counter, 'i64')}")
        kept = [("i64", floyd.values[0]), ("i1", floyd.values[1])]
        with at.counted("shuffle", count, start="1", carried=kept) as shuffle:
            here = at.get(f"sub i64 {count}, {shuffle.counter}")
            there = at.index(out, _below(at, here, shuffle.values), "i64")
            mine = at.index(out, here, "i64")
            one, other = (at.get(f"load i64, ptr {place}") for place in (mine, there))
            at.do(f"store i64 {one}, ptr {there}")
            at.do(f"store i64 {other}, ptr {mine}")
        lost = at.get(f"zext i1 {shuffle.values[1]} to i8")
        at.do(f"store i8 {lost}, ptr {at.index('%lost', row.counter, 'i8')}")
        filler = at.get(f"load i64, ptr {out}")
        with at.counted("fill", "%width", start=count) as fill:
            at.do(f"store i64 {filler}, ptr {at.index(out, fill.counter, 'i64')}")
    at.do("ret void")
    return "\n".join([f"define void @kernel({PARAMETERS}) #0 {{", *at.lines, "}", processor().attributes])


def _below(at: Assembly, last: str, values: list[str]) -> str:
    """Return the next number from zero to ``last``; for zero alone no word is taken.

    ``values`` are how many words are gone, and whether one would have had to be drawn again.
    """
    word = at.get(f"load i32, ptr {at.index('%words', values[0], 'i32')}, align 1")
    many = at.get(f"add i64 {last}, 1")
    product = at.get(f"mul i64 {at.get(f'zext i32 {word} to i64')}, {many}")
    rest = at.get(f"and i64 {product}, {2**32 - 1}")
    values[1] = at.get(f"or i1 {values[1]}, {at.get(f'icmp ult i64 {rest}, {many}')}")
    took = at.get(f"icmp ne i64 {last}, 0")
    values[0] = at.get(f"add i64 {values[0]}, {at.get(f'zext i1 {took} to i64')}")
    return at.get(f"lshr i64 {product}, 32")


def _write_words(at: Assembly, key: str, count: str) -> None:
    """Write at least twice ``count`` words of the generator with this key, eight at a time."""
    blocks = at.get(f"lshr i64 {at.get(f'add i64 {count}, 3')}, 2")
    with at.counted("block", blocks) as block:
        state = [at.get(f"add i64 {block.counter}, 1"), "0", "0", "0"]
        keys = [key, "0"]
        for turn in range(ROUNDS):
            if turn:
                keys = [at.get(f"add i64 {one}, {step}") for one, step in zip(keys, WEYL, strict=True)]
            state = _round(at, state, keys)
        target = at.index("%words", at.get(f"mul i64 {block.counter}, 8"), "i32")
        for place, word in enumerate(state):
            at.do(f"store i64 {word}, ptr {at.index(target, str(place), 'i64')}, align 1")


def _round(at: Assembly, state: Block, keys: Block) -> Block:
    highs, lows = [], []
    for number, factor in zip(state[::2], FACTORS, strict=True):
        product = at.get(f"mul i128 {at.get(f'zext i64 {number} to i128')}, {factor}")
        lows.append(at.get(f"trunc i128 {product} to i64"))
        highs.append(at.get(f"trunc i128 {at.get(f'lshr i128 {product}, 64')} to i64"))
    mixed = [
        at.get(f"xor i64 {at.get(f'xor i64 {high}, {odd}')}, {key}")
        for high, odd, key in zip(reversed(highs), state[1::2], keys, strict=True)
    ]
    return [mixed[0], lows[1], mixed[1], lows[0]]
