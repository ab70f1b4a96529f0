"""A strategy of Flower that aggregates updates by a rule, and survives what clients return."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import FedAvg, Result

from varangian.accounting import Accountant
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.engines.flower.grid import QuorumGrid
from varangian.engines.flower.nodes import Nodes
from varangian.engines.flower.replies import arrays_of, combined, medians, metrics_of, model_of, record_of
from varangian.engines.flower.state import ServerState
from varangian.errors import InputError, ParameterError, ToleranceError
from varangian.federation.record import ClientRecord, append_lines, as_table
from varangian.federation.round import Outcome, Round
from varangian.federation.terms import capped, check_rule

log = logging.getLogger("flwr")
POLICIES = ("stop", "raise", "hold")
BUSY, GONE = "still at work on an earlier round", "not connected"
"""Why a node was not asked."""


class RobustStrategy(FedAvg):  # type: ignore[misc] # Flower is not installed where types are checked
    """FedAvg with a rule in place of the mean; it takes FedAvg's arguments, by keyword, beside its own.

    The rule sees updates, what clients return minus the model they were sent, so that it loses no digits to
    the model's norm. A reply that cannot be such an update is left out, with the reason in ``records``: other
    entries, shapes or kinds, values that are not finite, bytes that cannot be read, an error, an impossible
    claim. The model keeps its dtypes, and metrics that not all clients report are left out.

    The round goes on as soon as n - f replies are valid, and as many as the rule's theorem needs; with
    ``wait_for_all``, when all have come or Flower's timeout is over. If more than f clients misbehave or stay
    silent, the model is kept, and the run stops, raises, or holds the model and goes on
    (``on_breach="stop"``, ``"raise"``, ``"hold"``).

    ``rule`` may be a function of the number of clients that are asked. Where it honours weights, claimed
    example counts count, with no share above ``cap``, by default twice an equal share; ``claims=False`` gives
    all the same. ``state`` names a file in which every round is kept: a restarted server goes on with the
    next one. ``lines`` names a file to which a line of JSON is added for every client in every round. An
    ``accountant`` is told of every round, and more clients suspected than it was declared for are a breach.

    Trust       clients may return anything; the server and whoever publishes its code are trusted
    Randomness  which clients are asked, and the rule's: from ``seed`` and the round
    Raises      ParameterError; ToleranceError before a round that asks too few, and see ``on_breach``
    """

    def __init__(
        self,
        rule: Stage | Callable[[int], Stage],
        *,
        cap: float | None = None,
        claims: bool = True,
        wait_for_all: bool = False,
        on_breach: str = "stop",
        state: str | os.PathLike[str] | None = None,
        lines: str | os.PathLike[str] | None = None,
        seed: int = 0,
        accountant: Accountant | None = None,
        **options: Any,
    ) -> None:
        if isinstance(rule, Stage):
            check_rule(rule, cap)
        elif not callable(rule):
            raise ParameterError(
                f"rule = {rule!r} arrived; pass a rule, or a function of the number of clients."
            )
        if on_breach not in POLICIES:
            raise ParameterError(f"on_breach = {on_breach!r} arrived; choose from {', '.join(POLICIES)}.")
        for name in ("train_metrics_aggr_fn", "evaluate_metrics_aggr_fn"):
            options[name] = options.get(name) or medians
        super().__init__(**options)
        self.rule, self.cap, self.claims = rule, cap, claims
        self.wait_for_all, self.on_breach = wait_for_all, on_breach
        self.state, self.lines, self.stream = state, lines, Stream(seed)
        self.accountant = accountant
        self.records: list[ClientRecord] = []
        self.breach = ""
        self._memory: Any = None
        self.nodes = Nodes()
        self.timeout = 3600.0
        self._round: Round | None = None
        self._faults = 0
        self._messages: list[Any] = []
        self._evaluation: list[int] = []
        self._evaluated = 0
        self._taken: set[int] = set()
        self._unasked: dict[int | str, str] = {}

    def table(self) -> str:
        """Return the records of all rounds as a table."""
        return as_table(self.records)

    def summary(self) -> None:
        """Log how the strategy is set up."""
        log.info("\t├──> Rule: %s; on breach: %s", self._name(), self.on_breach)
        super().summary()

    def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Iterable[Any]:
        """Begin a round: ask nodes, but for those that are busy or gone. Raises ToleranceError."""
        if not self.fraction_train:
            return []
        asked = self._asked(grid, "train", server_round)
        rule = self.rule if isinstance(self.rule, Stage) else self.rule(len(asked))
        self._faults = rule.f or 0
        self._round = Round(
            rule,
            model_of(arrays),
            asked,
            number=server_round,
            cap=self.cap,
            claims=self.claims,
            state=self._memory,
            stream=self.stream,
            accountant=self.accountant,
        )
        return self._sent(asked, server_round, arrays, config, grid, MessageType.TRAIN)

    def configure_evaluate(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Iterable[Any]:
        """Ask nodes for an evaluation, but for those that are busy or gone. Raises ToleranceError."""
        if not self.fraction_evaluate:
            return []
        self._evaluation, self._evaluated = self._asked(grid, "evaluate", server_round), 0
        return self._sent(self._evaluation, server_round, arrays, config, grid, MessageType.EVALUATE)

    def _asked(self, grid: Any, phase: str, number: int) -> list[int]:
        return self.nodes.asked(
            grid,
            getattr(self, f"fraction_{phase}"),
            getattr(self, f"min_{phase}_nodes"),
            self.min_available_nodes,
            seconds=self.timeout,
            stream=self.stream.at(phase, round=number),
        )

    def _sent(
        self, asked: list[int], number: int, arrays: Any, config: Any, grid: Any, kind: str
    ) -> list[Any]:
        """Return the messages to those who can be asked, and remember why the others cannot."""
        busy = grid.busy() if isinstance(grid, QuorumGrid) else set()
        config["server-round"] = number
        record = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        there = [node for node in asked if node in self.nodes.connected and node not in busy]
        self._unasked = {node: BUSY if node in busy else GONE for node in asked if node not in there}
        self._messages = [Message(record, node, kind) for node in there]
        self._taken = set()
        return self._messages

    def aggregate_train(self, server_round: int, replies: Iterable[Any]) -> tuple[Any, Any]:
        """Return the next model and the metrics, or (None, None) where the model is kept.

        Raises ToleranceError on a breach, if that is the policy.
        """
        self.breach = ""
        held = list(replies)
        if self._round is None:
            if held:
                raise ParameterError(f"{len(held)} replies arrived before configure_train asked for any.")
            return None, None
        current, self._round = self._round, None
        for reply in held:
            self._take(current, reply)
        outcome = current.close(self._unasked)
        self._tell(outcome)
        if outcome.breach:
            self.breach = outcome.breach
            log.error("%s", outcome.breach)
            if self.on_breach == "raise":
                raise ToleranceError(outcome.breach)
            return None, None
        self._memory = outcome.state
        used = {node: metrics_of(reply) for reply in held if (node := self._node(reply)) in outcome.shares}
        return record_of(outcome.model), combined(
            used, outcome.shares, self.train_metrics_aggr_fn, self.weighted_by_key
        )

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Any]) -> Any:
        """Return the metrics that all clients report, aggregated; None if fewer than n - f report any."""
        found: dict[int, dict[str, Any]] = {}
        for reply in replies:
            try:
                found.setdefault(self._node(reply), metrics_of(reply))
            except InputError as error:
                log.info("\t> node %s: %s", self._node(reply), error)
        if len(found) < max(1, len(self._evaluation) - self._faults):
            return None
        shares = capped([one.get(self.weighted_by_key) for one in found.values()], self.cap, self._faults)
        known = dict(zip(found, shares, strict=True))
        return combined(found, known, self.evaluate_metrics_aggr_fn, self.weighted_by_key)

    def start(
        self,
        grid: Any,
        initial_arrays: Any,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: Any = None,
        evaluate_config: Any = None,
        evaluate_fn: Callable[[int, Any], Any] | None = None,
    ) -> Any:
        """Run the rounds up to ``num_rounds``, those in the state file left out; see Flower's own ``start``.

        ``timeout`` is the deadline of each phase of a round, in seconds. Raises ToleranceError on a breach,
        if that is the policy.
        """
        self.summary()
        self.timeout = timeout
        quorum = QuorumGrid(grid, self._enough)
        train_config, evaluate_config = train_config or ConfigRecord(), evaluate_config or ConfigRecord()
        result = Result()
        done, arrays = self._resumed(initial_arrays)
        result.arrays = arrays
        if evaluate_fn and not done and (measured := evaluate_fn(0, arrays)) is not None:
            result.evaluate_metrics_serverapp[0] = measured
        for number in range(done + 1, num_rounds + 1):
            log.info("[ROUND %s/%s]", number, num_rounds)
            asked = self.configure_train(number, arrays, train_config, quorum)
            new, metrics = self.aggregate_train(number, quorum.send_and_receive(asked, timeout=timeout))
            if self.breach and self.on_breach == "stop":
                break
            if new is not None:
                result.arrays = arrays = new
            if metrics is not None:
                result.train_metrics_clientapp[number] = metrics
            self._save(number, arrays)
            asked = self.configure_evaluate(number, arrays, evaluate_config, quorum)
            metrics = self.aggregate_evaluate(number, quorum.send_and_receive(asked, timeout=timeout))
            if metrics is not None:
                result.evaluate_metrics_clientapp[number] = metrics
            if evaluate_fn and (measured := evaluate_fn(number, arrays)) is not None:
                result.evaluate_metrics_serverapp[number] = measured
        return result

    def _enough(self, reply: Any) -> bool:
        """Take a reply as it comes, and tell whether to stop waiting for others."""
        if self._round is not None:
            self._take(self._round, reply)
            return self._round.lost or (self._round.enough and not self.wait_for_all)
        self._evaluated += not reply.has_error()
        return not self.wait_for_all and self._evaluated >= len(self._evaluation) - self._faults

    def _take(self, current: Round, reply: Any) -> None:
        if id(reply) in self._taken:
            return
        self._taken.add(id(reply))
        node = self._node(reply)
        try:
            arrays = arrays_of(reply, current.model)
        except InputError as error:
            current.refuse(node, str(error))
        else:
            current.take(node, arrays, metrics_of(reply).get(self.weighted_by_key))

    def _node(self, reply: Any) -> int:
        """Return the node that was sent what this answers; what a reply says of its sender proves nothing."""
        sent = {message.metadata.message_id: message.metadata.dst_node_id for message in self._messages}
        node: int = sent.get(reply.metadata.reply_to_message_id, reply.metadata.src_node_id)
        return node

    def _tell(self, outcome: Outcome) -> None:
        self.records += outcome.records
        for record in outcome.records:
            if record.rejected:
                log.warning("\t> round %s, node %s: %s", record.round, record.client, record.why)
        if self.lines is not None:
            append_lines(self.lines, outcome.records)

    def _resumed(self, initial: Any) -> tuple[int, Any]:
        """Return the rounds that are done, and the model to go on with."""
        kept = None if self.state is None else ServerState.load(self.state, self._name())
        if kept is None:
            return 0, initial
        fresh = {name: (array.shape, array.dtype) for name, array in model_of(initial).items()}
        if fresh != {name: (array.shape, array.dtype) for name, array in kept.model.items()}:
            raise ParameterError(f"{self.state} holds another model than the initial one. Name another file.")
        self._memory = kept.memory
        log.info("Going on after round %s", kept.round)
        return kept.round, record_of(kept.model)

    def _save(self, number: int, arrays: Any) -> None:
        if self.state is not None:
            ServerState(self._name(), number, model_of(arrays), self._memory).save(self.state)

    def _name(self) -> str:
        return repr(self.rule) if isinstance(self.rule, Stage) else self.rule.__qualname__
