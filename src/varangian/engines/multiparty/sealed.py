"""Bytes beside a stream that both ends trust: records which nobody else can read, change, repeat or move.

As DTLS keys SRTP (RFC 5764), the mutually authenticated stream keys a connection that has no identity of its
own: each end says 32 random bytes there, and both derive the keys from all of them, so that the connection's
owner is the certificate's owner, and no end alone can bring back a key that was used before. There is one key
for each direction of each connection. A record is under AES-256-GCM; its nonce is its number, which only goes
up (the deterministic construction of NIST SP 800-38D). Bound to it are the stream, the number, whether it is
the last of its value, and its length (STREAM: Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015), so that
what is cut off, exchanged, sent twice or taken from elsewhere does not open. After ``MOST`` records, which
leaves an advantage of less than 2^-60 to who collects them, a key is used no more.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

RECORD = 1 << 19
"""Bytes of a value in one record: several processors share a vector, and a record stays in the cache."""
TAG, TOKEN, SECRET = 16, 32, 32
MOST = 1 << 19
NONCE = 12
_BOUND = struct.Struct("<QBI")


class ForgedError(ConnectionError):
    """A record that was not sealed for this place, or a key that has seen enough."""


class Seal:
    """One direction of one connection: records sealed, or opened, in the order of their numbers."""

    def __init__(self, key: bytes, stream: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher, self._stream, self.index = AESGCM(key), stream, 0
        self._room = memoryview(bytearray(RECORD + TAG))

    def room(self, size: int) -> memoryview:
        """Return memory for the sealed record of so many bytes; the next record takes it again."""
        return self._room[: size + TAG]

    def lasts(self, records: int) -> bool:
        """Tell whether the key may be used for so many records more."""
        return self.index + records <= MOST

    def seal(self, data: memoryview, *, last: bool) -> memoryview:
        """Return a record's sealed bytes, in the room for it."""
        out, (nonce, bound) = self.room(len(data)), self._next(len(data), last)
        self._cipher.encrypt_into(nonce, data, bound, out)
        return out

    def open(self, sealed: memoryview, out: memoryview, *, last: bool) -> None:
        """Open a record to where its bytes belong. Raises ForgedError."""
        from cryptography.exceptions import InvalidTag

        nonce, bound = self._next(len(out), last)
        try:
            self._cipher.decrypt_into(nonce, sealed, bound, out)
        except InvalidTag as error:
            raise ForgedError("a record that does not open") from error

    def skip(self) -> None:
        """Leave a record closed."""
        self.index += 1

    def _next(self, size: int, last: bool) -> tuple[bytes, bytes]:
        if not self.lasts(1):
            raise ForgedError("a key that has seen enough")
        index, self.index = self.index, self.index + 1
        return index.to_bytes(NONCE, "big"), self._stream + _BOUND.pack(index, last, size)


class Seals(NamedTuple):
    """An end's two directions."""

    out: Seal
    into: Seal


def derive(dialler: bytes, listener: bytes, token: bytes, *, dialled: bool) -> Seals:
    """Return the seals of the end that dialled, or of the other, from what both said and the token shown."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    keys = HKDF(SHA256(), 64, salt=token, info=b"varangian bulk 1").derive(dialler + listener)
    there, back = Seal(keys[:32], token + b">"), Seal(keys[32:], token + b"<")
    return Seals(there, back) if dialled else Seals(back, there)


def records(total: int) -> int:
    """Return how many records a value of ``total`` bytes takes; an empty one takes one."""
    return max(1, -(-total // RECORD))
