"""Who a party is: a certificate from an authority that all parties know, and what is signed with its key."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from varangian.errors import MissingExtraError
from varangian.protocols import Body, Topic

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

DIGEST = 32
_STATEMENT = struct.Struct("<qqi")


class IdentityError(ValueError):
    """A certificate that does not make its bearer what it claims to be."""


@dataclass(frozen=True)
class Credentials:
    """A party's own: the authority's certificate, its key and its certificate, all as PEM.

    The certificate carries the party's name as common name and as DNS name. Keys are on an elliptic curve.
    """

    authority: bytes
    key: bytes = field(repr=False)
    certificate: bytes

    def sign(self, statement: bytes) -> bytes:
        """Return a signature of at most 72 bytes."""
        return self._private.sign(statement, *_algorithm())  # type: ignore[no-any-return]

    def public(self, certificate: bytes, name: str) -> Any:
        """Return the key of a party's certificate. Raises IdentityError if it is not that party's."""
        from cryptography.exceptions import InvalidSignature

        try:
            theirs = _x509().load_pem_x509_certificate(certificate)
            theirs.verify_directly_issued_by(self._authority)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise IdentityError("not a certificate of this authority") from error
        if name_in(theirs) != name:
            raise IdentityError(f"a certificate of {name_in(theirs)}, not of {name}")
        return theirs.public_key()

    @cached_property
    def _authority(self) -> Certificate:
        return _x509().load_pem_x509_certificate(self.authority)  # type: ignore[no-any-return]

    @cached_property
    def _private(self) -> Any:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        return load_pem_private_key(self.key, None)


def name_in(certificate: Certificate) -> str:
    """Return the common name in a certificate, or an empty one."""
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def digest(body: Body) -> bytes:
    """Return the SHA-256 of a value."""
    return hashlib.sha256(np.ascontiguousarray(body).data).digest()


def statement(run: str, signer: str, topic: Topic, sha256: bytes) -> bytes:
    """Return what a party signs: that in this run it says the value with this digest on a topic."""
    words = "\0".join(("varangian", run, signer, topic.kind, ""))
    return words.encode() + _STATEMENT.pack(topic.step, topic.round, topic.subject) + sha256


def holds(public: Any, signature: bytes, said: bytes) -> bool:
    """Tell whether a signature is of a statement, by the owner of a key."""
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, said, *_algorithm())
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True)
class Equivocation:
    """Two different values on one topic, both signed: whoever knows the signer's certificate can check it."""

    signer: str
    topic: Topic
    digests: tuple[bytes, bytes]
    signatures: tuple[bytes, bytes]


class Witness:
    """Remember what each party signed last, and notice when it signed two things on one topic."""

    def __init__(self, run: str, names: Mapping[int, str], window: int) -> None:
        self.run, self.names, self.window = run, dict(names), window
        self.keys: dict[int, Any] = {}
        self.evidence: dict[int, Equivocation] = {}
        self._seen: dict[tuple[int, str], dict[Topic, bytes]] = {}

    def saw(self, signer: int, topic: Topic, proof: bytes) -> bool | None:
        """Take a signed digest from anyone: True if it is news, None if it is known, False if it is false."""
        sha256, signature = proof[:DIGEST], proof[DIGEST:]
        seen = self._seen.setdefault((signer, topic.kind), {})
        known = seen.get(topic)
        if known is not None and known[:DIGEST] == sha256:
            return None
        if known is None and len(seen) >= self.window and topic < min(seen):
            return None
        said = statement(self.run, self.names.get(signer, ""), topic, sha256)
        if signer not in self.keys or not holds(self.keys[signer], signature, said):
            return False
        if known is None:
            seen[topic] = proof
            if len(seen) > self.window:
                del seen[min(seen)]
            return True
        self.evidence.setdefault(
            signer,
            Equivocation(self.names[signer], topic, (known[:DIGEST], sha256), (known[DIGEST:], signature)),
        )
        return True


def _x509() -> Any:
    try:
        from cryptography import x509
    except ImportError as error:
        raise MissingExtraError("The engine multiparty", "multiparty") from error
    return x509


def _algorithm() -> tuple[Any]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    return (ECDSA(hashes.SHA256()),)
