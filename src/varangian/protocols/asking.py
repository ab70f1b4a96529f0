"""Synchronous ByzSGD: a worker asks one server at a time, and two filters tell it whether to believe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from varangian.protocols.answering import ASK
from varangian.protocols.filters import Lipschitz, outlier_bound
from varangian.protocols.member import Member, Setting
from varangian.protocols.message import NOTHING, Alarm, Body, Output, Topic
from varangian.protocols.server import GRADIENT, MODEL
from varangian.protocols.work import Learner, Reducer


class AskingWorker(Member):
    """Ask server (worker + step) mod n for its model, and the next one if the answer is not believed.

    It is tested against the worker's own guess, theta - rate * gradient. At the first step and at gathers the
    worker asks all and takes the middle of a quorum; so it does when no server is believed. It waits
    ``patience`` seconds for an answer before it asks the next server. It skips steps only when more servers
    than may lie have forgotten the one it stands at.

    Reference   El-Mhamdi et al., PODC 2020
    """

    def __init__(self, party: int, setting: Setting, learner: Learner, middle: Reducer) -> None:
        super().__init__(party, setting)
        self.learner, self.middle = learner, middle
        self.lipschitz = Lipschitz((self.servers.n - self.servers.f) / self.servers.n)
        self.filtered = 0
        self._asked: list[int] = []
        self._doubted: set[int] = set()
        self._last: Body | None = None
        self._theta: Body | None = None
        self._gradient: Body | None = None
        self._anchor = (0.0, 0.0)

    def start(self) -> list[Output]:
        """Ask for the first model; after a restart, repeat the last gradient to servers that were away."""
        last = [] if self._last is None else self._tell(self.step - 1, self._last)
        return [*last, *self._wish()]

    def proceed(self) -> list[Output]:
        """Go on with a model that is believed, or with the middle of many."""
        outputs: list[Output] = []
        while not self.finished:
            more = self._next()
            if more is None:
                break
            outputs += more
        return outputs

    def ring(self, alarm: Alarm) -> list[Output]:
        """Ask another server than the one that keeps silent."""
        if alarm.topic.step != self.step or self.finished:
            return []
        return self._ask(self._others()[:1])

    def _next(self) -> list[Output] | None:
        """Return what there is to say next, or None where an answer is missing."""
        forgotten = self._forgotten()
        if forgotten > self.step:
            return self._skip(forgotten)
        models = self.mailbox.on(Topic(self.step, MODEL))
        believable = [] if self._takes_all else [one for one in models if one not in self._doubted]
        if believable:
            return self._test(believable[0], models[believable[0]])
        if self._all_asked and len(models) >= self.servers.quorum:
            return self._accept(self.middle(list(models.values())))
        return None

    def _test(self, server: int, theta: Body) -> list[Output]:
        gradient = self.learner.sampled(theta, self.step)
        if self._believes(theta, gradient):
            return self._accept(theta, gradient)
        self._doubted.add(server)
        self.filtered += 1
        return self._ask(self._others()[:1])

    def _forgotten(self) -> int:
        """Return the last step that an honest server is sure to have come to, by their answers."""
        newest: dict[int, int] = {}
        for topic in self.mailbox.topics(MODEL):
            if topic.step > self.step:
                newest |= {one: max(topic.step, newest.get(one, 0)) for one in self.mailbox.on(topic)}
        return sorted([*newest.values(), *[0] * self.servers.n], reverse=True)[self.servers.f]

    def _skip(self, step: int) -> list[Output]:
        """Ask all for the model of a later step, having none to compare it with."""
        self.step, self._theta = step, None
        self.mailbox.forget(step)
        return self._wish()

    @property
    def _takes_all(self) -> bool:
        return self._theta is None or self.step % self.gather_every == 0 or self.step == self.steps

    @property
    def _all_asked(self) -> bool:
        return len(self._asked) == self.servers.n

    def _others(self) -> list[int]:
        """Return the servers not asked yet, in this worker's order for the step."""
        own = self.party - self.workers.first + self.step
        order = [self.servers.first + (own + k) % self.servers.n for k in range(self.servers.n)]
        return [server for server in order if server not in self._asked]

    def _wish(self) -> list[Output]:
        """Ask for the model of a new step: one server, or all."""
        self._asked, self._doubted = [], set()
        return self._ask(self._others() if self._takes_all else self._others()[:1])

    def _ask(self, servers: list[int]) -> list[Output]:
        self._asked += servers
        topic = Topic(self.step, ASK)
        alarm = [] if self._all_asked else [Alarm(self.patience, topic)]
        return [*self.tell(servers, topic, NOTHING), *alarm]

    def _believes(self, theta: Body, gradient: Body) -> bool:
        assert self._theta is not None
        assert self._gradient is not None
        guess = self._theta - self.learner.rate(self.step - 1) * self._gradient
        change, distance = _norm(gradient - self._gradient), _norm(guess - self._theta)
        usual = self.lipschitz.accepts(change, distance)
        f, n = self.workers.f, self.workers.n
        return usual and _norm(guess - theta) < outlier_bound(
            *self._anchor, self.step, self.gather_every, n, f
        )

    def _accept(self, theta: Body, gradient: Body | None = None) -> list[Output]:
        """Answer a model with a gradient, and wish for the next."""
        anchors, step = self._takes_all, self.step
        self.step = step + 1
        self.mailbox.forget(self.step)
        if step >= self.steps:
            self.finished = True
            return []
        gradient = self.learner.sampled(theta, step) if gradient is None else gradient
        self._theta, self._gradient = theta, gradient
        if anchors:
            self._anchor = (self.learner.rate(step), _norm(gradient))
        self._last = self.learner.sent(gradient, step)
        return [*self._tell(step, self._last), *self._wish()]

    def _tell(self, step: int, gradient: Body) -> list[Output]:
        return self.tell(self.servers.parties, Topic(step, GRADIENT), gradient)

    def state(self) -> dict[str, Any]:
        """Return all that a restarted worker needs: it asks everyone for its first model."""
        past = np.array(self.lipschitz.past, np.float64)
        last = {} if self._last is None or self.finished else {"last": self._last}
        return {**super().state(), "learner": self.learner.state(), "past": past, **last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, before ``start``."""
        super().restore(state)
        self.learner.restore(state["learner"])
        self._last = state.get("last")
        self.lipschitz.past.extend(np.asarray(state["past"]).tolist())


def _norm(vector: Body) -> float:
    return float(np.linalg.norm(vector.astype(np.float64)))
