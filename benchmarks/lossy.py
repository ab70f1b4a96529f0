"""Time to a fixed accuracy over links that lose packets: a reliable stream, one with a deadline, datagrams.

    sudo python benchmarks/lossy.py [--repeats N] [--out results/lossy]

One server and five workers in network namespaces of their own, each worker behind an uplink of 20 Mbit/s on
which the kernel loses 0, 1 or 10 % of the packets at random. The digits of scikit-learn, a perceptron of
19 210 numbers, one vector a step from every worker. ``reliable`` waits for whole vectors over TCP (CUBIC).
``partial`` sends pieces in a random order over TCP, and ``datagrams`` over QUIC; at a deadline of 1.2 times
what a vector takes without loss, what did not come is missing, and TrimmedMean(f=1, missing=True) leaves it
out. Models travel over TCP, on links that lose their acknowledgements. The last table: one worker whose
inputs are malformed.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import math
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

WORKERS, HIDDEN, BATCH, RATE, TARGET, MOST = 5, 256, 64, 0.3, 0.94, 250
LOSSES = (0.0, 0.01, 0.1)
WAYS = ("reliable", "partial", "datagrams")
PACE = 2e6
SLACK = 1.2
SIZES = (64 * HIDDEN, HIDDEN, HIDDEN * 10, 10)
LENGTH = sum(SIZES)
_STEP = struct.Struct("<q")
_FRAME = struct.Struct("<I")


class Problem:
    """The digits, and a perceptron's gradient on a random batch of a worker's share."""

    def __init__(self, worker: int | None = None, malformed: bool = False) -> None:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(x))
        x, y = x[order] / 16, y[order]
        self.test, train = (x[:400], y[:400]), (x[400:], y[400:])
        mine = slice(worker, None, WORKERS) if worker is not None else slice(None)
        self.x, self.y = train[0][mine], train[1][mine]
        self.malformed, self.worker = malformed, worker

    @staticmethod
    def start() -> np.ndarray:
        """Return the first parameters."""
        rng = np.random.default_rng(1)
        parts = [rng.normal(size=size) * scale for size, scale in zip(SIZES, (0.1, 0, 0.06, 0), strict=True)]
        return np.concatenate(parts).astype(np.float32)

    def accuracy(self, parameters: np.ndarray) -> float:
        """Return the accuracy on the test set."""
        return float((_forward(parameters, self.test[0])[1].argmax(1) == self.test[1]).mean())

    def gradient(self, parameters: np.ndarray, step: int) -> np.ndarray:
        """Return the gradient on the batch of a step."""
        rng = np.random.default_rng((step, self.worker or 0))
        chosen = rng.integers(len(self.x), size=BATCH)
        x, y = self.x[chosen], self.y[chosen]
        if self.malformed:
            x = x + rng.normal(size=x.shape) * 1e6
        hidden, out = _forward(parameters, x)
        wrong = np.exp(out - out.max(1, keepdims=True))
        wrong /= wrong.sum(1, keepdims=True)
        wrong[np.arange(BATCH), y] -= 1
        back = (wrong @ parameters[-10 - HIDDEN * 10 : -10].reshape(HIDDEN, 10).T) * (1 - hidden**2)
        parts = (x.T @ back, back.sum(0), hidden.T @ wrong, wrong.sum(0))
        return (np.concatenate([part.ravel() for part in parts]) / BATCH).astype(np.float32)


def _forward(parameters: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, bias, second, last = np.split(parameters, np.cumsum(SIZES)[:-1])
    hidden = np.tanh(x @ first.reshape(64, HIDDEN) + bias)
    return hidden, hidden @ second.reshape(HIDDEN, 10) + last


def wire() -> Any:
    """Return how vectors are cut up."""
    from varangian.engines.multiparty.datagrams import Wire
    from varangian.protocols import Form, Kind

    return Wire({"gradient": Kind(Form(np.dtype("float32"), LENGTH), frozenset(range(1, WORKERS + 1)))})


async def worker(way: str, number: int, papers: Any) -> None:
    """Answer every model with a gradient; a newer model cuts short what was not sent."""
    from varangian.core.randomness import Stream
    from varangian.protocols import Topic

    problem, cutter, stream = Problem(number - 1), wire(), Stream(number)
    reader, writer = await asyncio.open_connection(f"10.0.{number}.1", 7000)
    plug = writer.get_extra_info("socket")
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if way == "partial":  # what waits in the kernel cannot be taken back
        plug.setsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25), 8192)
        writer.transport.set_write_buffer_limits(0)
    writer.write(bytes([number]))

    async def answer(send: Callable[[int, np.ndarray], Any]) -> None:
        sending: asyncio.Task[None] | None = None
        while True:
            step = _STEP.unpack(await reader.readexactly(_STEP.size))[0]
            parameters = np.frombuffer(await reader.readexactly(4 * LENGTH), np.float32)
            if sending is not None:
                sending.cancel()
            sending = asyncio.ensure_future(send(step, problem.gradient(parameters, step)))

    async def by_stream(step: int, gradient: np.ndarray) -> None:
        for piece in cutter.cut(Topic(step, "gradient"), gradient, stream):
            writer.write(_FRAME.pack(len(piece)) + piece)
            await writer.drain()

    if way != "datagrams":
        await answer(by_stream)
        return
    from varangian.engines.multiparty.datagrams import Assembly
    from varangian.engines.multiparty.quic import dial

    def greet(_: Any) -> Any:
        return Assembly(cutter, lambda _: None, 1.0), lambda _: None

    async with dial(f"10.0.{number}.1", 7001, "server0", papers, cutter, greet) as channel:
        await channel.ready.wait()
        await answer(lambda step, gradient: channel.send(Topic(step, "gradient"), gradient, stream, PACE))


class Server:
    """Send the model, gather gradients until all are whole or the deadline is over, and take a step."""

    def __init__(self, way: str, deadline: float) -> None:
        from varangian.aggregators import TrimmedMean
        from varangian.engines.multiparty.datagrams import Assembly
        from varangian.protocols import Refusal

        self.way, self.deadline, self.step = way, deadline, -1
        self.rule = TrimmedMean(f=1, missing=True)
        self.wire, self.problem = wire(), Problem()
        self.writers: dict[int, asyncio.StreamWriter] = {}
        self.rows: dict[int, np.ndarray] = {}
        self.whole = asyncio.Event()

        def judge(topic: Any) -> Refusal | None:
            return None if topic.step == self.step else Refusal.LATE

        self.assemblies = {number: Assembly(self.wire, judge, math.inf) for number in range(1, WORKERS + 1)}

    def arrived(self, number: int, one: Any) -> None:
        """Take a vector."""
        if one.topic.step == self.step:
            self.rows[number] = one.body
            if len(self.rows) == WORKERS:
                self.whole.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read what a worker sends over TCP."""
        number = (await reader.readexactly(1))[0]
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.writers[number] = writer
        with suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
            while True:
                size = _FRAME.unpack(await reader.readexactly(_FRAME.size))[0]
                for one in self.assemblies[number].take(await reader.readexactly(size), 0.0):
                    self.arrived(number, one)

    def greet(self, channel: Any) -> Any:
        """Say what takes a worker's datagrams."""
        number = int(channel.peer.removeprefix("worker"))
        return self.assemblies[number], lambda one: self.arrived(number, one)

    async def run(self, papers: Any, pipe: Any) -> dict[str, Any]:
        """Train, and return what it took."""
        await asyncio.start_server(self.accept, "0.0.0.0", 7000, limit=2**20)
        if self.way == "datagrams":
            from varangian.engines.multiparty.quic import listen

            await listen("0.0.0.0", 7001, papers, self.wire, self.greet)
        pipe.send("ready")
        while len(self.writers) < WORKERS:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        parameters, gathers, there = Problem.start(), [], []
        start, passed = time.monotonic(), [(0.0, parameters)]
        for self.step in range(MOST):
            began = time.monotonic()
            self.rows, self.whole = {}, asyncio.Event()
            for writer in self.writers.values():
                writer.write(_STEP.pack(self.step) + parameters.tobytes())
            try:
                await asyncio.wait_for(self.whole.wait(), None if self.way == "reliable" else self.deadline)
            except TimeoutError:
                for number, assembly in self.assemblies.items():
                    for one in assembly.expire(math.inf):
                        self.arrived(number, one)
            gathers.append(time.monotonic() - began)
            nothing = np.full(LENGTH, math.nan, np.float32)
            rows = np.stack([self.rows.get(number, nothing) for number in self.assemblies])
            there.append(float(np.isfinite(rows).mean()))
            parameters = parameters - RATE * self.rule(rows)
            passed.append((time.monotonic() - start, parameters))
            if self.step % 5 == 4 and self.problem.accuracy(parameters) >= TARGET:
                break
        # The first step that was good enough, and not the next at which somebody looked.
        good = [step for step, (_, one) in enumerate(passed) if self.problem.accuracy(one) >= TARGET]
        steps = min(good, default=MOST)
        return {
            "seconds": passed[steps][0],
            "steps": steps,
            "accuracy": self.problem.accuracy(passed[steps][1]),
            "gather": statistics.median(gathers),
            "arrived": statistics.mean(there),
        }


def once(way: str, loss: float, deadline: float) -> dict[str, Any]:
    """Build the network, run all parties, and return what the server says."""
    from engines.multiparty.papers import Authority
    from netns.laboratory import Laboratory

    authority = Authority()
    with Laboratory() as lab:
        lab.space("server")
        for i in range(1, WORKERS + 1):
            lab.space(f"w{i}")
            here, there = lab.wire(f"w{i}", "server", f"10.0.{i}.2/30", f"10.0.{i}.1/30")
            lab.slow(f"w{i}", here, "20mbit", 100)
            lab.lossy("server", there, loss)
            for space, end, address in ((f"w{i}", here, 2), ("server", there, 1)):
                way_out = f"ip route replace 10.0.{i}.0/30 dev {end} src 10.0.{i}.{address} congctl cubic"
                lab.ask(space, *way_out.split())
        ours, theirs = Pipe()
        lab.fork("server", serve, way, deadline, authority.issue("server0"), theirs)
        ours.recv()
        for i in range(1, WORKERS + 1):
            lab.fork(f"w{i}", work, way, i, authority.issue(f"worker{i}"))
        if not ours.poll(100):
            raise TimeoutError(f"{way} at {loss:.0%} takes more than 100 s")
        return {"way": way, "loss": loss, "deadline": deadline, **ours.recv()}


def serve(way: str, deadline: float, papers: Any, pipe: Any) -> None:
    """Be the server."""
    pipe.send(asyncio.run(Server(way, deadline).run(papers, pipe)))


def work(way: str, number: int, papers: Any) -> None:
    """Be a worker, until the server is gone."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        asyncio.run(worker(way, number, papers))


def malformed(steps: int = 100) -> list[tuple[str, float]]:
    """Return the accuracy by rule where one of five workers has malformed inputs."""
    from varangian.aggregators import Average, Krum, Median, TrimmedMean

    found = []
    for rule in (Average(), Median(f=1), TrimmedMean(f=1), Krum(f=1)):
        problems = [Problem(i, malformed=i == 0) for i in range(WORKERS)]
        parameters = Problem.start()
        for step in range(steps):
            parameters = parameters - RATE * rule(np.stack([p.gradient(parameters, step) for p in problems]))
        found.append((repr(rule), problems[0].accuracy(parameters)))
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the times over those without loss."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2))
    for place, way in enumerate(WAYS):
        base = _median(rows, way, 0.0)
        heights = [_median(rows, way, loss) / base for loss in LOSSES]
        axes.bar([x + 0.27 * (place - 1) for x in range(len(LOSSES))], heights, 0.25, label=way)
    axes.axhline(1.15, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(LOSSES)), [f"{loss:.0%}" for loss in LOSSES])
    axes.set_xlabel("packets lost")
    axes.set_ylabel(f"time to {TARGET:.0%}, over that without loss")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def _median(rows: list[dict[str, Any]], way: str, loss: float) -> float:
    return statistics.median(row["seconds"] for row in rows if (row["way"], row["loss"]) == (way, loss))


def main() -> None:
    """Measure, print, and keep."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "lossy")
    chosen = options.parse_args()
    import varangian.engines.multiparty.quic  # noqa: F401 (once, and not in every copy of this process)

    Problem()

    deadlines = {"reliable": 0.0}
    for way in WAYS[1:]:
        deadlines[way] = SLACK * once(way, 0.0, 5.0)["gather"]
    rows = []
    for _ in range(chosen.repeats):
        for way in WAYS:
            for loss in LOSSES:
                rows.append(once(way, loss, deadlines[way]))
                print(
                    {k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True
                )
    print(f"\nseconds to {TARGET:.0%}, over those without loss")
    for way in WAYS:
        base = _median(rows, way, 0.0)
        print(
            f"{way:10}",
            *(f"{_median(rows, way, x):7.2f} s {_median(rows, way, x) / base:5.2f}" for x in LOSSES),
        )
    print("\none of five workers with malformed inputs, accuracy after 100 steps")
    for name, accuracy in malformed():
        print(f"{name:20} {accuracy:.3f}")
    with chosen.out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, chosen.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
