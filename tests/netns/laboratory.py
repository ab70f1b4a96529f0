"""Network namespaces joined by wires: a small internet of one's own, gone when the ``with`` ends."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess as Process
from types import TracebackType
from typing import Any

WHOLE = 2**32


class Laboratory:
    """Spaces (machines) that see nothing but the wires between them; needs root on Linux."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.name = f"vg{os.getpid()}n{next(self._numbers)}"
        self.spaces: list[str] = []
        self.copies: list[Process] = []
        self.running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        for copy in self.copies:
            copy.kill()
            copy.join()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", self._full(space)], check=False)

    def space(self, name: str) -> str:
        """Make a machine that forwards what is not for itself."""
        ask("ip", "netns", "add", self._full(name))
        self.spaces.append(name)
        self.ask(name, "ip", "link", "set", "lo", "up")
        for key in ("ip_forward", "fib_multipath_hash_policy"):
            # /proc/sys may be read-only here; a fresh one in the namespace is not.
            self.ask(name, "sh", "-c", f"mount -t proc proc /proc && echo 1 > /proc/sys/net/ipv4/{key}")
        return name

    def wire(self, one: str, other: str, here: str, there: str) -> tuple[str, str]:
        """Join two machines, with an address for each end; return the names of the ends.

        Packets travel one by one, as over a real wire: a queue would count sixty glued ones as one.
        """
        ends = f"{other}-{next(self._numbers)}"[-15:], f"{one}-{next(self._numbers)}"[-15:]
        ask("ip", "-n", self._full(one), "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        ask("ip", "-n", self._full(one), "link", "set", ends[1], "netns", self._full(other))
        for space, end, address in ((one, ends[0], here), (other, ends[1], there)):
            self.ask(space, "ip", "addr", "add", address, "dev", end)
            self.ask(space, "ip", "link", "set", end, "gso_max_size", "1514", "gso_max_segs", "1")
            self.ask(space, "ip", "link", "set", end, "up")
        return ends

    def slow(self, space: str, end: str, rate: str, milliseconds: int = 50) -> None:
        """Let a machine send so much and no more, what is too much waiting in one queue."""
        self.ask(
            space,
            *f"tc qdisc add dev {end} root handle 77: tbf rate {rate}".split(),
            *f"burst 6056 latency {milliseconds}ms".split(),
        )

    def lossy(self, space: str, end: str, share: float) -> None:
        """Lose a share of the packets that arrive at this end, each by a throw of the kernel's dice."""
        dice, below, drop, keep = (
            f"32 0 0 {WHOLE - 4096 + 56}",
            f"53 1 0 {int(share * WHOLE)}",
            "6 0 0 2",
            "6 0 0 0",
        )
        self.ask(space, "tc", "qdisc", "replace", "dev", end, "clsact")
        self.ask(
            space,
            *f"tc filter replace dev {end} ingress pref 1 handle 1 bpf da bytecode".split(),
            f"4,{dice},{below},{drop},{keep}",
        )

    def ask(self, space: str, *command: str) -> str:
        """Run a command on a machine and return what it prints; raises RuntimeError if it fails."""
        return ask("ip", "netns", "exec", self._full(space), *command)

    def python(self, space: str, *arguments: str) -> str:
        """Run Python on a machine."""
        return self.ask(space, sys.executable, *arguments)

    def start(self, space: str, *arguments: str) -> subprocess.Popen[str]:
        """Start Python on a machine; killed at the end."""
        command = ["ip", "netns", "exec", self._full(space), sys.executable, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        return process

    def fork(self, space: str, function: Callable[..., None], *arguments: Any) -> Process:
        """Run a function on a machine, in a copy of this process; killed at the end."""

        def there() -> None:
            with open(f"/var/run/netns/{self._full(space)}", "rb") as handle:
                if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), 0x40000000):
                    raise OSError(ctypes.get_errno(), "setns")
            function(*arguments)

        process = get_context("fork").Process(target=there, daemon=True)
        process.start()
        self.copies.append(process)
        return process

    def _full(self, space: str) -> str:
        return f"{self.name}-{space}"


def ask(*command: str) -> str:
    """Run a command and return what it prints; raises RuntimeError, with its words, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
