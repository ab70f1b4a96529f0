"""A whole cluster on this machine, for trying out: processes that are all gone in the end."""

from __future__ import annotations

import json
import os
import queue
import random
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from varangian.engines.multiparty.directory import Directory
from varangian.engines.multiparty.keys import AUTHORITY, CERTIFICATE, make_keys
from varangian.engines.multiparty.optional import needed
from varangian.engines.multiparty.written import written
from varangian.errors import DataError, RunError

Event = dict[str, Any]
FILE, LOOPBACK = "cluster.toml", "127.0.0.1"
PORTS = range(20_000, 32_000)
PATIENCE = 25.0
"""Seconds that the whole cluster is given to end before it is killed; its nursery gives it a little less."""
SEEN = 2000
"""Characters of a dead party's last words."""


class Cluster:
    """Every party of a directory as a process of this machine; a context that leaves none behind.

    Ports, keys and the folder of checkpoints are chosen where the directory does not say. ``folder`` takes
    the parties' logs; it is made and removed if none is given.

    Raises      MissingExtraError; DataError for folders that cannot be used; ParameterError for an
                experiment that no file can hold
    """

    def __init__(self, directory: Directory, folder: Path | None = None) -> None:
        needed()
        self._temporary = tempfile.TemporaryDirectory(prefix="varangian-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary else folder or Path()
        self.directory = _settled(directory, self.folder)
        self.file = self.folder / FILE
        self.alive: dict[str, int] = {}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._nursery: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Cluster:
        """Start everybody."""
        try:
            self.file.write_text(written(self.directory), encoding="utf-8")
            self._nursery = subprocess.Popen(
                [sys.executable, "-P", "-m", "varangian.engines.multiparty.nursery", str(self.file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(self.folder / "nursery.log").open("wb"),
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for this process, which tells the others
            )
            threading.Thread(target=self._hear, args=(self._nursery,), daemon=True).start()
            self.start(*self.directory.names)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everybody."""
        self.end()
        if self._temporary is not None:
            self._temporary.cleanup()

    def start(self, *names: str) -> None:
        """Start parties, or start them again after they were killed."""
        for name in names:
            self._tell({"start": name})

    def kill(self, *names: str) -> None:
        """Kill parties as a power cut does: they can do nothing about it."""
        for name in names:
            self._tell({"kill": name})

    def events(self, seconds: float | None = None) -> Iterator[Event]:
        """Yield what is heard of the parties, for some seconds, or for ever.

        Raises      DataError, ParameterError for what the parties cannot read
        """
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return
            self._note(event)
            yield event

    def end(self) -> None:
        """Ask everybody to end, wait for it, and kill who does not; their reports are there afterwards."""
        if self._nursery is None:
            return
        nursery, self._nursery = self._nursery, None
        with suppress(BrokenPipeError):
            assert nursery.stdin is not None
            nursery.stdin.close()
        try:
            nursery.wait(PATIENCE)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(nursery.pid, 9)
            nursery.wait()
            raise
        self.alive.clear()

    def report(self, name: str) -> dict[str, Any]:
        """Return what a party told when it ended; nothing if it had no time for it."""
        try:
            report: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return report

    def last_words(self, name: str) -> str:
        """Return the end of what a party complained about."""
        with suppress(OSError):
            return (self.folder / f"{name}.log").read_text(errors="replace").strip()[-SEEN:]
        return ""

    def _tell(self, command: Mapping[str, str]) -> None:
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        with suppress(BrokenPipeError):
            self._nursery.stdin.write(json.dumps(command).encode() + b"\n")
            self._nursery.stdin.flush()

    def _hear(self, nursery: subprocess.Popen[bytes]) -> None:
        assert nursery.stdout is not None
        for line in nursery.stdout:
            self._events.put(json.loads(line))
        self._events.put({"event": "over"})

    def _note(self, event: Event) -> None:
        match event:
            case {"event": "started", "party": name, "pid": pid}:
                self.alive[name] = pid
            case {"event": "ended", "party": name}:
                self.alive.pop(name, None)
            case {"event": "refused", "why": why}:
                raise DataError(why)
            case {"event": "over"} if self._nursery is not None:
                raise RunError(f"The cluster's processes could not be kept: {self.last_words('nursery')}")


def _settled(directory: Directory, folder: Path) -> Directory:
    """Return a directory with all that it left open: ports, keys, checkpoints."""
    missing = [name for name in directory.listening if name not in directory.addresses]
    ports = dict(zip(missing, free_ports(len(missing)), strict=True))
    addresses = {**directory.addresses, **{name: f"{LOOPBACK}:{port}" for name, port in ports.items()}}
    settled = replace(
        directory,
        party=None,
        addresses=addresses,
        keys=directory.keys or folder / "keys",
        checkpoints=directory.checkpoints or folder / "checkpoints",
    )
    assert settled.keys is not None
    if not (settled.keys / f"{AUTHORITY}{CERTIFICATE}").exists():
        make_keys(settled.keys, settled.hosts())
    return settled


def free_ports(count: int) -> list[int]:
    """Return ports of this machine on which nobody listens now.

    They are not of those that the system gives to connections: one of these may be gone before it is used.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(PORTS, len(PORTS)):
            if len(found) == count:
                break
            one = held.enter_context(socket.socket())
            with suppress(OSError):
                one.bind((LOOPBACK, port))
                found.append(port)
    return found


def _environment() -> dict[str, str]:
    """Return this process's environment, one thread each, and the library where this process has it from."""
    one = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(one, "1"), "OMP_WAIT_POLICY": "PASSIVE"}
    source = str(Path(__file__).parents[3])
    if source not in [*site.getsitepackages(), site.getusersitepackages()]:
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment
