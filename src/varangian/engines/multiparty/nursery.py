"""The process from which those of a local cluster are forked: each has the data from the start.

It speaks lines of JSON: ``{"start": NAME}`` and ``{"kill": NAME}`` come in, what the parties say goes out.
When its input ends, so do its parties; when it dies itself, they notice.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from varangian.engines.multiparty.directory import Directory, read_directory
from varangian.engines.world import World
from varangian.errors import VarangianError

PATIENCE = 20.0
"""Seconds that parties are given to end before they are killed."""
FAILED, REFUSED = 1, 2
MOST = 4096
"""Bytes up to which lines of several processes do not mix."""


class Nursery:
    """Parties that are processes, by name."""

    def __init__(self, directory: Directory, folder: Path) -> None:
        self.directory, self.folder = directory, folder
        self.world = World.of(directory.experiment)
        self.running: dict[int, str] = {}
        self._rung, self._ring = os.pipe()
        self._lifeline, self._held = os.pipe()
        for end in (self._rung, self._ring):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._ring)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def work(self) -> None:
        """Obey until the input ends, and leave nobody behind."""
        rest = b""
        say({"event": "ready"})
        try:
            while True:
                ready, _, _ = select.select([0, self._rung], [], [])
                if self._rung in ready:
                    self._bury()
                if 0 in ready:
                    read = os.read(0, 1 << 16)
                    if not read:
                        return
                    *lines, rest = (rest + read).split(b"\n")
                    for line in lines:
                        self._obey(json.loads(line))
        finally:
            self._end()

    def _obey(self, command: Mapping[str, Any]) -> None:
        if "start" in command:
            self._start(command["start"])
        for pid, name in self.running.items():
            if name == command.get("kill"):
                os.kill(pid, signal.SIGKILL)

    def _start(self, name: str) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(name)
        self.running[pid] = name
        say({"event": "started", "party": name, "pid": pid})

    def _become(self, name: str) -> NoReturn:
        """Be a party from here on."""
        code = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._held, self._rung, self._ring):
                os.close(end)
            log = os.open(self.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 2)
            from varangian.engines.multiparty.party import Party

            party = Party(self.directory, name, self.world, say=say, stays=True)
            code = party.go(self._lifeline, report=self.folder / f"{name}.json")
        except VarangianError as error:
            print(error, file=sys.stderr)
            code = REFUSED
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        """Take note of those who have ended."""
        while select.select([self._rung], [], [], 0)[0]:
            os.read(self._rung, 1 << 10)
        for pid in list(self.running):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                code = os.waitstatus_to_exitcode(status)
                say({"event": "ended", "party": self.running.pop(pid), "code": code})

    def _end(self) -> None:
        """Ask everybody to end; kill who does not."""
        for pid in self.running:
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while self.running and (left := end - time.monotonic()) > 0:
            select.select([self._rung], [], [], left)
            self._bury()
        for pid in self.running:
            os.kill(pid, signal.SIGKILL)
        for pid in self.running:
            os.waitpid(pid, 0)


def say(event: Mapping[str, Any]) -> None:
    """Write a line at once, whole; whoever listened may have gone."""
    line = json.dumps(event, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
    assert len(line) <= MOST
    try:
        os.write(1, line)
    except BrokenPipeError:
        return


def main(path: str) -> int:
    """Start from a cluster's file; its folder takes the parties' logs and reports."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        nursery = Nursery(read_directory(Path(path)), Path(path).parent)
    except VarangianError as error:
        say({"event": "refused", "why": str(error)[: MOST // 8]})
        return REFUSED
    nursery.work()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
