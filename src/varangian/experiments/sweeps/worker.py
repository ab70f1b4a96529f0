"""A process that works on batches: commands come in on stdin, events go out on stdout, a line of JSON each.

It ends when stdin does, at once: a driver that was killed leaves nobody behind. No value is pickled.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

import torch

from varangian.experiments.sweeps.orders import obey


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    torch.set_num_threads(1)
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing that prints may garble the events
    commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()
    tell = _teller(events)
    tell({"event": "ready"})
    while True:
        obey(commands.get(), tell)


def _listen(commands: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        commands.put(json.loads(line))
    os._exit(0)  # whatever is being worked on is resumed from its checkpoint


def _teller(events: IO[str]) -> Callable[[dict[str, Any]], None]:
    def tell(event: dict[str, Any]) -> None:
        try:
            events.write(f"{json.dumps(event)}\n")
            events.flush()
        except BrokenPipeError:
            os._exit(0)

    return tell


if __name__ == "__main__":
    main()
