"""The key of who issues certificates: Ed25519, as PEM files."""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from varangian.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SECRET, PUBLIC = ".key", ".pub"
LONGEST = 1 << 16
MAKE = "A key is made by: varangian audit key NAME."


def make_key(path: Path) -> str:
    """Make ``path.key``, for its owner alone, and ``path.pub``, for everybody; return the key's fingerprint.

    Raises      DataError where one of them exists, since no key is ever replaced, or cannot be written
    """
    needed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    pairs = {
        path.with_name(path.name + SECRET): key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
        path.with_name(path.name + PUBLIC): key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ),
    }
    for file in pairs:
        if file.exists():
            raise DataError(f"{file} exists, and no key is ever replaced. Take another name.")
    for file, content in pairs.items():
        try:
            mode = 0o600 if file.suffix == SECRET else 0o644
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(content)
        except OSError as error:
            raise DataError(f"{file} cannot be written: {error.strerror or error}.") from None
    return fingerprint(key.public_key())


def secret_key(path: Path) -> Ed25519PrivateKey:
    """Return the key with which to sign. Raises DataError."""
    needed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), None)
    except (ValueError, TypeError):
        raise DataError(f"{path} is no private key, or is locked with a password. {MAKE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise DataError(f"{path} is a key of another kind than Ed25519. {MAKE}")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """Return the key with which to verify. Raises DataError."""
    needed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        raise DataError(f"{path} is no public key. Ask the issuer for the file NAME{PUBLIC}.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise DataError(f"{path} is a key of another kind than Ed25519. Ask the issuer for NAME{PUBLIC}.")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of a public key, by which it can be told over the telephone."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def needed() -> None:
    """Refuse to go on without the extra's package. Raises MissingExtraError."""
    if find_spec("cryptography") is None:
        raise MissingExtraError("A signed certificate", "audit")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
