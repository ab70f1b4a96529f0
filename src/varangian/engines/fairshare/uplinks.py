"""What is shared, and between whom: uplinks with their rates, and hosts dealt over them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from varangian.errors import ParameterError

Host = IPv4Address | IPv6Address

MOST_HOSTS = 256
"""Hosts that the kernel looks through one by one for every packet."""

UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_SPELLED = re.compile(
    r"(?P<device>[^\s=,/]{1,15})=(?P<rate>[0-9.]+)(?P<unit>[kmg]?bit)(,via=(?P<via>\S+))?", re.I
)


@dataclass(frozen=True)
class Uplink:
    """A device that packets leave through, the bits a second that it carries, and the router behind it.

    Raises      ParameterError

    >>> Uplink.of("eth1=20mbit,via=192.0.2.1")
    Uplink(device='eth1', rate=20000000, via=IPv4Address('192.0.2.1'))
    """

    device: str
    rate: int
    via: Host | None = None

    @classmethod
    def of(cls, spelled: str) -> Uplink:
        """Return the uplink that is spelled DEVICE=RATE or DEVICE=RATE,via=ADDRESS."""
        found = _SPELLED.fullmatch(spelled)
        try:
            rate = int(float(found["rate"]) * UNITS[found["unit"].lower()]) if found else 0
            via = ip_address(found["via"]) if found and found["via"] else None
        except ValueError:
            rate = 0
        if not found or rate < UNITS["kbit"]:
            raise ParameterError(
                f"{spelled!r} is no uplink; spell a device, the rate at which it sends (1kbit or more), and "
                "where there are several uplinks the router behind it: eth1=20mbit,via=192.0.2.1."
            )
        return cls(found["device"], rate, via)


def hosts_of(spelled: Iterable[str]) -> tuple[Host, ...]:
    """Return every host of the addresses and networks, each once. Raises ParameterError.

    >>> [str(host) for host in hosts_of(["10.0.0.0/30", "10.0.0.9"])]
    ['10.0.0.1', '10.0.0.2', '10.0.0.9']
    """
    hosts: dict[Host, None] = {}
    for word in spelled:
        try:
            network = ip_network(word)
        except ValueError as error:
            raise ParameterError(f"--hosts {word}: {error}.") from None
        if network.num_addresses > MOST_HOSTS:
            raise ParameterError(
                f"--hosts {word} holds {network.num_addresses} addresses; at most {MOST_HOSTS} can be told "
                "apart. Name a smaller network, or use CAKE on one uplink, which needs no hosts."
            )
        hosts.update(dict.fromkeys(network.hosts()))
    if len(hosts) > MOST_HOSTS:
        raise ParameterError(f"--hosts names {len(hosts)} hosts; at most {MOST_HOSTS} can be told apart.")
    return tuple(hosts)


def dealt(hosts: Sequence[Host], uplinks: Sequence[Uplink]) -> dict[Uplink, tuple[Host, ...]]:
    """Return the hosts of every uplink, each host on one, so that a host's part is as large on any.

    >>> one, two = Uplink("a", 20), Uplink("b", 10)
    >>> shared = dealt(hosts_of(["10.0.0.0/29"]), [one, two])
    >>> len(shared[one]), len(shared[two])
    (4, 2)
    """
    hands: dict[Uplink, list[Host]] = {uplink: [] for uplink in uplinks}
    for host in hosts:
        hands[max(uplinks, key=lambda uplink: uplink.rate / (len(hands[uplink]) + 1))].append(host)
    return {uplink: tuple(hand) for uplink, hand in hands.items()}
