"""What the others notice of a liar that does its worst: a step's time and the server's memory, measured."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines.multiparty.parties import AUTHORITY, Town
from engines.multiparty.siege import BESIDE, WAYS, siege
from engines.multiparty.toy import Sayer, toy

from varangian.engines.multiparty import Limits
from varangian.protocols import Body, Single

D = 79_510
GRADIENT_SECONDS = 0.02
PERIOD, PERIODS = 1.5, 5
TOPOLOGY = Single(workers=4, byzantine_workers=1, patience=0.0)


class Slow(Sayer):
    """A worker whose gradient takes its time, on a machine of its own."""

    def sampled(self, theta: Body, step: int) -> Body:
        time.sleep(GRADIENT_SECONDS)
        return super().sampled(theta, step)


def memory() -> float:
    """Return this process's resident memory, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def besieged(way: str, found: Any) -> None:
    """Find a step's median seconds without and with the attack, what memory grew, and the liar's account."""
    task = replace(toy(D, 10**6), learner=Slow)
    limits = Limits(bulk_bytes=1000) if way in BESIDE else Limits()
    town = Town(TOPOLOGY, lambda party: TOPOLOGY.node(party, task), limits)
    moments: list[float] = []
    spawn = multiprocessing.get_context("spawn")
    times = spawn.Queue()
    kinds = TOPOLOGY.kinds(task.form)
    arguments = (town.peers[0].address, AUTHORITY.issued("worker3"), kinds, way, PERIOD, times)
    attacker = spawn.Process(target=siege, args=arguments, daemon=True)

    def noted() -> None:
        if len(moments) < server.node.step:
            moments.append(time.monotonic())

    server = town.host(0, after=noted)

    async def scene() -> float:
        running = [asyncio.ensure_future(town.host(party).run()) for party in (1, 2, 3)]
        running.append(asyncio.ensure_future(server.run(lambda: False)))
        await asyncio.sleep(1)
        before = memory()
        attacker.start()
        while times.qsize() < PERIODS:
            await asyncio.sleep(0.2)
        attacker.kill()
        grown = memory() - before
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return grown

    grown = asyncio.run(scene())
    spans = [times.get() for _ in range(PERIODS)]
    ends, steps = np.array(moments[1:]), np.diff(moments)
    under = np.any([(a + 0.1 < ends) & (ends < b) for a, b in spans], axis=0)
    calm = np.any([(b + 0.1 < ends) & (ends < b + PERIOD) for a, b in spans[:-1]], axis=0)
    liar = server.status()["peers"]["worker3"]
    medians = [float(np.median(steps[some])) for some in (calm, under)]
    found.put((*medians, grown, liar))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_others_hardly_notice(way: str) -> None:
    # In a process of its own, where no types are checked at run time.
    spawn = multiprocessing.get_context("spawn")
    found = spawn.Queue()
    scene = spawn.Process(target=besieged, args=(way, found))
    scene.start()
    calm, under, grown, liar = found.get(timeout=60)
    scene.join()
    print(
        f"\n{way}: a step {1e3 * calm:.1f} ms calm, {1e3 * under:.1f} ms besieged ({under / calm - 1:+.1%}), "
        f"{grown:+.0f} MiB; {liar['refused']}, {liar['wasted']} chunks of no use, "
        f"{liar['bytes_in'] / 1e6:.0f} MB in, {liar['taken']} taken"
    )
    assert grown < 100
    assert under < 1.1 * calm
