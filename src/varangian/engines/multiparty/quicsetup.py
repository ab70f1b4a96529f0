"""How a QUIC connection is set up: both ends certified, both at a steady rate."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

from varangian.engines.multiparty.datagrams import PIECE
from varangian.errors import MissingExtraError

PROTOCOL = "varangian/1"
PACKET = PIECE + 104
IDLE = 30.0
"""Seconds without a sign of life after which a connection is over."""


@runtime_checkable
class Certified(Protocol):
    """An authority's certificate, a key and its certificate, as PEM."""

    @property
    def authority(self) -> bytes:
        """Return the authority's certificate."""

    @property
    def key(self) -> bytes:
        """Return the key."""

    @property
    def certificate(self) -> bytes:
        """Return what the authority says of the key."""


class Steady:
    """Take no loss for a sign of congestion: how fast to send was agreed, and that rate is kept."""

    ssthresh = None

    def __init__(self, *, max_datagram_size: int) -> None:
        self.bytes_in_flight, self.congestion_window = 0, 1 << 40

    def on_packet_sent(self, *, packet: Any) -> None:
        """Count it."""
        self.bytes_in_flight += packet.sent_bytes

    def on_packet_acked(self, *, now: float, packet: Any) -> None:
        """Count it."""
        self.bytes_in_flight -= packet.sent_bytes

    def on_packets_expired(self, *, packets: Iterable[Any]) -> None:
        """Count them."""
        self.bytes_in_flight -= sum(packet.sent_bytes for packet in packets)

    def on_packets_lost(self, *, now: float, packets: Iterable[Any]) -> None:
        """Count them, and go on as before."""
        self.on_packets_expired(packets=packets)

    def on_persistent_congestion(self) -> None:
        """Go on as before."""

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        """Go on as before."""


def needed() -> None:
    """Refuse to go on without the extra's packages. Raises MissingExtraError."""
    if find_spec("aioquic") is None or find_spec("cryptography") is None:
        raise MissingExtraError("Vectors in datagrams", "quic")


def configured(credentials: Certified, *, is_client: bool) -> Any:
    """Return how an end talks. Raises MissingExtraError."""
    needed()
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.congestion.base import register_congestion_control
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    steady: Any = Steady
    register_congestion_control("steady", steady)
    configuration = QuicConfiguration(
        alpn_protocols=[PROTOCOL],
        cadata=credentials.authority,
        congestion_control_algorithm="steady",
        idle_timeout=IDLE,
        is_client=is_client,
        max_datagram_frame_size=PACKET,
        max_datagram_size=PACKET,
        verify_mode=ssl.CERT_REQUIRED,
    )
    configuration.certificate = x509.load_pem_x509_certificate(credentials.certificate)
    configuration.private_key = load_pem_private_key(credentials.key, None)
    return configuration


def ask_for_certificate(quic: Any) -> None:
    """Let a connection ask its client for a certificate, which aioquic can do but has no option for."""
    initialize = quic._initialize

    def asking(peer_cid: bytes) -> None:
        initialize(peer_cid)
        quic.tls._request_client_certificate = True

    quic._initialize = asking
