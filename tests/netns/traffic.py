"""Traffic for the laboratory, as a program: hosts that send all they can, and a server that counts."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import threading
import time
from collections import Counter

WARM_UP = 2.0
PIECE = bytes(65536)


def receive(port: int, seconds: float) -> None:
    """Print how many bytes came from each address in so many seconds after the warm-up."""
    choose = selectors.DefaultSelector()
    listener = socket.create_server(("0.0.0.0", port), backlog=128)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", port))
    for one in (listener, datagrams):
        one.setblocking(False)
        choose.register(one, selectors.EVENT_READ)
    print("ready", flush=True)
    came: Counter[str] = Counter()
    start: float | None = None
    while start is None or time.monotonic() < start + WARM_UP + seconds:
        for key, _ in choose.select(0.1):
            if key.fileobj is listener:
                start = start or time.monotonic()
                connection, (address, _) = listener.accept()
                connection.setblocking(False)
                choose.register(connection, selectors.EVENT_READ, address)
            elif key.fileobj is datagrams:
                datagrams.recv(65536)
            else:
                count = len(key.fileobj.recv(262144))  # type: ignore[union-attr]
                if start is not None and time.monotonic() > start + WARM_UP:
                    came[key.data] += count
    print(json.dumps({address: 8 * count / seconds for address, count in came.items()}), flush=True)


def send(server: str, port: int, connections: int, datagrams: int) -> None:
    """Send without end over so many connections, and so many datagrams a second besides."""

    def push(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(PIECE)

    for _ in range(connections):
        threading.Thread(target=push, args=[socket.create_connection((server, port))], daemon=True).start()
    loose = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        time.sleep(0.01)
        for _ in range(datagrams // 100):
            loose.sendto(PIECE[:1400], (server, port))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "receive":
        receive(int(words[1]), float(words[2]))
    else:
        send(words[1], *map(int, words[2:5]))
