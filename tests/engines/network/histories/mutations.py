"""Protocols broken on purpose, one way at a time, and what the histories make of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from varangian.engines.network import network
from varangian.engines.network.histories import Broken, history, rules, tally
from varangian.protocols import Group, Message, Node, Output, Refusal, Topic, mailbox, primary
from varangian.protocols.answering import AnsweringServer
from varangian.protocols.asking import AskingWorker
from varangian.protocols.averaging import Averaging
from varangian.protocols.broadcast import ReliableBroadcast
from varangian.protocols.by_witness import ByWitness
from varangian.protocols.server import Server

Patch = pytest.MonkeyPatch


def threshold(**changes: Callable[[int, int], int]) -> Callable[[Patch], None]:
    """Give reliable broadcast other thresholds, by n and f."""

    def broken(patch: Patch) -> None:
        made = ReliableBroadcast.__init__

        def init(self: ReliableBroadcast, node: Node, group: Group) -> None:
            made(self, node, group)
            for name, number in changes.items():
                setattr(self, name, number(group.n, group.f))

        patch.setattr(ReliableBroadcast, "__init__", init)

    return broken


def quorum(more: int) -> Callable[[Patch], None]:
    """Wait for n - f + more."""

    def broken(patch: Patch) -> None:
        def init(self: Group) -> None:
            object.__setattr__(self, "quorum", max(1, self.n - self.f + more))

        patch.setattr(Group, "__post_init__", init)

    return broken


def overwrites(patch: Patch) -> None:
    put = mailbox.Mailbox.put

    def putting(self: mailbox.Mailbox, message: Message) -> Refusal | None:
        refusal = put(self, message)
        if refusal is Refusal.CONFLICTING:
            self._values[message.topic][message.sender] = message.body
        return refusal

    patch.setattr(mailbox.Mailbox, "put", putting)


def counts_nothing(patch: Patch) -> None:
    patch.setattr(Node, "takes", lambda self, message: self.mailbox.put(message) is None)


def trusts_the_name(patch: Patch) -> None:
    """Let a message say who its sender is."""

    def say(self: network.Network, party: int, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Message):
                self._send(output)
            else:
                self._push(self.time + output.after, (party, output))

    patch.setattr(network.Network, "_say", say)


def says_nothing_again(patch: Patch) -> None:
    patch.setattr(Node, "again", lambda self, peer: [])


def confesses_nothing(patch: Patch) -> None:
    """Let nobody tell what it does not keep any more."""
    patch.setattr(Node, "_confess", lambda self, receiver, step: None)


def hears_no_old_questions(patch: Patch) -> None:
    """Answer no question about a step that is over."""
    hear = AnsweringServer.hear

    def hearing(self: AnsweringServer, message: Message) -> list[Output]:
        return [] if message.topic.step < self.mailbox.floor else hear(self, message)

    patch.setattr(AnsweringServer, "hear", hearing)


def one_life(patch: Patch) -> None:
    """Let a server lead again in reigns that it may have forgotten."""
    patch.setattr(primary, "LIVES", 1)


def never_meets(patch: Patch) -> None:
    """Gather without taking the middle."""

    def meet(self: Server, topic: Topic) -> list[Output] | None:
        if self.mailbox.count(topic) < self.servers.quorum:
            return None
        self.gathering = False
        return self._scatter()

    patch.setattr(Server, "_meet", meet)


def means(name: str) -> Callable[[Patch], None]:
    """Take the plain mean where a rule should be."""
    return lambda patch: patch.setattr(histories_module(), name, lambda vectors, f=0: rules.mean(vectors))


def histories_module() -> Any:
    return sys.modules["varangian.engines.network.histories.history"]


def believes(answer: bool) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(AskingWorker, "_believes", lambda self, theta, gradient: answer)


def hurries(patch: Patch) -> None:
    """Make one exchange where several are needed, and stop before the last round."""
    patch.setattr(Averaging, "exchanges", classmethod(lambda cls, group, rounds: max(rounds - 1, 0)))


def witnesses_nothing(patch: Patch) -> None:
    """Average whatever was delivered first, without the witnesses."""

    def outcome(self: ByWitness, step: int, round: int) -> Any:
        delivered = self.broadcast.delivered.get(Topic(step, "init", round), {})
        if len(delivered) < self.group.quorum:
            return None
        return self.reduce([delivered[party] for party in sorted(delivered)])

    patch.setattr(ByWitness, "outcome", outcome)


MUTATIONS: dict[str, tuple[str, Callable[[Patch], None], str]] = {
    "READY after f READYs": ("broadcast", threshold(readies=lambda n, f: f), "validity"),
    "READY after n + 1 READYs": ("broadcast", threshold(readies=lambda n, f: n + 1), "totality"),
    "READY and delivery on one word": (
        "broadcast",
        threshold(echoes=lambda n, f: 1, sure=lambda n, f: 1),
        "agreement",
    ),
    "delivery on one READY": ("broadcast", threshold(sure=lambda n, f: 1), "integrity"),
    "a mailbox that overwrites": ("replicated", overwrites, "one value"),
    "a mailbox that overwrites, by witness": ("agreement-witness", overwrites, "one value"),
    "refusals that are not counted": ("single", counts_nothing, "one value"),
    "senders that name themselves": ("replicated", trusts_the_name, "one value"),
    "nothing said again to one server": ("single", says_nothing_again, "nobody waits"),
    "nothing said again to peers": ("diameter", says_nothing_again, "nobody waits"),
    "nothing told of what is gone": ("replicated", confesses_nothing, "nobody waits"),
    "questions that come too late": ("synchronous", hears_no_old_questions, "nobody waits"),
    "reigns of several lives": ("crash-tolerant", one_life, "one value"),
    "a quorum more than n - f": ("replicated", quorum(1), "nobody waits"),
    "a quorum more than n - f, among peers": ("witness", quorum(1), "nobody waits"),
    "a quorum one less, of workers": ("single", quorum(-1), "range"),
    "a quorum one less, by diameter": ("agreement-diameter", quorum(-1), "halves"),
    "a mean of gradients": ("single", means("trimmed_mean"), "range"),
    "a mean of models": ("replicated", means("median"), "gather"),
    "a mean of vectors": ("agreement-witness", means("trimmed_mean"), "drift"),
    "a filter that believes all": ("synchronous", believes(True), "believes"),
    "one round too few": ("agreement-diameter", hurries, "halves"),
    "one round too few, by witness": ("agreement-witness", hurries, "halves"),
    "no witnesses": ("agreement-witness", witnesses_nothing, "halves"),
}


def broken_in(protocol: str, seeds: int, invariant: str) -> Counter[str]:
    """Return how often which invariants broke before the one that is looked for did."""
    broken: Counter[str] = Counter()
    for seed in range(seeds):
        if invariant in broken:
            break
        try:
            history(protocol, seed)
        except Broken as how:
            broken[how.invariant] += 1
    return broken


IN_THE_MEAN: dict[str, tuple[str, Callable[[Patch], None], str]] = {
    "gathers without the middle": ("replicated", never_meets, "contracts"),
    "a filter that believes nobody": ("synchronous", believes(False), "rejects"),
}


def found() -> dict[str, list[str]]:
    """Return, for each mutation, the invariant that is to break, and it again if it did."""
    results: dict[str, list[str]] = {}
    for name, (protocol, broken, invariant) in MUTATIONS.items():
        with pytest.MonkeyPatch.context() as patch:
            broken(patch)
            seen = broken_in(protocol, 1000, invariant)
        results[name] = [invariant, invariant if invariant in seen else str(dict(seen))]
    for name, (protocol, broken, invariant) in IN_THE_MEAN.items():
        with pytest.MonkeyPatch.context() as patch:
            broken(patch)
            some = tally(protocol, 0, 60)
        try:
            some.judge()
            results[name] = [invariant, str(some.broken)]
        except Broken as how:
            results[name] = [invariant, how.invariant]
    return results
