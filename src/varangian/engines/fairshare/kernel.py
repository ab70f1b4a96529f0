"""The kernel's side: set steps up, say what stands, take it away again; over netlink, by pyroute2."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from varangian.engines.fairshare.plan import FIRST, MARK, MOST_UPLINKS, OTHERS, TABLES, By, Step, plan
from varangian.engines.fairshare.uplinks import Host, Uplink
from varangian.errors import KernelError, MissingExtraError

FAMILIES = (2, 10)
"""Of IPv4 and IPv6."""


@dataclass(frozen=True)
class Standing:
    """One queue of ours as it stands: where, of what kind, and the bytes and packets it has seen."""

    device: str
    kind: str
    place: str
    bytes: int
    dropped: int


class Kernel:
    """The queues and ways of this network namespace, for a ``with``. Raises MissingExtraError."""

    def __init__(self) -> None:
        try:
            from pyroute2 import IPRoute
        except ImportError:
            raise MissingExtraError("varangian fairshare", "fairshare") from None
        self._netlink: Any = IPRoute()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._netlink.close()

    def share(
        self, uplinks: Sequence[Uplink], hosts: Sequence[Host], *, by: By = "source", cake: bool | None = None
    ) -> str:
        """Share the uplinks, whatever stood of ours before; return which queue it was done with.

        ``cake`` is whether with CAKE; None means where the kernel has it. What half a set-up leaves is
        taken away. Raises KernelError.
        """
        devices = [uplink.device for uplink in uplinks]
        attempts = {True: ["cake"], False: ["htb"], None: ["cake", "htb"]}[cake]
        steps = {name: plan(uplinks, hosts, by=by, cake=name == "cake") for name in attempts[:1]}
        self.remove(devices)
        for name in attempts:
            try:
                self._do(steps.get(name) or plan(uplinks, hosts, by=by, cake=False))
            except KernelError as error:
                self.remove(devices)
                if name == attempts[-1] or error.errno != errno.ENOENT:
                    raise
            except BaseException:
                self.remove(devices)
                raise
            else:
                return name
        raise AssertionError(attempts)

    def remove(self, devices: Sequence[str]) -> None:
        """Take away what of ours stands on the devices, and all our ways; leave what is not ours.

        Raises KernelError where a device is not there, or carries a queue that somebody else chose.
        """
        for device in devices:
            number = self._number(device)
            root = self._root(number)
            if root is not None and root["handle"] == MARK << 16:
                with _asked(f"remove the queue of {device}"):
                    self._netlink.tc("del", index=number, handle=0, parent=0xFFFFFFFF)
            elif root is not None and root["handle"] and not _own_choice(root):
                kind = root.get_attr("TCA_KIND")
                raise KernelError(
                    errno.EBUSY,
                    f"{device} has a queue that is not ours, {kind} {root['handle'] >> 16:x}:. Remove it "
                    f"first, if you may: tc qdisc del dev {device} root.",
                )
        ours = range(TABLES, TABLES + MOST_UPLINKS + 1)
        with _asked("remove the ways"):
            for family in FAMILIES:
                for rule in list(self._netlink.get_rules(family=family)):
                    if rule.get_attr("FRA_PRIORITY") in ours and rule.get_attr("FRA_TABLE") in (*ours, 254):
                        self._netlink.rule("del", family=family, priority=rule.get_attr("FRA_PRIORITY"))
                for route in list(self._netlink.get_routes(family=family)):
                    if route.get_attr("RTA_TABLE") in ours:
                        self._netlink.route("del", **_key(route, family))

    def standing(self, devices: Sequence[str]) -> Iterator[Standing]:
        """Yield what of ours stands on the devices, a host's class by its place among those dealt."""
        for device in devices:
            number = self._number(device)
            root = self._root(number)
            if root is None or root["handle"] != MARK << 16:
                continue
            kind = root.get_attr("TCA_KIND")
            yield Standing(device, kind, "all", *_seen(root))
            classes = self._netlink.get_classes(number) if kind == "htb" else ()
            for place, one in sorted((one["handle"] & 0xFFFF, one) for one in classes):
                if place >= FIRST:
                    yield Standing(device, kind, _called(place), *_seen(one))

    def _do(self, steps: Sequence[Step]) -> None:
        for step in steps:
            call = dict(step.call)
            if step.device is not None:
                call["oif" if step.method == "route" else "index"] = self._number(step.device)
            with _asked(step.line):
                getattr(self._netlink, step.method)(**call)

    def _number(self, device: str) -> int:
        with _asked(f"find {device}"):
            found = self._netlink.link_lookup(ifname=device)
        if not found:
            raise KernelError(errno.ENODEV, f"There is no device called {device!r}; ip link lists them.")
        return int(found[0])

    def _root(self, number: int) -> Any:
        return next((q for q in self._netlink.get_qdiscs(number) if q["parent"] == 0xFFFFFFFF), None)


def _called(place: int) -> str:
    return "others" if place == OTHERS else f"host {place - FIRST + 1}"


def _own_choice(root: Any) -> bool:
    """Tell whether the kernel has put this queue there by itself."""
    return root["handle"] == 0 or root.get_attr("TCA_KIND") in ("noqueue", "mq")


def _seen(queue: Any) -> tuple[int, int]:
    stats = queue.get_attr("TCA_STATS2")
    basic, waiting = stats.get_attr("TCA_STATS_BASIC"), stats.get_attr("TCA_STATS_QUEUE")
    return int(basic["bytes"]), int(waiting["drops"])


def _key(route: Any, family: int) -> dict[str, Any]:
    return {
        "family": family,
        "dst": "default",
        "table": route.get_attr("RTA_TABLE"),
        "oif": route.get_attr("RTA_OIF"),
    }


@contextmanager
def _asked(what: str) -> Iterator[None]:
    """Say in our own words what the kernel refuses. Raises KernelError."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except (NetlinkError, PermissionError) as error:
        code = int(getattr(error, "code", 0) or error.errno or errno.EIO)
        if code in (errno.EPERM, errno.EACCES):
            raise KernelError(
                code,
                "Only the administrator of the network may share it: run this as root, or with "
                f"CAP_NET_ADMIN. --dry-run shows what it would do. Refused: {what}.",
            ) from None
        raise KernelError(code, f"The kernel refused ({os.strerror(code)}): {what}.") from None
