"""Records open in their own place, once, and nowhere else."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varangian.engines.multiparty import sealed
from varangian.engines.multiparty.sealed import ForgedError, Seals, derive, records

THERE, HERE, TOKEN = (secrets.token_bytes(32) for _ in range(3))


def ends(dialler: bytes = THERE, listener: bytes = HERE, token: bytes = TOKEN) -> tuple[Seals, Seals]:
    """Return both ends' seals."""
    return (
        derive(dialler, listener, token, dialled=True),
        derive(dialler, listener, token, dialled=False),
    )


def said(seals: Seals, data: bytes, *, last: bool = False) -> memoryview:
    return memoryview(bytes(seals.out.seal(memoryview(data), last=last)))


def opened(seals: Seals, record: memoryview, *, last: bool = False) -> bytes:
    row = memoryview(bytearray(max(0, len(record) - sealed.TAG)))
    seals.into.open(record, row, last=last)
    return bytes(row)


@given(st.lists(st.tuples(st.binary(max_size=100), st.booleans(), st.booleans()), max_size=20))
def test_both_ends_read_what_the_other_says_in_order(lines: list[tuple[bytes, bool, bool]]) -> None:
    one, other = ends()
    for data, last, back in lines:
        speaker, hearer = (other, one) if back else (one, other)
        assert opened(hearer, said(speaker, data, last=last), last=last) == data


DATA = [b"first.." * 9, b"second." * 9, b"third.." * 9]


@pytest.mark.parametrize("bit", [0, 7 * 9 * 8 - 1, 7 * 9 * 8, (7 * 9 + 16) * 8 - 1])
def test_a_flipped_bit_is_noticed(bit: int) -> None:
    one, other = ends()
    record = bytearray(said(one, DATA[0]))
    record[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ForgedError):
        opened(other, memoryview(record))


@pytest.mark.parametrize("order", [(0, 2), (1,), (0, 0), (0, 1, 1), (0, 1, 0)])
def test_what_is_left_out_repeated_or_moved_is_noticed(order: tuple[int, ...]) -> None:
    one, other = ends()
    told = [said(one, data) for data in DATA]
    for number in order[:-1]:
        assert opened(other, told[number]) == DATA[number]
    with pytest.raises(ForgedError):
        opened(other, told[order[-1]])


@pytest.mark.parametrize("last", [False, True])
def test_what_is_cut_off_or_goes_on_is_noticed(last: bool) -> None:
    one, other = ends()
    with pytest.raises(ForgedError):
        opened(other, said(one, DATA[0], last=last), last=not last)


@pytest.mark.parametrize("size", [0, 1, 62])
def test_a_shorter_record_is_noticed(size: int) -> None:
    one, other = ends()
    with pytest.raises(ForgedError):
        opened(other, said(one, DATA[0])[: size + sealed.TAG])


def test_what_was_said_goes_neither_back_nor_to_another_connection() -> None:
    one, other = ends()
    record = said(one, DATA[0])
    with pytest.raises(ForgedError):
        opened(one, record)
    for strange in (
        ends(dialler=secrets.token_bytes(32)),
        ends(listener=secrets.token_bytes(32)),
        ends(token=secrets.token_bytes(32)),
    ):
        with pytest.raises(ForgedError):
            opened(strange[1], record)
    assert opened(other, record) == DATA[0]


def test_no_end_alone_can_have_a_key_again() -> None:
    told = {bytes(said(ends(listener=secrets.token_bytes(32))[0], DATA[0])) for _ in range(20)}
    told |= {bytes(said(ends(dialler=secrets.token_bytes(32))[0], DATA[0])) for _ in range(20)}
    assert len(told) == 40


def test_no_number_is_used_again_after_a_record_that_did_not_open() -> None:
    one, other = ends()
    with pytest.raises(ForgedError):
        opened(other, said(one, DATA[0]), last=True)
    assert (one.out.index, other.into.index) == (1, 1)
    assert opened(other, said(one, DATA[1])) == DATA[1]


def test_a_key_that_has_seen_enough_is_used_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "MOST", 3)
    one, other = ends()
    assert one.out.lasts(3)
    assert not one.out.lasts(4)
    told = [said(one, data) for data in DATA]
    with pytest.raises(ForgedError, match="enough"):
        said(one, DATA[0])
    assert [opened(other, record) for record in told] == DATA
    with pytest.raises(ForgedError, match="enough"):
        opened(other, told[0])


def test_an_empty_value_takes_a_record_too() -> None:
    sizes = (0, 1, sealed.RECORD, sealed.RECORD + 1)
    assert [records(total) for total in sizes] == [1, 1, 1, 2]
