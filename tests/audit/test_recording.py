"""Recorded rounds: every form gives the same numbers, in blocks; what is damaged or hostile is refused."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from audit.recorded import FORMS, honest, safetensors, save

from varangian.aggregators import Krum
from varangian.audit import read_rounds
from varangian.audit.measured import measure
from varangian.audit.recording import rounds as blocks
from varangian.errors import DataError


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_rounds(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 8 * 4 * 64)  # 64 columns at a time
    rounds = honest(rounds=11)
    read = read_rounds(save(tmp_path / "rounds", rounds, form))
    assert [one.name for one in read] == [f"round-{number}" for number in range(1, 12)]
    for one, vectors in zip(read, rounds, strict=True):
        assert one.clients == tuple(f"client {i}" for i in range(8))
        assert len(list(one.blocks())) >= 3
        assert torch.equal(one.whole(), vectors)
        assert torch.equal(one.whole(), vectors), "A round can be read again."


@pytest.mark.parametrize(("kind", "dtype"), [("BF16", torch.bfloat16), ("F16", torch.float16)])
def test_half_precision_is_read(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    x = honest()[0].to(dtype)
    rows = {f"{i}": (kind, row.shape, row.view(torch.uint8).numpy().tobytes()) for i, row in enumerate(x)}
    (tmp_path / "one.safetensors").write_bytes(safetensors(rows))
    (one,) = read_rounds(tmp_path)
    assert torch.equal(one.whole(), x)
    measure(one, Krum(f=1), 1)


def test_weights_come_from_a_file_or_from_the_rounds(tmp_path: Path) -> None:
    for number in (1, 2):
        np.savez(tmp_path / f"{number}.npz", updates=honest()[0].numpy(), weights=np.arange(1.0, 9))
    assert read_rounds(tmp_path)[0].weights == tuple(range(1, 9))
    (tmp_path / "weights.json").write_text(
        '{"client 7": 3, ' + ", ".join(f'"client {i}": 1' for i in range(7)) + "}"
    )
    assert read_rounds(tmp_path)[1].weights == (1, 1, 1, 1, 1, 1, 1, 3)
    (tmp_path / "weights.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="weights of 8 clients"):
        read_rounds(tmp_path)


class Bomb:
    """What must never be unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("unpickled",)


def objects() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


GOOD = npy(np.ones((3, 5), np.float32))
ZEROS = npy(np.zeros((4, 2_000_000), np.float32))
HOSTILE = {
    "pickle in npy": ("a.npy", objects(), "only pickle reads: refused"),
    "pickle in npz": ("a.npz", zipped({"x.npy": objects()}), "only pickle reads: refused"),
    "bare pickle": ("a.npy", pickle.dumps(Bomb()), "no NumPy array"),
    "zip bomb": ("a.npz", zipped({"x.npy": ZEROS}), "would swell"),
    "truncated npy": ("a.npy", GOOD[:-7], "truncated or forged"),
    "npy with more": ("a.npy", GOOD + b"more", "truncated or forged"),
    "huge shape": (
        "a.npy",
        GOOD.replace(b"(3, 5)", b"(3, 5" + b"0" * 9 + b")")[: len(GOOD)],
        "header|forged",
    ),
    "truncated npz": ("a.npz", zipped({"x.npy": GOOD})[:-9], "damaged"),
    "foreign member": ("a.npz", zipped({"run.sh": b"rm"}), "no NumPy array"),
    "whole numbers": ("a.npy", npy(np.ones((3, 5), np.int64)), "type <i8"),
    "bytes": ("a.npy", npy(np.ones((3, 5), np.uint8)), "whole numbers"),
    "Fortran order": ("a.npy", npy(np.asfortranarray(np.ones((3, 5)))), "Fortran order"),
    "one vector": ("a.npy", npy(np.ones(5)), "one vector is no round"),
    "one client": ("a.npy", npy(np.ones((1, 5))), "two clients or more"),
    "no coordinates": ("a.npy", npy(np.ones((3, 0))), "one coordinate or more"),
    "lies outside": (
        "a.safetensors",
        safetensors({"a": ("F32", (2,), b"1" * 8)})[:-3],
        "outside of the file",
    ),
    "lies of its size": ("a.safetensors", safetensors({"a": ("F32", (9,), b"1" * 8)}), "truncated or forged"),
    "endless header": ("a.safetensors", b"\xff" * 64, "the header claims"),
    "header of nothing": ("a.safetensors", (2).to_bytes(8, "little") + b"[]", "none that safetensors writes"),
    "no parquet": ("a.parquet", b"PAR1" + b"0" * 40 + b"PAR1", "damaged"),
    "no round": ("a.txt", b"hello", "is no round"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_hostile_or_damaged_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, content, said = HOSTILE[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        _read(tmp_path / "rounds")
    assert not (tmp_path / "unpickled").exists()


def _read(folder: Path) -> None:
    for one in read_rounds(folder):
        one.whole()


def test_a_packed_matrix_is_refused_with_the_fix(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", updates=honest()[0].numpy())
    with pytest.raises(DataError, match="savez instead"):
        read_rounds(tmp_path)[0].whole()


def test_a_member_that_breaks_on_the_way_is_refused(tmp_path: Path) -> None:
    FORMS["packed"](tmp_path / "a", honest()[0].numpy())
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[300:340] = bytes(40)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"damaged|truncated"):
        read_rounds(tmp_path)[0].whole()


@pytest.mark.parametrize("form", ["packed", "npz", "npy", "safetensors"])
def test_a_byte_that_is_wrong_anywhere_is_refused_or_read(form: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path / "a", honest()[0].numpy())
    (file,) = tmp_path.iterdir()
    whole, draws, refused = file.read_bytes(), np.random.default_rng(5), 0
    for place in draws.integers(len(whole), size=300):
        damaged = bytearray(whole)
        damaged[place] ^= draws.integers(1, 256)
        file.write_bytes(damaged)
        try:
            read_rounds(tmp_path)[0].whole()
        except DataError:
            refused += 1
    assert refused


def test_rounds_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_rounds(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no rounds"):
        read_rounds(tmp_path)
    np.save(tmp_path / "1.npy", np.ones((3, 5)))
    np.save(tmp_path / "2.npy", np.ones((3, 6)))
    with pytest.raises(DataError, match="Round 2 has vectors of 6 coordinates, round 1 of 5"):
        read_rounds(tmp_path)
    np.save(tmp_path / "2.npy", np.ones((2, 5)))
    with pytest.raises(DataError, match="Round 2 lacks client 2"):
        read_rounds(tmp_path)
    np.savez(tmp_path / "2.npz", **{"client 0": np.ones(5), "client 1": np.ones(4)})
    (tmp_path / "2.npy").unlink()
    with pytest.raises(DataError, match="'client 1' has 4 coordinates"):
        read_rounds(tmp_path)


def test_rounds_without_a_spread_or_with_nan_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.ones((3, 5)))
    (one,) = read_rounds(tmp_path)
    with pytest.raises(DataError, match="no honest spread"):
        measure(one, Krum(f=0), 0)
    vectors = honest()[0].numpy()
    vectors[2, 7] = np.nan
    vectors[5, :3] = np.inf
    np.save(tmp_path / "1.npy", vectors)
    (one,) = read_rounds(tmp_path)
    with pytest.raises(DataError, match=r"Round 1: .* client 2 \(1\), client 5 \(3\)"):
        measure(one, Krum(f=1), 1)
