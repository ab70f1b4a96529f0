"""What to ask of the kernel, step by step, each spelled for people as for the kernel."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from varangian.engines.fairshare.uplinks import Host, Uplink, dealt
from varangian.errors import ParameterError

By = Literal["source", "destination"]

MARK = 0xFA1E
"""The handle of every queue, by which our own are known."""

TABLES = 30_030
"""Number of the first routing table and priority of its rules, before the main one's; an uplink's follow."""

MOST_UPLINKS = 16
OTHERS = 0xFFFE
"""The class of every host that was not named: together, they count as one."""

FIRST = 0x10
SEGMENT = 1514
QUEUED = 0.05
"""Seconds that a host's packets may wait in its queue."""

FIELDS: Mapping[tuple[int, By], int] = {
    (4, "source"): 12,
    (4, "destination"): 16,
    (6, "source"): 8,
    (6, "destination"): 24,
}
"""Where an address stands in a packet."""


@dataclass(frozen=True)
class Step:
    """One request: a command line, and the same as a call of pyroute2's ``method``.

    ``device`` is the device that the call needs the number of, under the name ``index`` or ``oif``.
    """

    line: str
    method: Literal["tc", "rule", "route"]
    device: str | None
    call: Mapping[str, Any] = field(repr=False)


def plan(
    uplinks: Sequence[Uplink], hosts: Sequence[Host] = (), *, by: By = "source", cake: bool = True
) -> tuple[Step, ...]:
    """Return the steps that share uplinks evenly between hosts, whatever each of them opens.

    With CAKE a host needs no name: it is told apart as its packets come. Without, every named host has a
    class of its own in HTB, which lends what is left over in equal parts; who is not named shares one class.
    Over several uplinks every named host is given one of them, so that a flow's packets stay in order.

    Raises ParameterError where hosts or routers are missing.
    """
    _check(uplinks, hosts, cake)
    hands = dealt(hosts, uplinks)
    steps: list[Step] = []
    for uplink, hand in hands.items():
        steps += [_cake(uplink, by)] if cake else _classes(uplink, hand, by)
    if len(uplinks) > 1:
        for version in sorted({host.version for host in hosts}):
            steps.append(_near(version))
        for place, (uplink, hand) in enumerate(hands.items(), start=1):
            steps += _ways(uplink, hand, TABLES + place, by)
    return tuple(steps)


def _check(uplinks: Sequence[Uplink], hosts: Sequence[Host], cake: bool) -> None:
    names = [uplink.device for uplink in uplinks]
    if len(set(names)) < len(names) or not 1 <= len(names) <= MOST_UPLINKS:
        raise ParameterError(
            f"Name 1 to {MOST_UPLINKS} uplinks, each once; {', '.join(names) or 'none'} came."
        )
    if not hosts and (not cake or len(uplinks) > 1):
        why = (
            "over several uplinks every host is given one of them"
            if cake
            else "without CAKE each needs a class"
        )
        raise ParameterError(f"Name the hosts: --hosts 10.0.0.0/28, for instance; {why}.")
    if len(uplinks) > 1 and any(uplink.via is None for uplink in uplinks):
        raise ParameterError(
            "Over several uplinks hosts are routed, which needs the router behind each: "
            "eth1=20mbit,via=192.0.2.1."
        )
    if len(uplinks) > 1 and {host.version for host in hosts} != {u.via.version for u in uplinks if u.via}:
        raise ParameterError("Hosts, and the routers behind the uplinks, must all be IPv4 or all be IPv6.")


def _cake(uplink: Uplink, by: By) -> Step:
    """Return the one step of CAKE, in which no host's packets go first for what they claim to be."""
    mode = "dual-srchost" if by == "source" else "dual-dsthost"
    return Step(
        f"tc qdisc add dev {uplink.device} root handle {MARK:x}: cake bandwidth {uplink.rate}bit "
        f"besteffort {mode}",
        "tc",
        uplink.device,
        {
            "command": "add",
            "kind": "cake",
            "handle": MARK << 16,
            "bandwidth": uplink.rate,
            "diffserv_mode": "besteffort",
            "flow_mode": mode,
        },
    )


def _classes(uplink: Uplink, hosts: Sequence[Host], by: By) -> Iterator[Step]:
    device, root = uplink.device, MARK << 16
    yield Step(
        f"tc qdisc add dev {device} root handle {MARK:x}: htb default {OTHERS:x}",
        "tc",
        device,
        {"command": "add", "kind": "htb", "handle": root, "default": OTHERS},
    )
    yield _class(device, 1, 0, uplink.rate, uplink.rate)
    part = uplink.rate // (len(hosts) + 1)
    places = [*range(FIRST, FIRST + len(hosts)), OTHERS]
    for place in places:
        yield _class(device, place, 1, part, uplink.rate)
        yield _queue(device, place, uplink.rate)
    for place, host in zip(places, hosts, strict=False):
        yield _match(device, place, host, by)


def _class(device: str, place: int, parent: int, rate: int, most: int) -> Step:
    burst, lent = (max(2 * SEGMENT, speed // 8 // 1000) for speed in (rate, most))
    return Step(
        f"tc class add dev {device} parent {MARK:x}:{parent or ''} classid {MARK:x}:{place:x} "
        f"htb rate {rate}bit ceil {most}bit burst {burst} cburst {lent} quantum {SEGMENT}",
        "tc",
        device,
        {
            "command": "add-class",
            "kind": "htb",
            "parent": MARK << 16 | parent,
            "handle": MARK << 16 | place,
            "rate": rate // 8,
            "ceil": most // 8,
            "burst": burst,
            "cburst": lent,
            "quantum": SEGMENT,
        },
    )


def _queue(device: str, place: int, rate: int) -> Step:
    room = max(16, int(rate / 8 * QUEUED / SEGMENT))
    return Step(
        f"tc qdisc add dev {device} parent {MARK:x}:{place:x} pfifo limit {room}",
        "tc",
        device,
        {"command": "add", "kind": "pfifo", "parent": MARK << 16 | place, "limit": room},
    )


def _match(device: str, place: int, host: Host, by: By) -> Step:
    at, words = FIELDS[host.version, by], host.packed
    keys = [f"0x{words[i : i + 4].hex()}/0xffffffff+{at + i}" for i in range(0, len(words), 4)]
    spelled = " ".join(
        f"match u32 {key.partition('/')[0]} 0xffffffff at {key.partition('+')[2]}" for key in keys
    )
    family, number = ("ip", 0x0800) if host.version == 4 else ("ipv6", 0x86DD)
    priority = host.version
    return Step(
        f"tc filter add dev {device} parent {MARK:x}: protocol {family} prio {priority} u32 {spelled} "
        f"flowid {MARK:x}:{place:x}",
        "tc",
        device,
        {
            "command": "add-filter",
            "kind": "u32",
            "parent": MARK << 16,
            "prio": priority,
            "protocol": number,
            "target": MARK << 16 | place,
            "keys": keys,
        },
    )


def _near(version: int) -> Step:
    """Leave to the main table every way that is not the way out."""
    return Step(
        f"ip -{version} rule add priority {TABLES} lookup main suppress_prefixlength 0",
        "rule",
        None,
        {
            "command": "add",
            "family": _family(version),
            "priority": TABLES,
            "table": 254,
            "FRA_SUPPRESS_PREFIXLEN": 0,
        },
    )


def _ways(uplink: Uplink, hosts: Sequence[Host], table: int, by: By) -> Iterator[Step]:
    assert uplink.via is not None
    version = uplink.via.version
    yield Step(
        f"ip -{version} route add default via {uplink.via} dev {uplink.device} table {table} proto static",
        "route",
        uplink.device,
        {
            "command": "add",
            "family": _family(version),
            "dst": "default",
            "gateway": str(uplink.via),
            "table": table,
        },
    )
    word, name = ("from", "src") if by == "source" else ("to", "dst")
    for host in hosts:
        yield Step(
            f"ip -{version} rule add priority {table} {word} {host} lookup {table}",
            "rule",
            None,
            {
                "command": "add",
                "family": _family(version),
                "priority": table,
                "table": table,
                name: str(host),
                f"{name}_len": host.max_prefixlen,
            },
        )


def _family(version: int) -> int:
    return int(socket.AF_INET if version == 4 else socket.AF_INET6)
