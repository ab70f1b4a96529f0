"""A small certificate authority: names -> a key and a certificate for each party."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varangian.engines.multiparty.optional import needed
from varangian.errors import DataError, ParameterError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY, CERTIFICATE, KEY = "authority", ".crt", ".key"
DAYS = 365
SKEW = datetime.timedelta(minutes=10)
"""How much before now certificates begin, for parties whose clocks are late."""


def make_keys(folder: Path, parties: Mapping[str, Sequence[str]], days: int = DAYS) -> datetime.datetime:
    """Make an authority, and a key and a certificate for each party; return until when they hold.

    ``folder/authority.crt`` is for everybody, ``NAME.crt`` and ``NAME.key`` are for the party of that name,
    and ``authority.key`` is for whoever admits parties: who has it can be anybody. ``parties`` gives each
    one's hosts, names or addresses; who only dials has none. ECDSA on P-256, all files 0600.

    Raises      ParameterError for names that are none; DataError for a folder that has an authority already,
                or cannot be written
    """
    _check(parties, days)
    if (folder / f"{AUTHORITY}{KEY}").exists() or (folder / f"{AUTHORITY}{CERTIFICATE}").exists():
        raise DataError(
            f"{folder} has an authority already. Name another folder, or add a party to this one: "
            f"varangian keys add {folder} NAME."
        )
    needed()
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _issue(AUTHORITY, key, (), days, None)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    _write(folder, AUTHORITY, key, certificate)
    _admit(folder, parties, days, (certificate, key))
    return certificate.not_valid_after_utc


def add_keys(folder: Path, parties: Mapping[str, Sequence[str]], days: int = DAYS) -> datetime.datetime:
    """Make a key and a certificate for more parties, by the authority that a folder holds.

    They hold no longer than the authority's own. Raises ParameterError, DataError.
    """
    _check(parties, days)
    needed()
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    certificate_path, key_path = folder / f"{AUTHORITY}{CERTIFICATE}", folder / f"{AUTHORITY}{KEY}"
    try:
        certificate = x509.load_pem_x509_certificate(read(certificate_path))
        key = load_pem_private_key(read(key_path), None)
    except ValueError:
        raise DataError(f"{folder} holds no authority that can be read. Make one: varangian keys.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise DataError(f"{key_path} is not the key of {certificate_path}.")
    for name in parties:
        for path in (folder / f"{name}{CERTIFICATE}", folder / f"{name}{KEY}"):
            if path.exists():
                raise DataError(
                    f"{path} exists, and no key is ever replaced. Remove it, or take another name."
                )
    if certificate.not_valid_after_utc <= _now():
        raise DataError(f"{certificate_path} has expired, on {certificate.not_valid_after_utc:%Y-%m-%d}.")
    return _admit(folder, parties, days, (certificate, key))


def read(path: Path) -> bytes:
    """Return what a file holds. Raises DataError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _admit(
    folder: Path,
    parties: Mapping[str, Sequence[str]],
    days: int,
    issuer: tuple[x509.Certificate, EllipticCurvePrivateKey],
) -> datetime.datetime:
    from cryptography.hazmat.primitives.asymmetric import ec

    until = issuer[0].not_valid_after_utc
    for name, hosts in parties.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue(name, key, hosts, days, issuer)
        _write(folder, name, key, certificate)
        until = min(until, certificate.not_valid_after_utc)
    return until


def _issue(
    name: str,
    key: EllipticCurvePrivateKey,
    hosts: Sequence[str],
    days: int,
    issuer: tuple[x509.Certificate, EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """Return a certificate of a name, signed by an issuer, or by itself for an authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signing = issuer or (None, key)
    until = _now() + datetime.timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - SKEW)
        .not_valid_after(min(until, signer.not_valid_after_utc) if signer else until)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None if issuer else 0), True)
        .add_extension(_usage(issuer is None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False)
    )
    if issuer is not None:
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        names = [x509.DNSName(name), *map(_general, hosts)]
        made = made.add_extension(x509.SubjectAlternativeName(names), False)
        made = made.add_extension(x509.ExtendedKeyUsage(both), False)
    return made.sign(signing, hashes.SHA256())


def _usage(authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    signs = {"key_cert_sign": authority, "crl_sign": authority, "digital_signature": not authority}
    never = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return x509.KeyUsage(**signs, **dict.fromkeys((*never, "encipher_only", "decipher_only"), False))


def _general(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(folder: Path, name: str, key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    """Write both files; what is there stays as it is."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pairs = ((KEY, secret), (CERTIFICATE, certificate.public_bytes(Encoding.PEM)))
    for ending, content in pairs:
        path = folder / f"{name}{ending}"
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(content)
        except FileExistsError:
            raise DataError(f"{path} exists, and no key is ever replaced. Name another folder.") from None
        except OSError as error:
            raise _unwritable(path, error) from None


def _check(parties: Mapping[str, Sequence[str]], days: int) -> None:
    if not parties:
        raise ParameterError("There is no party to make keys for. Name a cluster's file, or parties.")
    if days < 1:
        raise ParameterError(f"Keys that hold for {days} days are of no use; --days must be at least 1.")
    for name, hosts in parties.items():
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) or name == AUTHORITY:
            raise ParameterError(f"{name!r} is no name for a party: take small letters, digits and hyphens.")
        for host in hosts:
            if not re.fullmatch(r"[0-9A-Za-z.:-]{1,253}", host):
                raise ParameterError(f"{name}={host}: {host!r} is no name or address of a machine.")


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be written: {error.strerror or error}.")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
