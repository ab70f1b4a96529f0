"""Numbers for Prometheus: what a party knows of itself and of its peers, computed when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from varangian.engines.multiparty.optional import needed
from varangian.errors import DataError

LOOPBACK = "127.0.0.1"


def serve_metrics(port: int, status: Callable[[], Mapping[str, Any]], address: str = LOOPBACK) -> None:
    """Serve the numbers over HTTP on a port of this machine. Raises DataError, MissingExtraError."""
    needed("prometheus_client")
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status))
    try:
        start_http_server(port, address, registry)
    except OSError as error:
        raise DataError(f"No metrics at {address}:{port}: {error.strerror or error}.") from None


class _Collector:
    """What is asked for the numbers."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self.status = status

    def describe(self) -> list[Any]:
        """Return nothing: the numbers are not known beforehand."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the numbers as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        told = self.status()
        party = told["party"]

        def family(
            made: Any, name: str, about: str, labels: list[str], rows: list[tuple[list[str], float]]
        ) -> Any:
            one = made(f"varangian_{name}", about, labels=["party", *labels])
            for values, number in rows:
                one.add_metric([party, *values], number)
            return one

        gauge, counter, peers = GaugeMetricFamily, CounterMetricFamily, told["peers"]
        yield family(gauge, "step", "Steps made", [], [([], told["step"])])
        yield family(gauge, "quorum_seconds", "Median wait for a quorum", [], [([], told["quorum_seconds"])])
        seconds = [([purpose], value) for purpose, value in told["seconds"].items()]
        yield family(counter, "seconds", "Where the time went", ["purpose"], seconds)
        states = {
            "alive": "Whether a peer is connected",
            "bulk": "Whether large vectors have a connection of their own",
            "step": "A peer's last step",
        }
        for name, about in states.items():
            rows = [([peer], float(one[name])) for peer, one in peers.items()]
            yield family(gauge, f"peer_{name}", about, ["peer"], rows)
        for name in ("taken", "sent", "dropped", "bytes_in", "bytes_out", "links"):
            rows = [([peer], float(one[name])) for peer, one in peers.items()]
            yield family(counter, f"peer_{name}", name.replace("_", " "), ["peer"], rows)
        refused = [
            ([peer, why], float(count))
            for peer, one in peers.items()
            for why, count in one["refused"].items()
        ]
        yield family(counter, "peer_refused", "Messages not taken", ["peer", "reason"], refused)
