"""What one peer may take of a party's time, memory and patience."""

from __future__ import annotations

from dataclasses import dataclass, fields

from varangian.errors import ParameterError

ALIGNMENT = 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds for each peer; two parties need the same ``chunk_bytes``, ``partial`` and ``piece_bytes``.

    With ``partial``, vectors that need not be told to all alike travel in pieces in a random order, and what
    of one is there at its deadline is taken, NaN for the rest.

    Units       bytes, seconds, counts; rates per second, ``breaches`` per minute
    Raises      ParameterError for what is not positive, or chunks that do not hold whole numbers
    """

    chunk_bytes: int = 1 << 20
    """The most that is sent at once: a gRPC message is not much longer."""
    partial: bool = False
    piece_bytes: int = 1 << 14
    """The chunk of a vector that may arrive in part."""
    frame_seconds: float = 30.0
    """How long a value may take from its first chunk to its last."""
    hello_seconds: float = 10.0
    """How long a peer may take to say who it is."""
    waiting: int = 8
    """Values of a peer that wait for the node; then nothing more is read from it."""
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
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool) and not value > 0:
                raise ParameterError(f"Limits({field.name}={value!r}): {field.name} must be above 0.")
        for name in ("chunk_bytes", "piece_bytes"):
            if getattr(self, name) % ALIGNMENT:
                raise ParameterError(
                    f"Limits({name}={getattr(self, name)}): must be a multiple of {ALIGNMENT}."
                )
