"""What a party shows the others, read and checked before anything is sent."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from varangian.engines.multiparty.identity import Credentials
from varangian.engines.multiparty.keys import AUTHORITY, CERTIFICATE, KEY, read
from varangian.engines.multiparty.optional import needed
from varangian.errors import DataError


@dataclass(frozen=True)
class Paths:
    """Where a party's credentials lie."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> Paths:
        """Return the places in a folder that ``varangian keys`` filled."""
        return cls(
            folder / f"{AUTHORITY}{CERTIFICATE}", folder / f"{name}{CERTIFICATE}", folder / f"{name}{KEY}"
        )


def read_credentials(name: str, paths: Paths) -> Credentials:
    """Return a party's credentials.

    Raises      DataError for files that are missing, not keys, not of one authority, of another party,
                expired, or not valid yet
    """
    needed()
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    authority, certificate, key = (read(path) for path in (paths.authority, paths.certificate, paths.key))
    try:
        signer = x509.load_pem_x509_certificate(authority)
    except ValueError:
        raise DataError(f"{paths.authority} is no certificate.") from None
    try:
        own = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise DataError(f"{paths.certificate} is no certificate.") from None
    try:
        secret = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise DataError(f"{paths.key} is no private key, or is locked with a password.") from None
    if secret.public_key() != own.public_key():
        raise DataError(f"{paths.key} is not the key of {paths.certificate}.")
    try:
        own.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature):
        raise DataError(f"{paths.certificate} was not issued by {paths.authority}.") from None
    names = [str(part.value) for part in own.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if names != [name]:
        raise DataError(f"{paths.certificate} is for {', '.join(names) or 'nobody'}, not for {name}.")
    for path, one in ((paths.authority, signer), (paths.certificate, own)):
        _check_dates(path, one.not_valid_before_utc, one.not_valid_after_utc)
    return Credentials(authority=authority, key=key, certificate=certificate)


def _check_dates(path: Path, begins: datetime.datetime, ends: datetime.datetime) -> None:
    now = datetime.datetime.now(datetime.UTC)
    if now > ends:
        raise DataError(f"{path} expired on {ends:%Y-%m-%d %H:%M} UTC. Make new keys: varangian keys.")
    if now < begins:
        raise DataError(f"{path} is not valid before {begins:%Y-%m-%d %H:%M} UTC. Is this clock right?")
