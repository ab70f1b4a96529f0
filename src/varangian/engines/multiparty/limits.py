"""What one peer may take of a party's time, memory and patience."""

from __future__ import annotations

from dataclasses import dataclass, fields

from varangian.errors import ParameterError

ALIGNMENT = 16
AGREED = ("chunk_bytes", "partial", "piece_bytes", "lossy", "datagram_bytes_per_second")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds for each peer; two parties need the same of those in ``AGREED``.

    With ``partial``, gradients travel in pieces in a random order, and what of one is there at its deadline
    is taken, NaN for the rest. With ``lossy`` they travel in QUIC datagrams instead, to the same address, and
    what is lost on the way is missing; where no datagram comes through, they go as everything else does. With
    ``bulk``, large vectors go over a TCP connection of their own, as private as gRPC and more than twice as
    fast; where none can be made, or one end wants none, and with ``partial`` for gradients, they do not.

    Units       bytes, seconds, counts; rates per second, ``breaches`` per minute, ``lost`` a share
    Raises      ParameterError for what is not positive, or chunks that do not hold whole numbers
    """

    chunk_bytes: int = 1 << 20
    """The most that is sent at once: a gRPC message is not much longer."""
    partial: bool = False
    piece_bytes: int = 1 << 14
    """The chunk of a vector that may arrive in part."""
    lossy: bool = False
    datagram_bytes_per_second: float = 2e6
    """How fast datagrams are sent to a peer, and at most taken from one."""
    grace_seconds: float = 0.001
    """How long datagrams may come later than the word that all were sent: more on links that reorder."""
    lost: float = 0.0
    """The share of its datagrams that a party throws away itself, to try out what a bad link does."""
    bulk: bool = True
    bulk_bytes: int = 1 << 20
    """From how many bytes on a value is large."""
    bulk_port: int = 0
    """Where a party that listens takes these connections: 0 for any port that is free."""
    frame_seconds: float = 30.0
    """How long a value may take from its first chunk to its last."""
    hello_seconds: float = 10.0
    """How long a peer may take to say who it is."""
    waiting: int = 8
    """Values of a peer that wait for the node; then nothing more is read from it but what is sent once."""
    outgoing: int = 256
    """Values that wait to be sent to a peer; then the oldest of a kind is dropped, and repeated later."""
    bytes_per_second: float = 2.0**31
    messages_per_second: float = 1000.0
    """Chunks that are read from a peer."""
    wasted_per_second: float = 100.0
    """Of these, chunks that are of no use: refused, or of a value that was."""
    links_per_second: float = 0.5
    """How often a peer may connect; who does so more often is made to wait, for ``penalty_seconds``."""
    burst_seconds: float = 2.0
    """How long a peer may have saved its rates for."""
    breaches: int = 60
    """What no honest party sends: after so many in a minute the peer is cut off, for ``penalty_seconds``."""
    penalty_seconds: float = 10.0
    backoff_seconds: float = 5.0
    """The longest pause before a peer is dialled again."""
    gossip_seconds: float = 0.5
    """How often a party tells what signed values it has seen."""
    linger_seconds: float = 5.0
    """How long a party that is done tries to send what still waits."""

    def __post_init__(self) -> None:
        if not 0 <= self.lost < 1:
            raise ParameterError(f"Limits(lost={self.lost!r}): lost must be at least 0 and below 1.")
        if not 0 <= self.bulk_port < 1 << 16:
            raise ParameterError(f"Limits(bulk_port={self.bulk_port!r}): bulk_port must be 0, or a port.")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("lost", "bulk_port") and not isinstance(value, bool) and not value > 0:
                raise ParameterError(f"Limits({field.name}={value!r}): {field.name} must be above 0.")
        for name in ("chunk_bytes", "piece_bytes"):
            if getattr(self, name) % ALIGNMENT:
                raise ParameterError(
                    f"Limits({name}={getattr(self, name)}): must be a multiple of {ALIGNMENT}."
                )
