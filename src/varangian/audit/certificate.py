"""A signed statement of what an audit found: until when it holds, and of which files, code, data and seeds.

The file is one JSON object in the canonical form of RFC 8785, with an Ed25519 signature over the same object
without its ``signature``. The form leaves no choice, so that every byte of the file is covered.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from varangian.audit.canonical import canonical
from varangian.audit.signing import fingerprint, public_key, secret_key
from varangian.errors import DataError, InputError, ParameterError
from varangian.folders import write_whole

FORMAT = "varangian-certificate/1"
REPORT, CERTIFICATE = "report.json", "certificate.json"
SOUND = ("pass", "warn")
"""The verdicts that can be certified."""
LONGEST = 1 << 24
LATE = timedelta(minutes=10)
"""How much a clock may be late."""
STAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Verified:
    """What a certificate says, and why it does not hold; without a reason, it does."""

    content: Mapping[str, Any]
    reasons: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Tell whether nothing speaks against it."""
        return not self.reasons


def certify(
    folder: Path,
    key: Path,
    *,
    issuer: str,
    claim: str = "",
    days: int = 365,
    now: datetime | None = None,
) -> Path:
    """Sign what the report in a folder found, and return the certificate, ``folder/certificate.json``.

    It covers every file of the folder. The ``claim`` is the report's own summary unless another is given;
    beside it stand the verdict, the scope, and what the report says of versions, seeds, and hashes of code,
    data and updates.

    Raises      DataError for a folder without a report, or a key that is none; ParameterError for a report
                that found no pass, and for days that are none
    """
    if isinstance(days, bool) or not 1 <= days <= 36_500:
        raise ParameterError(f"days = {days} arrived; a certificate holds for 1 to 36500 days.")
    secret = secret_key(key)
    report = _report(folder / REPORT)
    verdict = report["verdict"]
    if verdict["status"] not in SOUND:
        raise ParameterError(f"The report says {verdict['status']}: {verdict['summary']} Nothing to certify.")
    begins = (now or datetime.now(UTC)).astimezone(UTC)
    content: dict[str, Any] = {
        "format": FORMAT,
        "issuer": issuer,
        "key": fingerprint(secret.public_key()),
        "issued": begins.strftime(STAMP),
        "expires": (begins + timedelta(days=days)).strftime(STAMP),
        "claim": claim or verdict["summary"],
        "verdict": verdict["status"],
        "scope": {"subject": report["subject"], "threat_model": report["threat_model"]},
        "provenance": report["provenance"],
        "files": _hashes(folder),
    }
    content["signature"] = base64.b64encode(secret.sign(canonical(content))).decode()
    signed = canonical(content)
    target = folder / CERTIFICATE
    try:
        write_whole(target, lambda stream: stream.write(signed))
        target.chmod(0o644)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}.") from None
    return target


def verify(
    certificate: Path, key: Path, *, updates: Path | None = None, now: datetime | None = None
) -> Verified:
    """Return what a certificate says and whether it holds, by the issuer's public key alone, offline.

    It does not if a byte of it was changed, if it is of another key, not valid yet or no longer, or if a
    file beside it is missing or not the one that was certified. With ``updates``, a folder of recorded
    rounds, those that the audit read are compared, too.

    Raises      DataError for files that cannot be read, and a key that is none
    """
    public = public_key(key)
    path = certificate / CERTIFICATE if certificate.is_dir() else certificate
    try:
        content, signature = _read(path)
    except (InputError, ValueError) as error:
        return Verified({}, (f"{path} is not as it was signed: {error}",))
    wanted, given = content.get("key"), fingerprint(public)
    if wanted != given:
        return Verified(
            content, (f"it was signed with the key {_short(wanted)}, and {key} is {_short(given)}",)
        )
    if not _signed(public, signature, canonical(content)):
        return Verified(content, ("it was changed after it was signed: the signature does not fit",))
    try:
        reasons = _of_time(content, (now or datetime.now(UTC)).astimezone(UTC))
        reasons += _of_files(path.parent, content["files"])
        if updates is not None:
            reasons += _of_files(updates, content["provenance"].get("updates_sha256") or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reasons = [f"its issuer has left out or misspelled something: {error}"]
    return Verified(content, tuple(reasons))


def _report(path: Path) -> dict[str, Any]:
    """Return a report, as far as a certificate speaks of it. Raises DataError."""
    try:
        report = json.loads(_bytes(path))
        verdict = report["verdict"]
        told = verdict["status"], verdict["summary"], report["subject"], report["threat_model"]
        canonical([*told, report["provenance"]])
    except (ValueError, KeyError, TypeError, InputError, RecursionError) as error:
        raise DataError(f"{path} is no report of an audit: {error!r}. Make one: varangian audit.") from None
    return dict(report)


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return what a certificate says, and its signature. Raises DataError, InputError, ValueError."""
    given = _bytes(path)
    try:
        content = json.loads(given)
    except RecursionError:
        raise InputError("it is nested too deep") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"it has no format {FORMAT}")
    if canonical(content) != given:
        raise InputError("it is not in canonical form")
    written = content.pop("signature", None)
    signature = base64.b64decode(written, validate=True) if isinstance(written, str) else b""
    if base64.b64encode(signature).decode() != written:
        raise InputError("it has no signature in canonical form")
    return content, signature


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(content) > LONGEST:
        raise DataError(f"{path} has more than {LONGEST} bytes, and is none of ours.")
    return content


def _signed(public: Any, signature: bytes, said: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, said)
    except InvalidSignature:
        return False
    return True


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder, but for a certificate."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    named = {file.relative_to(folder).as_posix(): file for file in files}
    try:
        return {name: _hash(file) for name, file in named.items() if name != CERTIFICATE}
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror or error}.") from None


def _of_files(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """Say which files are not those that were certified."""
    reasons = []
    for name, wanted in hashes.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            reasons.append(f"{name} lies outside of the folder")
        elif not (folder / path).is_file():
            reasons.append(f"{name} is missing")
        elif _hash(folder / path) != wanted:
            reasons.append(f"{name} is not the file that was certified")
    return reasons


def _of_time(said: Mapping[str, Any], now: datetime) -> list[str]:
    begins, ends = (
        datetime.strptime(said[name], STAMP).replace(tzinfo=UTC) for name in ("issued", "expires")
    )
    if now > ends:
        return [f"it expired on {ends:%Y-%m-%d %H:%M} UTC"]
    if now < begins - LATE:
        return [f"it is not valid before {begins:%Y-%m-%d %H:%M} UTC; is this clock right?"]
    return []


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(mark: Any) -> str:
    """Return the beginning of a fingerprint, of what may be none."""
    return f"{mark:.16}…" if isinstance(mark, str) and mark.isalnum() else "of nobody"
