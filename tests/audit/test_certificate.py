"""Certificates: what is signed cannot be changed, and what does not hold says why."""

from __future__ import annotations

import base64
import json
import stat
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varangian.audit.canonical import canonical
from varangian.audit.certificate import CERTIFICATE, certify, verify
from varangian.audit.signing import fingerprint, make_key, public_key, secret_key
from varangian.cli import main
from varangian.errors import DataError, InputError, ParameterError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REPORT = {
    "format": "varangian-audit/1",
    "verdict": {
        "status": "pass",
        "summary": "Median(f=2) withstands 2 liars among 9 – in all that was tried.",
    },
    "subject": {"kind": "rule", "rule": "Median(f=2)", "n": 9, "f": 2, "name": "a rule"},
    "threat_model": {"parties": "9 workers", "not_covered": ["a small backdoor"]},
    "provenance": {"varangian": "0.1.0", "seed": 1, "code_sha256": "3b" * 32, "updates_sha256": {}},
    "numbers": {"coefficient": 0.3},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a report, a page, a figure's numbers, and beside it the keys of two issuers."""
    made = tmp_path / "audit"
    made.mkdir()
    (made / "report.json").write_text(json.dumps(REPORT), encoding="utf-8")
    (made / "report.html").write_text("<p>all well</p>", encoding="utf-8")
    (made / "breakdown.csv").write_text("b,error\n1,0.2\n", encoding="utf-8")
    make_key(tmp_path / "examiner")
    make_key(tmp_path / "somebody")
    return made


def key(folder: Path, name: str = "examiner.key") -> Path:
    return folder.parent / name


@pytest.fixture
def signed(folder: Path) -> Path:
    return certify(folder, key(folder), issuer="Jane Doe", days=30, now=NOW)


def reasons(signed: Path, name: str = "examiner.pub", now: datetime = NOW, **options: Any) -> tuple[str, ...]:
    return verify(signed, key(signed.parent, name), now=now, **options).reasons


def test_a_certificate_holds_and_says_what_of_what_until_when(signed: Path) -> None:
    found = verify(signed, key(signed.parent, "examiner.pub"), now=NOW + timedelta(days=29))
    assert found.holds
    assert found.content["claim"] == REPORT["verdict"]["summary"]  # type: ignore[index]
    assert found.content["scope"] == {"subject": REPORT["subject"], "threat_model": REPORT["threat_model"]}
    assert found.content["provenance"] == REPORT["provenance"]
    assert found.content["issued"] == "2026-03-01T12:00:00Z"
    assert found.content["expires"] == "2026-03-31T12:00:00Z"
    assert set(found.content["files"]) == {"report.json", "report.html", "breakdown.csv"}
    assert verify(signed.parent, key(signed.parent, "examiner.pub"), now=NOW).holds, "The folder will do."


def test_any_changed_byte_fails(signed: Path) -> None:
    whole = signed.read_bytes()
    for place in range(len(whole)):
        changed = whole[place] ^ (0x20 if place % 7 == 0 else 1)
        signed.write_bytes(whole[:place] + bytes([changed]) + whole[place + 1 :])
        assert reasons(signed), (place, whole[max(0, place - 20) : place + 20])
    for cut in (whole[:-1], whole + b"\n", b"\xef\xbb\xbf" + whole, b"", b"[" * 100_000):
        signed.write_bytes(cut)
        assert "is not as it was signed" in reasons(signed)[0]
    signed.write_bytes(whole)
    assert not reasons(signed)


def test_a_signature_has_one_spelling(signed: Path) -> None:
    content = json.loads(signed.read_bytes())
    body, alphabet = content["signature"].removesuffix("=="), string.ascii_uppercase + string.ascii_lowercase
    alphabet += string.digits + "+/"
    other = body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(content["signature"])
    signed.write_bytes(canonical({**content, "signature": other}))
    assert "no signature in canonical form" in reasons(signed)[0]


def test_another_key_fails_and_is_named(signed: Path) -> None:
    (said,) = reasons(signed, "somebody.pub")
    assert fingerprint(public_key(key(signed.parent, "examiner.pub")))[:16] in said
    assert fingerprint(public_key(key(signed.parent, "somebody.pub")))[:16] in said


def test_somebody_else_cannot_sign_in_the_issuers_name(signed: Path) -> None:
    content = json.loads(signed.read_bytes())
    content.pop("signature")
    forged = secret_key(key(signed.parent, "somebody.key")).sign(canonical(content))
    content["signature"] = base64.b64encode(forged).decode()
    signed.write_bytes(canonical(content))
    assert reasons(signed) == ("it was changed after it was signed: the signature does not fit",)


def test_time_is_told(signed: Path) -> None:
    assert reasons(signed, now=NOW + timedelta(days=31)) == ("it expired on 2026-03-31 12:00 UTC",)
    assert "not valid before 2026-03-01 12:00 UTC" in reasons(signed, now=NOW - timedelta(hours=1))[0]
    assert not reasons(signed, now=NOW - timedelta(minutes=5)), "A clock may be a little late."


def test_files_are_those_that_were_certified(signed: Path) -> None:
    page = signed.parent / "report.html"
    page.write_text("<p>all Well</p>", encoding="utf-8")
    (signed.parent / "breakdown.csv").unlink()
    assert reasons(signed) == (
        "breakdown.csv is missing",
        "report.html is not the file that was certified",
    )


def test_recorded_rounds_can_be_compared(folder: Path) -> None:
    import hashlib

    rounds = folder.parent / "rounds"
    rounds.mkdir()
    (rounds / "1.npy").write_bytes(b"numbers")
    hashes = {"1.npy": hashlib.sha256(b"numbers").hexdigest()}
    report = {**REPORT, "provenance": {"updates_sha256": hashes}}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    signed = certify(folder, key(folder), issuer="Jane Doe", now=NOW)
    assert not reasons(signed, updates=rounds)
    (rounds / "1.npy").write_bytes(b"numberz")
    assert reasons(signed, updates=rounds) == ("1.npy is not the file that was certified",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": {"../examiner.key": "00"}}, "lies outside of the folder"),
        ({"files": {"/etc/passwd": "00"}}, "lies outside of the folder"),
        ({"files": []}, "left out or misspelled"),
        ({"expires": "next year"}, "left out or misspelled"),
    ],
)
def test_an_issuer_that_signs_nonsense_is_no_traceback(
    signed: Path, change: dict[str, Any], said: str
) -> None:
    content = {**json.loads(signed.read_bytes()), **change}
    content.pop("signature")
    signature = secret_key(key(signed.parent)).sign(canonical(content))
    signed.write_bytes(canonical({**content, "signature": base64.b64encode(signature).decode()}))
    assert said in reasons(signed)[0]


def test_no_pass_is_not_certified(folder: Path) -> None:
    for status in ("fail", "refused", "not covered"):
        report = {**REPORT, "verdict": {"status": status, "summary": "No."}}
        (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
        with pytest.raises(ParameterError, match="Nothing to certify"):
            certify(folder, key(folder), issuer="Jane Doe")
    assert not (folder / CERTIFICATE).exists()


@pytest.mark.parametrize("text", ["", "[]", '{"verdict": 3}', '{"verdict": {}}', "[" * 100_000, "\x00\xff"])
def test_what_is_no_report_is_refused(folder: Path, text: str) -> None:
    (folder / "report.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="is no report of an audit"):
        certify(folder, key(folder), issuer="Jane Doe")


def test_a_key_is_its_owners_alone_and_never_replaced(folder: Path) -> None:
    assert stat.S_IMODE(key(folder).stat().st_mode) == 0o600
    with pytest.raises(DataError, match="no key is ever replaced"):
        make_key(folder.parent / "examiner")


def test_keys_of_other_kinds_are_refused(folder: Path) -> None:
    from varangian.engines.multiparty.keys import make_keys

    make_keys(folder.parent / "party", {"worker0": ()})
    with pytest.raises(DataError, match="another kind than Ed25519"):
        certify(folder, folder.parent / "party" / "worker0.key", issuer="Jane Doe")
    with pytest.raises(DataError, match="is no public key"):
        public_key(key(folder))
    with pytest.raises(DataError, match="is no private key"):
        secret_key(key(folder, "examiner.pub"))


def test_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(("audit", *words))
        told = capsys.readouterr()
        return code, told.out, told.err

    assert run("key", "mine")[0] == 0
    assert run("certify", "audit", "--key", "mine.key", "--issuer", "Jane [bold]Doe", "--days", "9")[0] == 0
    code, out, _ = run("verify", "audit", "--key", "mine.pub")
    assert code == 0
    assert "says Jane [bold]Doe: Median(f=2) withstands" in out
    code, out, _ = run("verify", "audit/certificate.json", "--key", "somebody.pub")
    assert code == 1
    assert "Does not hold: it was signed with the key" in out
    (folder / "report.html").write_text("")
    assert run("verify", "audit", "--key", "mine.pub")[:2] == (
        1,
        "Does not hold: report.html is not the file that was certified.\n",
    )
    for words, said in [
        (("verify", "nowhere", "--key", "mine.pub"), "nowhere cannot be read: No such file"),
        (("verify", "audit", "--key", "mine.key"), "mine.key is no public key"),
        (("verify", "audit"), "--key"),
        (("certify", "nowhere", "--key", "mine.key", "--issuer", "me"), "report.json cannot be read"),
        (("certify", "audit", "--key", "mine.key", "--issuer", "me", "--days", "0"), "1 to 36500 days"),
        (("key", "mine"), "no key is ever replaced"),
        (("key", "nowhere/mine"), "cannot be written"),
        (("sertify",), "Did you mean 'certify'?"),
    ]:
        code, out, err = run(*words)
        assert code == 2, words
        assert said in err
        assert len(err.splitlines()) <= 2
        assert not out


# The examples of RFC 8785, sections 3.2.2 to 3.2.4.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
}


@pytest.mark.parametrize(("bits", "wanted"), NUMBERS.items())
def test_numbers_are_those_of_the_standard(bits: str, wanted: str) -> None:
    import struct

    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(number).decode() == wanted


def test_names_and_texts_are_those_of_the_standard() -> None:
    given = '{"\\u20ac": "Euro Sign", "\\r": "Carriage Return", "\\ufb33": "Hebrew", "1": "One", '
    given += '"\\ud83d\\ude00": "Smiley", "\\u0080": "Control", "\\u00f6": "Latin"}'
    wanted = ["Carriage Return", "One", "Control", "Latin", "Euro Sign", "Smiley", "Hebrew"]
    assert list(json.loads(canonical(json.loads(given))).values()) == wanted
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f"
    assert canonical(text).decode() == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_written_reads_the_same_and_is_written_the_same(value: Any) -> None:
    once = canonical(value)
    assert json.loads(once, parse_int=float) == value
    assert canonical(json.loads(once)) == once


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53 + 1, 10**400, {1: 2}, b"x", "\ud800", object()]
)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(InputError):
        canonical(value)
