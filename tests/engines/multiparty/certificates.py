"""A small authority for tests."""

from __future__ import annotations

import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from varangian.engines.multiparty import Credentials

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


class Authority:
    """An authority that issues a party's credentials, always the same."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._issued("authority", self.key, x509.BasicConstraints(ca=True, path_length=0))
        self.issued = cache(self._credentials)

    def _credentials(self, name: str) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issued(name, key, x509.SubjectAlternativeName([x509.DNSName(name)]))
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Credentials(self.certificate.public_bytes(PEM), private, certificate.public_bytes(PEM))

    def _issued(
        self, name: str, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(extension, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
