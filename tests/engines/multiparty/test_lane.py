"""Gradients in datagrams, all else in streams: what is lost is missing, and nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from engines.multiparty.parties import Town, until
from engines.multiparty.toy import toy

import varangian as vg
from varangian.core.randomness import Stream
from varangian.engines.multiparty import Host, Limits
from varangian.engines.multiparty.cluster import Cluster
from varangian.engines.multiparty.course import Course
from varangian.engines.multiparty.datagrams import PIECE
from varangian.engines.multiparty.directory import Directory
from varangian.engines.multiparty.notary import Notary
from varangian.protocols import Single, Topic
from varangian.protocols.server import GRADIENT

D, STEPS = 40 * PIECE // 4, 30
SINGLE = Single(workers=3, patience=5.0)
LOSSY = Limits(lossy=True, lost=0.1, datagram_bytes_per_second=4e6)


def hosts_of(limits: Limits = LOSSY, steps: int = STEPS) -> tuple[Town, list[Host]]:
    task = toy(D, steps)
    town = Town(SINGLE, lambda party: SINGLE.node(party, task), limits)
    return town, [town.host(party) for party in range(SINGLE.n)]


def keeper(host: Host) -> Any:
    return host.node.keeper  # type: ignore[attr-defined]


async def connected(hosts: list[Host]) -> None:
    await until(lambda: all(peer["datagrams"] for peer in hosts[0].status()["peers"].values()))


def test_what_is_lost_of_a_gradient_is_missing_and_nobody_waits_for_it() -> None:
    town, hosts = hosts_of(steps=10**6)

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts, seconds=120))
        await connected(hosts)
        there = hosts[0].node.step
        await until(lambda: hosts[0].node.step > there + STEPS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())
    assert 0.05 < np.mean(keeper(hosts[0]).missing[-STEPS:]) < 0.5
    assert all(tally.partial > STEPS // 2 for tally in hosts[0].tallies.values())
    assert not any(tally.partial for host in hosts[1:] for tally in host.tallies.values())
    assert not hosts[0].strangers


def test_channels_that_end_are_made_again_and_lose_no_step() -> None:
    town, hosts = hosts_of(replace(LOSSY, lost=0.0), steps=10**6)

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts, seconds=360))
        for _ in range(3):
            await connected(hosts)
            for talk in list(hosts[0]._talks.values()):
                assert talk.lane is not None
                assert talk.lane.channel is not None
                talk.lane.channel.close()
            there = hosts[0].node.step
            await until(lambda there=there: hosts[0].node.step > there + 10)  # type: ignore[misc]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())
    # What was on its way is taken as far as it came; whatever came is what was sent.
    assert keeper(hosts[0]).theta.max() <= 3.0 * hosts[0].node.step


@pytest.mark.parametrize("limits", [replace(LOSSY, lost=0.0), Limits()])
def test_the_last_word_arrives_however_long_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    town, hosts = hosts_of(limits)
    check = Notary._check

    def slowly(notary: Notary, party: int, topic: Topic, *rest: Any) -> bool:
        if topic.step == STEPS:
            time.sleep(0.2)
        return check(notary, party, topic, *rest)

    monkeypatch.setattr(Notary, "_check", slowly)
    asyncio.run(town.run(hosts))
    assert all(host.node.finished for host in hosts)


def test_a_lane_that_is_closed_takes_no_channel() -> None:
    town, hosts = hosts_of(steps=10**6)

    async def scene() -> None:
        running = asyncio.ensure_future(town.run(hosts))
        await connected(hosts)
        lane = hosts[0]._talks[1].lane
        assert lane is not None
        channel = lane.channel
        assert channel is not None
        lane.close()
        assert lane.meet(channel) is None
        assert lane.channel is None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())


def test_without_a_way_for_datagrams_gradients_go_as_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    town, hosts = hosts_of()

    async def nobody(*_: Any) -> Any:
        return Mock()

    monkeypatch.setattr("varangian.engines.multiparty.lane.listen", nobody)
    asyncio.run(town.run(hosts, seconds=120))
    assert (keeper(hosts[0]).theta == 2.0 * STEPS).all()
    assert not any(tally.partial for tally in hosts[0].tallies.values())


@pytest.mark.parametrize("way", ["garbage", "faster than agreed", "ends without anything before"])
def test_who_sends_what_no_honest_party_does_is_cut_off(way: str) -> None:
    _, hosts = hosts_of(replace(LOSSY, datagram_bytes_per_second=1e5, breaches=20, burst_seconds=0.5))

    async def scene() -> None:
        running = [asyncio.ensure_future(host.run(lambda: False)) for host in hosts]
        await connected(hosts)
        lane = hosts[3]._talks[0].lane
        assert lane is not None
        channel: Any = lane.channel
        if way == "garbage":
            for _ in range(100):
                channel._quic.send_datagram_frame(bytes(100))
            channel._protocol.transmit()
        elif way == "ends without anything before":
            for step in range(1000, 1100):
                channel._quic.send_datagram_frame(channel.wire.head(Topic(step, GRADIENT), 0, 0))
            channel._protocol.transmit()
        else:
            for step in range(1000, 1020):
                await channel.send(Topic(step, GRADIENT), np.zeros(D, np.float32), Stream(1), 1e7)
        await until(lambda: hosts[0].tallies[3].barred)
        await until(lambda: 3 not in hosts[0]._talks)
        assert not hosts[0].tallies[1].barred
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(scene())


def test_the_parties_of_a_cluster_learn_over_links_that_lose_a_tenth() -> None:
    spec = vg.Experiment(
        data="digits",
        model="mlp",
        workers=3,
        rule=vg.TrimmedMean(f=1, missing=True),
        steps=60,
        evaluate_every=60,
        learning_rate=0.3,
        batch_size=64,
    )
    directory = Directory(spec, Single(workers=3, patience=5.0), limits=LOSSY)
    with Cluster(directory) as cluster:
        course = Course(cluster)
        course.follow()
        cluster.end()
        gathered, report = course.gathered(), cluster.report("server0")
    print(gathered.accuracies, report["peers"])
    assert min(gathered.accuracies.values()) > vg.run(spec).accuracy - 0.03
    assert all(peer["partial"] > 30 for peer in report["peers"].values())
