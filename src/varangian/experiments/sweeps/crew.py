"""Worker processes: started, spoken to, listened to, and gone when they are to go."""

from __future__ import annotations

import json
import os
import queue
import signal
import site
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import varangian

Event = dict[str, Any]
Events = queue.SimpleQueue[tuple["Worker", Event | None]]

PATIENCE = 10.0
"""Seconds that a worker is given to end before it is killed."""
SEEN = 2000
"""Characters of a dead worker's last words."""


@dataclass(eq=False)
class Task:
    """A batch to begin or to resume, and what is known of how it goes.

    ``alone`` is the run being done by itself, ``held`` tells that another process had the batch when it was
    asked for, ``deaths`` how many workers died of it.
    """

    command: dict[str, Any]
    batch: str | None = None
    alone: str | None = None
    held: bool = False
    deaths: int = 0


class Worker:
    """A process of one thread; ``task`` is what it was told to do, None while it has nothing to do."""

    def __init__(self, events: Events) -> None:
        self.task: Task | None = None
        self.ready = False
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has died
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "varangian.experiments.sweeps.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=_environment(),
            text=True,
            process_group=0,  # Ctrl-C in a terminal is for the driver
        )
        threading.Thread(target=self._hear, args=(events,), daemon=True).start()

    def tell(self, command: dict[str, Any]) -> None:
        """Give a command; a process that is dead is heard of as such."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{json.dumps(command)}\n")
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """Have the process end at once."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def see_off(self) -> None:
        """Return when the process has ended."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def obituary(self) -> str:
        """Return how the process ended, and its last words."""
        code = self._process.wait()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        hint = "; the system kills so where memory runs out" if code == -signal.SIGKILL else ""
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip()[-SEEN:]
        return f"its process died ({how}{hint})" + (f": {words}" if words else "")

    def _hear(self, events: Events) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            events.put((self, json.loads(line)))
        events.put((self, None))


class Crew:
    """Workers that are started as they are needed, ``jobs`` at most; a context that leaves none behind."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._events: Events = queue.SimpleQueue()
        self.workers: list[Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.dismiss()
        for worker in self.workers:
            worker.see_off()

    def idle(self) -> Worker | None:
        """Return a worker with nothing to do, a new one if there may be more; else None."""
        for worker in self.workers:
            if worker.task is None:
                return worker
        if len(self.workers) >= self.jobs:
            return None
        self.workers.append(self.hire(self._events))
        return self.workers[-1]

    def hire(self, events: Events) -> Worker:
        """Return a new worker."""
        return Worker(events)

    def busy(self) -> bool:
        """Tell whether anybody works."""
        return any(worker.task is not None for worker in self.workers)

    def events(self) -> Iterator[tuple[Worker, Event | None]]:
        """Yield the next event, waiting for it, and all that came meanwhile; None is a worker's death."""
        yield self._events.get()
        while not self._events.empty():
            yield self._events.get()

    def bury(self, worker: Worker) -> str:
        """Take a dead worker out, and return how it ended."""
        self.workers.remove(worker)
        return worker.obituary()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """Return this process's environment, one thread each, and the library where this process has it from."""
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment = {**os.environ, **single, "PYTHONIOENCODING": "utf-8"}
    source = str(Path(varangian.__file__).parent.parent)
    if source not in [*site.getsitepackages(), site.getusersitepackages()]:
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment
