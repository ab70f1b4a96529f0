"""Keys are made once, for one party each, and whatever is wrong with them is told before they are used."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509

from varangian.engines.multiparty import keys as making
from varangian.engines.multiparty.credentials import Paths, read_credentials
from varangian.engines.multiparty.keys import add_keys, make_keys
from varangian.errors import DataError, ParameterError

PARTIES = {"server0": ("127.0.0.1", "example.org"), "worker0": ()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys", PARTIES, days=30)
    return tmp_path / "keys"


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def test_a_certificate_names_its_party_and_its_hosts(folder: Path) -> None:
    made = certificate(folder, "server0")
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert made.subject.rfc4514_string() == "CN=server0"
    assert names.get_values_for_type(x509.DNSName) == ["server0", "example.org"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    made.verify_directly_issued_by(certificate(folder, "authority"))


def test_files_are_for_their_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert len(modes) == 6
    assert set(modes.values()) == {0o600}


def test_nothing_is_ever_replaced(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match="has an authority already"):
        make_keys(folder, PARTIES)
    with pytest.raises(DataError, match="no key is ever replaced"):
        add_keys(folder, {"worker0": ()})
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


def test_a_party_that_is_added_is_of_the_same_authority_and_no_longer_valid(folder: Path) -> None:
    until = add_keys(folder, {"worker1": ()}, days=365)
    assert until == certificate(folder, "authority").not_valid_after_utc
    read = read_credentials("worker1", Paths.of(folder, "worker1"))
    assert read.certificate == (folder / "worker1.crt").read_bytes()


@pytest.mark.parametrize("name", ["", "Server", "a b", "../a", "authority", "-a", "a" * 64, "a/b", "a\n"])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no name for a party"):
        make_keys(tmp_path / "keys", {name: ()})
    assert not (tmp_path / "keys").exists()


def test_a_host_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no name or address"):
        make_keys(tmp_path / "keys", {"server0": ("a b",)})


def swap(folder: Path, one: str, other: str) -> None:
    (folder / one).write_bytes((folder / other).read_bytes())


WRONG = [
    (lambda folder: (folder / "server0.key").unlink(), "server0.key cannot be read"),
    (lambda folder: (folder / "server0.key").write_text("x"), "server0.key is no private key"),
    (lambda folder: (folder / "server0.crt").write_bytes(b"\0"), "server0.crt is no certificate"),
    (lambda folder: (folder / "authority.crt").write_text(""), "authority.crt is no certificate"),
    (lambda folder: swap(folder, "server0.key", "worker0.key"), "is not the key of"),
    (lambda folder: swap(folder, "authority.crt", "worker0.crt"), "was not issued by"),
    (
        lambda folder: (
            swap(folder, "server0.crt", "worker0.crt"),
            swap(folder, "server0.key", "worker0.key"),
        ),
        "is for worker0, not for server0",
    ),
]


@pytest.mark.parametrize(("spoil", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_wrong_with_credentials_is_told(spoil: object, said: str, folder: Path) -> None:
    assert callable(spoil)
    spoil(folder)
    with pytest.raises(DataError, match=said):
        read_credentials("server0", Paths.of(folder, "server0"))


def test_another_authority(folder: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "other", PARTIES)
    paths = Paths(tmp_path / "other" / "authority.crt", folder / "server0.crt", folder / "server0.key")
    with pytest.raises(DataError, match="was not issued by"):
        read_credentials("server0", paths)


@pytest.mark.parametrize(("days", "said"), [(-60, "expired on"), (60, "not valid before")])
def test_dates(days: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    with monkeypatch.context() as patch:
        patch.setattr(making, "_now", lambda: then)
        make_keys(tmp_path / "keys", PARTIES, days=30)
    with pytest.raises(DataError, match=said):
        read_credentials("server0", Paths.of(tmp_path / "keys", "server0"))


def test_the_key_is_not_shown(folder: Path) -> None:
    assert "PRIVATE" not in repr(read_credentials("server0", Paths.of(folder, "server0")))
