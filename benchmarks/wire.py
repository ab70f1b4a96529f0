"""Pull a gradient from every worker: this library's two ways against plain and encrypted sockets.

    python benchmarks/wire.py [--workers 8] [--megabytes 40] [--rounds 9] [--json FILE]

Every worker is a process, and serves all ways; the ways take turns, so that what else the machine does meets
them alike. ``sockets`` is TCP with one thread for each worker and ``recv_into`` a row that was there before;
``sockets, TLS`` is the same under TLS 1.3, both ends certified. ``sockets, AES`` is the floor of any
encryption here: the same in pieces of 1 MiB, each under AES-256-GCM with a key that all have from the start.
``gRPC, plain`` is gRPC alone, without encryption and without this library. ``varangian`` is ``Host``s and all
they do: budgets, schema, rows, the mailbox; vectors go beside gRPC, and with ``varangian, gRPC`` they do not.
``copy`` is what the bytes take in memory, once. Times are medians; ratios are medians within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from varangian.engines.multiparty import Credentials, Host, Limits, Peer
from varangian.engines.multiparty.keys import make_keys
from varangian.protocols import Form, Kind, Message, Node, Output, Topic

ASK, GRADIENT = "ask", "gradient"
PIECE = 1 << 20
LIMITS = {bulk: Limits(messages_per_second=1e6, bulk=bulk) for bulk in (False, True)}
METHOD = "/wire/Pull"
KEY = bytes(32)
NONCE, TAG = 12, 16
OPTIONS = [("grpc.max_receive_message_length", 2 * PIECE), ("grpc.max_send_message_length", 2 * PIECE)]


class Puller(Node):
    """Ask all workers whenever told to, and tell when all have answered."""

    def __init__(self, kinds: dict[str, Kind], workers: range) -> None:
        super().__init__(0, kinds)
        self.workers, self.whole, self.sums = workers, threading.Event(), 0.0

    def start(self) -> list[Output]:
        """Say nothing yet."""
        return []

    def ask(self) -> list[Output]:
        """Ask for the gradients of the next step."""
        self.step += 1
        self.mailbox.forget(self.step)
        self.whole.clear()
        return self.tell(self.workers, Topic(self.step, ASK), np.zeros(0, np.uint8))

    def proceed(self) -> list[Output]:
        """See whether they are all there."""
        came = self.mailbox.on(Topic(self.step, GRADIENT))
        if len(came) == len(self.workers):
            self.sums = sum(float(vector[-1]) for vector in came.values())
            self.whole.set()
        return []


class Answerer(Node):
    """Answer every question with the same vector."""

    def __init__(self, party: int, kinds: dict[str, Kind], vector: Any) -> None:
        super().__init__(party, kinds)
        self.vector = vector

    def start(self) -> list[Output]:
        """Wait."""
        return []

    def hear(self, message: Message) -> list[Output]:
        """Answer."""
        return self.tell([0], Topic(message.topic.step, GRADIENT), self.vector)

    def proceed(self) -> list[Output]:
        """Forget what was answered."""
        return []


def kinds_of(numbers: int, workers: int) -> dict[str, Kind]:
    """Return what is said: empty questions, and vectors."""
    return {
        ASK: Kind(Form(np.dtype(np.uint8), 0), frozenset({0})),
        GRADIENT: Kind(Form(np.dtype(np.float32), numbers), frozenset(range(1, workers + 1))),
    }


def cpu() -> float:
    """Return the seconds of processor time that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def work(party: int, workers: int, numbers: int, ports: list[int], files: str, own: Credentials) -> None:
    """Serve all ways until killed."""
    vector = np.full(numbers, party, np.float32)
    data = memoryview(vector).cast("B")

    def serve(connection: socket.socket, sealed: Callable[[memoryview], Any]) -> None:
        connection.sendall(bytes([party]))
        while connection.recv(1):
            for at in range(0, len(data), PIECE):
                connection.sendall(sealed(data[at : at + PIECE]))

    context = ssl.create_default_context(cafile=f"{files}/authority.crt")
    context.load_cert_chain(f"{files}/worker{party}.crt", f"{files}/worker{party}.key")
    plain, tls, aes = (socket.create_connection(("127.0.0.1", port)) for port in ports[:3])
    tls = context.wrap_socket(tls, server_hostname="server0")
    ways = ((plain, lambda piece: piece), (tls, lambda piece: piece), (aes, Sealing(party).seal))
    for way in ways:
        threading.Thread(target=serve, args=way, daemon=True).start()
    threading.Thread(target=stream, args=(party, data, ports[5]), daemon=True).start()

    def host(port: int, limits: Limits) -> Host:
        node, server = Answerer(party, kinds_of(numbers, workers), vector), f"127.0.0.1:{port}"
        return Host(node, Peer(party, f"worker{party}"), [Peer(0, "server0", server)], own, limits=limits)

    async def hosts() -> None:
        both = [host(port, limits) for port, limits in zip(ports[3:5], LIMITS.values(), strict=True)]
        await asyncio.gather(*(one.run(lambda: False) for one in both))

    asyncio.run(hosts())


class Sealing:
    """Pieces under AES-256-GCM, each with a number of its own."""

    def __init__(self, party: int) -> None:
        self.cipher, self.party, self.count = AESGCM(KEY), party, 0
        self.room = bytearray(PIECE + TAG)

    def seal(self, piece: memoryview) -> memoryview:
        """Return a piece encrypted, in memory that the next one takes."""
        out = memoryview(self.room)[: len(piece) + TAG]
        self.cipher.encrypt_into(self._nonce(), piece, None, out)
        return out

    def open(self, sealed: memoryview, out: memoryview) -> None:
        """Decrypt a piece to where it belongs."""
        self.cipher.decrypt_into(self._nonce(), sealed, None, out)

    def _nonce(self) -> bytes:
        self.count += 1
        return bytes([self.party]) + self.count.to_bytes(NONCE - 1, "little")


def stream(party: int, data: memoryview, port: int) -> None:
    """Send the vector over gRPC alone whenever a message comes."""

    async def answer() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
            call = channel.stream_stream(METHOD)()
            await call.write(bytes([party]))
            while await call.read():
                for at in range(0, len(data), PIECE):
                    await call.write(bytes(data[at : at + PIECE]))

    asyncio.run(answer())


class Streams:
    """The server of gRPC alone, in a thread of its own: rows are filled as chunks come."""

    def __init__(self, workers: int, rows: Any) -> None:
        self.rows, self.calls, self.loop = rows, {}, asyncio.new_event_loop()
        self.workers, self.port, self.ready = workers, 0, threading.Event()
        threading.Thread(target=lambda: self.loop.run_until_complete(self._serve()), daemon=True).start()
        self.ready.wait()

    async def _serve(self) -> None:
        server = grpc.aio.server(options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._accept)
        service, method = METHOD[1:].split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.ready.set()
        await server.wait_for_termination()

    async def _accept(self, _: Any, context: Any) -> None:
        self.calls[(await context.read())[0]] = context
        await asyncio.Event().wait()

    async def _pull(self) -> None:
        await asyncio.gather(*(self._one(party, call) for party, call in self.calls.items()))

    async def _one(self, party: int, call: Any) -> None:
        row, at = memoryview(self.rows[party - 1]).cast("B"), 0
        await call.write(b"?")
        while at < len(row):
            chunk = await call.read()
            row[at : at + len(chunk)] = chunk
            at += len(chunk)

    def pull(self) -> None:
        """Pull all vectors once."""
        asyncio.run_coroutine_threadsafe(self._pull(), self.loop).result()


def sockets(
    listener: socket.socket,
    workers: int,
    rows: Any,
    context: ssl.SSLContext | None = None,
    *,
    sealed: bool = False,
) -> Callable[[], None]:
    """Return a function that pulls all vectors over one connection for each worker."""
    connections = {}
    for _ in range(workers):
        connection, _address = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        connections[connection.recv(1)[0]] = connection

    sealings = {party: Sealing(party) for party in connections}

    def pull_one(party: int) -> None:
        row, at = memoryview(rows[party - 1]).cast("B"), 0
        connections[party].sendall(b"?")
        while at < len(row):
            at += connections[party].recv_into(row[at : at + PIECE])

    def pull_sealed(party: int) -> None:
        row, sealing = memoryview(rows[party - 1]).cast("B"), sealings[party]
        connections[party].sendall(b"?")
        for at in range(0, len(row), PIECE):
            piece = row[at : at + PIECE]
            room = memoryview(sealing.room)[: len(piece) + TAG]
            got = 0
            while got < len(room):
                got += connections[party].recv_into(room[got:], 0, socket.MSG_WAITALL)
            sealing.open(room, piece)

    def pull() -> None:
        one = pull_sealed if sealed else pull_one
        threads = [threading.Thread(target=one, args=(party,)) for party in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return pull


class Hosted:
    """The library's server, in a thread of its own."""

    def __init__(
        self, workers: int, numbers: int, port: int, credentials: Credentials, *, bulk: bool
    ) -> None:
        self.bulk = bulk
        self.node = Puller(kinds_of(numbers, workers), range(1, workers + 1))
        peers = [Peer(party, f"worker{party}") for party in range(1, workers + 1)]
        address = f"127.0.0.1:{port}"
        self.host = Host(
            self.node, Peer(0, "server0"), peers, credentials, listen=address, limits=LIMITS[bulk]
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(
            target=lambda: self.loop.run_until_complete(self.host.run(lambda: False)), daemon=True
        )
        self.thread.start()

    def ready(self) -> bool:
        """Tell whether all workers are there."""
        peers = self.host.status()["peers"].values()
        return all(peer["alive"] and peer["bulk"] == self.bulk for peer in peers)

    def pull(self) -> None:
        """Pull all vectors once."""

        async def ask() -> None:
            self.host._say(await self.host._call(self.node.ask))

        asyncio.run_coroutine_threadsafe(ask(), self.loop).result()
        self.node.whole.wait()


def certificates(folder: Path, names: list[str]) -> dict[str, Credentials]:
    """Return everybody's credentials, and leave them in a folder."""
    make_keys(folder, {name: [] for name in names})
    authority = (folder / "authority.crt").read_bytes()
    return {
        name: Credentials(
            authority, (folder / f"{name}.key").read_bytes(), (folder / f"{name}.crt").read_bytes()
        )
        for name in names
    }


def measure(workers: int, megabytes: float, rounds: int, folder: str) -> dict[str, Any]:
    """Return the seconds of each way, round by round, and the processor time of this process."""
    numbers = int(megabytes * 1e6 / 4)
    names = ["server0", *(f"worker{party}" for party in range(1, workers + 1))]
    known = certificates(Path(folder), names)
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners[3:]:
        listener.close()
    hosted = [
        Hosted(workers, numbers, port, known["server0"], bulk=bulk)
        for port, bulk in zip(ports[3:], LIMITS, strict=True)
    ]
    rows = np.zeros((workers, numbers), np.float32)
    streams = Streams(workers, rows)
    ports.append(streams.port)
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(
            target=work, args=(party, workers, numbers, ports, folder, known[f"worker{party}"]), daemon=True
        )
        for party in range(1, workers + 1)
    ]
    for process in processes:
        process.start()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{folder}/authority.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(f"{folder}/server0.crt", f"{folder}/server0.key")
    # A worker connects to all before it is read from, so all have to be accepted at once.
    accepted = {
        "sockets": lambda: sockets(listeners[0], workers, rows),
        "sockets, AES": lambda: sockets(listeners[2], workers, rows, sealed=True),
        "sockets, TLS": lambda: sockets(listeners[1], workers, rows, context),
    }
    with ThreadPoolExecutor() as pool:
        made = {way: pool.submit(accept) for way, accept in accepted.items()}
        ways = {way: future.result() for way, future in made.items()}
    while not (all(one.ready() for one in hosted) and len(streams.calls) == workers):
        time.sleep(0.05)
    ways["gRPC, plain"] = streams.pull
    ways["varangian, gRPC"], ways["varangian"] = (one.pull for one in hosted)
    source = np.ones(workers * numbers, np.float32)
    target = np.zeros_like(source)
    ways["copy"] = lambda: np.copyto(target, source)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    used: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 2):
        for way, pull in ways.items():
            start, before = time.perf_counter(), cpu()
            pull()
            if turn >= 2:
                seconds[way].append(time.perf_counter() - start)
                used[way].append(cpu() - before)
    assert all(one.node.sums == workers * (workers + 1) / 2 for one in hosted)
    assert (rows[:, -1] == np.arange(1, workers + 1)).all()
    for process in processes:
        process.kill()
    return {"seconds": seconds, "cpu": used}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.workers, asked.megabytes, asked.rounds, folder)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True
    )
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "load": os.getloadavg()[0],
    }
    total = asked.workers * asked.megabytes
    print(f"{asked.workers} workers, {asked.megabytes:g} MB each; {machine}")
    print(f"{'':16} {'seconds':>9} {'best':>9} {'GB/s':>6} {'cpu':>6} {'of plain':>9} {'of TLS':>7}")
    seconds = found["seconds"]
    for way, times in seconds.items():
        ratios = [
            statistics.median(a / b for a, b in zip(times, seconds[base], strict=True))
            for base in ("sockets", "sockets, TLS")
        ]
        middle = statistics.median(times)
        print(
            f"{way:16} {middle:9.3f} {min(times):9.3f} {total / 1e3 / middle:6.2f} "
            f"{statistics.median(found['cpu'][way]):6.2f} {ratios[0]:9.2f} {ratios[1]:7.2f}"
        )
    if asked.json:
        asked.json.write_text(
            json.dumps({"machine": machine, **vars(asked), "json": None, **found}, indent=1)
        )


if __name__ == "__main__":
    main()
