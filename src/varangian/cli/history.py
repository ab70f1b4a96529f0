"""``varangian history``: what a protocol does in the history of a seed, and in those of many."""

from __future__ import annotations

import time

import click

from varangian.cli.bar import Bar
from varangian.engines.network.histories import PROTOCOLS, Broken, Tally, history, many
from varangian.engines.network.network import Delivery
from varangian.protocols import Alarm

BROKEN = 1


@click.command(name="history")
@click.argument("protocol", type=click.Choice([*PROTOCOLS, "all"]))
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The history, or the first of many.")
@click.option("--trace", is_flag=True, help="Print every delivery.")
@click.option(
    "--count", type=click.IntRange(min=1), help="Play so many histories, of all protocols together."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Processes.")
def play(protocol: str, seed: int, trace: bool, count: int | None, jobs: int) -> int:
    """Play a protocol in the history of a seed, and check it.

    A seed draws liars, crashes, bad links and a schedule; what is proven of the protocol must hold. The same
    seed plays the same history. A history that breaks an invariant is told as the command that
    replays it, and the exit code is 1.
    """
    protocols = PROTOCOLS if protocol == "all" else (protocol,)
    if count is None:
        return max(_one(name, seed, trace) for name in protocols)
    each = -(-count // len(protocols))
    return max(_many(name, seed, each, jobs) for name in protocols)


def _one(protocol: str, seed: int, trace: bool) -> int:
    deliveries: list[Delivery] = []
    try:
        outcome = history(protocol, seed, deliveries)
    except Broken as broken:
        if trace:
            _print(deliveries)
        _tell(protocol, seed, str(broken))
        return BROKEN
    if trace:
        _print(deliveries)
    drawn = outcome.scenario
    print(f"{protocol}, seed {seed}: {', '.join(f'{g.n} {g.role}s (f = {g.f})' for g in drawn.groups)}")
    for party, fault in sorted(drawn.faults.items()):
        print(f"  party {party} lies: {fault}")
    for event in drawn.events:
        print(f"  {event}")
    if drawn.late:
        print(f"  late: {sorted(drawn.late)}")
    print(f"  {outcome.sent} messages in {outcome.time:.3g} s; all invariants hold")
    return 0


def _many(protocol: str, seed: int, count: int, jobs: int) -> int:
    whole, begun = Tally(protocol), time.perf_counter()
    with Bar(protocol, count, "", counted=True, quiet=False) as bar:
        for some in many(protocol, count, seed, jobs):
            whole += some
            bar.show(completed=whole.count)
            for broken, how in some.broken.items():
                _tell(protocol, broken, how)
    spent = time.perf_counter() - begun
    counts = f"{whole.count} histories, {whole.sent} messages, {len(whole.broken)} broken"
    print(f"{protocol}: {counts}, {spent:.0f} s")
    return BROKEN if whole.broken else 0


def _tell(protocol: str, seed: int, how: str) -> None:
    print(f"broken: {how}\n  varangian history {protocol} --seed {seed} --trace", flush=True)


def _print(deliveries: list[Delivery]) -> None:
    for time_, what, party in deliveries:
        step, kind, round, subject = what.topic
        about = f" of {subject}" if subject >= 0 else ""
        where = f"{kind}{about} at step {step}, round {round}"
        if isinstance(what, Alarm):
            print(f"{time_:10.4f}  {party} is woken: {where}")
        else:
            print(f"{time_:10.4f}  {what.sender} -> {party}  {where}: {what.body}")
