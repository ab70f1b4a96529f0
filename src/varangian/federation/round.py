"""One round: clients return, until enough is valid; a rule makes the next model of it, or none is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varangian.accounting import Accountant, Geometry
from varangian.core.guard import admit, declare
from varangian.core.parties import Parties, weigh
from varangian.core.randomness import Stream, as_stream
from varangian.core.stages import Stage
from varangian.errors import InputError, ParameterError, ToleranceError, VarangianError, WeightsError
from varangian.federation.admission import Arrays, is_float, update
from varangian.federation.record import ClientRecord
from varangian.federation.telling import told
from varangian.federation.terms import check_rule, claim, default_cap, honours_weights

Client = int | str


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a round came to.

    ``breach`` says why no model was made, and is empty where one was: ``model`` is then the next one, else
    the one that the clients were sent. ``state`` is the rule's memory, for the next round, and ``shares`` the
    weight of every client whose reply was used, before the rule.
    """

    model: dict[str, NDArray[Any]]
    records: tuple[ClientRecord, ...]
    state: Any
    shares: Mapping[Client, float]
    breach: str = ""


class Round:
    """One round of a federation.

    Every client that was asked counts: n is their number. What a client returns is held against the model,
    and refused with a reason where it cannot be an update of it. As soon as n - f replies are valid, and as
    many as the rule's theorem needs, the round has ``enough``. Whoever was refused is one of the f, so that
    the rule has fewer to withstand among the others; whoever is silent may be honest and slow.

    ``cap`` is the largest share that one client may hold where the rule honours weights; by default twice an
    equal share, and less where f such clients would hold half. ``claims=False`` gives all the same share.

    An ``accountant`` is told of every round, the refused included; more suspected than it was declared for is
    a breach.
    """

    def __init__(
        self,
        rule: Stage,
        model: Arrays,
        asked: Collection[Client],
        *,
        number: int = 1,
        cap: float | None = None,
        claims: bool = True,
        state: Any = None,
        stream: Stream | None = None,
        accountant: Accountant | None = None,
    ) -> None:
        check_rule(rule, cap)
        self.rule, self.model, self.number = rule, dict(model), number
        self.asked = tuple(asked)
        self.f = rule.f or 0
        self.cap, self.state = cap, state
        self.stream = as_stream(stream)
        self.accountant = accountant
        self.weighted = claims and honours_weights(rule)
        self._updates: dict[Client, dict[str, NDArray[Any]]] = {}
        self._claims: dict[Client, float] = {}
        self._refused: dict[Client, str] = {}
        self._entries = [name for name, base in self.model.items() if is_float(base) and base.size]
        if not self._entries:
            raise ParameterError("The model has no floating point entry, so there is nothing to aggregate.")
        admit(rule, len(self.asked))

    def take(
        self, client: Client, returned: Mapping[Any, Any], claimed: Any = None, *, differences: bool = False
    ) -> str:
        """Take what a client returned, once; return why it is refused, or nothing."""
        if self._answered(client):
            return "it was not asked, or has answered"
        try:
            if self.weighted:
                self._claims[client] = claim(claimed)
            self._updates[client] = update(self.model, returned, differences=differences)
        except InputError as error:
            self._claims.pop(client, None)
            return self.refuse(client, str(error))
        return ""

    def refuse(self, client: Client, why: str) -> str:
        """Count a client among the faulty, and return why."""
        if not self._answered(client):
            self._refused[client] = why
        return why

    @property
    def enough(self) -> bool:
        """Tell whether the round can be closed, so that nobody need be waited for."""
        if self.lost:
            return False
        return len(self._updates) >= max(len(self.asked) - self.f, self._left().condition().minimum)

    @property
    def lost(self) -> bool:
        """Tell whether more clients are faulty than the rule declares, so that waiting helps nobody."""
        return len(self._refused) > self.f

    def close(self, silent: Mapping[Client, str] | str = "no reply") -> Outcome:
        """Return what the round came to; ``silent`` says why a client has not answered."""
        clients = sorted(self._updates, key=str)
        breach = self._breach()
        if breach:
            return self._outcome({}, clients, silent, breach=breach)
        rule = self._left()
        vectors = [[self._updates[client][name] for name in self._entries] for client in clients]
        try:
            parties = self._parties(clients)
            result = rule.aggregate(
                vectors,
                state=self.state,
                weights=None if parties is None else parties.shares,
                mass=None if parties is None else parties.mass,
                stream=self.stream.at("rule", step=self.number),
            )
            geometry = Geometry.of(vectors, result.value)
            if self.accountant is not None:
                self.accountant.account(
                    geometry,
                    weights=result.weights,
                    parties=clients,
                    shares=parties,
                    refused=self._refused,
                )
        except VarangianError as error:
            return self._outcome(
                {}, clients, silent, breach=f"Round {self.number}: {error} The model is kept."
            )
        change = dict(zip(self._entries, result.value, strict=True))
        said = told(rule, parties, geometry, result.weights)
        return self._outcome(change, clients, silent, said=said, parties=parties, state=result.state)

    def _answered(self, client: Client) -> bool:
        return client not in self.asked or client in self._updates or client in self._refused

    def _left(self) -> Stage:
        """Return the rule, declared for the faulty clients that are not known yet."""
        return declare(self.rule, self.f - len(self._refused)) if self._refused else self.rule

    def _breach(self) -> str:
        """Say why the replies prove nothing, if they do."""
        n, valid, wrong = len(self.asked), len(self._updates), len(self._refused)
        silent = n - valid - wrong
        if valid < n - self.f:
            return (
                f"Round {self.number}: of {n} clients, {wrong} misbehaved and {silent} were silent, and "
                f"{self.rule!r} withstands {self.f}. The model is kept. "
                "Look at the records of the round, ask more clients, or declare a larger f."
            )
        try:
            admit(self._left(), valid)
        except ToleranceError as error:
            return f"Round {self.number}: {error} The model is kept."
        return ""

    def _parties(self, clients: list[Client]) -> Parties | None:
        """Return the shares of the clients, none above the cap. Raises WeightsError."""
        if not self.weighted:
            return None
        claims = [self._claims[client] for client in clients]
        holders = sum(number > 0 for number in claims)
        if not holders:
            raise WeightsError("No client claims an example.")
        cap = default_cap(holders, self.f) if self.cap is None else self.cap
        return weigh(claims, len(claims), self._left().f or 0, cap=max(cap, 1 / holders))

    def _outcome(
        self,
        change: Mapping[str, NDArray[Any]],
        clients: list[Client],
        silent: Mapping[Client, str] | str,
        *,
        said: list[dict[str, Any]] | None = None,
        parties: Parties | None = None,
        state: Any = None,
        breach: str = "",
    ) -> Outcome:
        model, finite = self.model, True
        if not breach:
            model = {name: self._next(name, change, clients) for name in self.model}
            finite = all(bool(np.isfinite(model[name]).all()) for name in self._entries)
        if not finite:
            return self._outcome({}, clients, silent, breach=f"Round {self.number}: {OVERFLOW}")
        shares = [1 / max(1, len(clients))] * len(clients) if parties is None else parties.shares.tolist()
        used = dict(zip(clients, said or [{}] * len(clients), strict=True))
        reasons = {client: why or "no reply" for client, why in self._silent(silent).items()} | self._refused
        records = tuple(
            ClientRecord(
                self.number,
                client,
                claim=self._claims.get(client),
                why=reasons.get(client, ""),
                **used.get(client, {}),
            )
            for client in sorted(self.asked, key=str)
        )
        held = self.state if breach else state
        return Outcome(model, records, held, dict(zip(clients, shares, strict=True)), breach)

    def _silent(self, why: Mapping[Client, str] | str) -> dict[Client, str]:
        quiet = [client for client in self.asked if not self._answered(client)]
        return {client: why if isinstance(why, str) else why.get(client, "") for client in quiet}

    def _next(self, name: str, change: Mapping[str, NDArray[Any]], clients: list[Client]) -> NDArray[Any]:
        """Return an entry of the next model; a counter takes the value in the middle."""
        base = self.model[name]
        if name in change:
            with np.errstate(over="ignore"):
                return np.asarray(base + change[name])
        if not base.size or is_float(base):
            return base
        held = np.sort([self._updates[client][name] for client in clients], axis=0)
        return np.asarray(held[len(clients) // 2])


OVERFLOW = "the next model would not be finite. The model is kept."
