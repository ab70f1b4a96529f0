"""For OpenFL: an aggregation function by a rule, with no import of OpenFL's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.errors import InputError, ToleranceError
from varangian.federation.admission import is_float
from varangian.federation.record import ClientRecord
from varangian.federation.round import Round
from varangian.federation.terms import check_rule


class OpenFLAggregation:
    """What OpenFL's AggregationFunction asks for: ``call``.

    Put it in front of OpenFL's own class::

        from openfl.interface.aggregation_functions import AggregationFunction

        class RobustAggregation(OpenFLAggregation, AggregationFunction):
            pass

    OpenFL hands over one tensor at a time, so that a rule that judges by distances judges each tensor by
    itself: weaker than to judge whole models, as NVFlare and Flower let it. The rule sees differences to the
    tensor that the collaborators were sent, which is looked up in OpenFL's history; to zero where it holds
    none, as for metrics. A claim is the weight that OpenFL gives a collaborator. On a breach it raises, or
    with ``hold`` returns the tensor that was sent.

    Raises      ToleranceError on a breach
    """

    def __init__(
        self, rule: Stage, *, cap: float | None = None, claims: bool = True, hold: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        check_rule(rule, cap)
        self.rule, self.cap, self.claims, self.hold = rule, cap, claims, hold
        self.stream = Stream(seed)
        self.records: list[ClientRecord] = []
        self._memories: dict[str, Any] = {}

    def call(
        self,
        local_tensors: Sequence[Any],
        db_iterator: Iterable[Any],
        tensor_name: str,
        fl_round: int,
        tags: Sequence[str],
    ) -> NDArray[Any]:
        """Return what the rule makes of the collaborators' tensors."""
        clients = [str(one.col_name) for one in local_tensors]
        if not clients:
            raise InputError(f"No collaborator has sent {tensor_name}.")
        start = _sent(db_iterator, tensor_name, fl_round, clients)
        if start is None:
            start = np.zeros_like(_usual([np.asarray(one.tensor) for one in local_tensors]))
        if not is_float(start):
            alike = [one.tensor for one in local_tensors if np.asarray(one.tensor).shape == start.shape]
            return np.asarray(np.sort(alike, axis=0)[len(alike) // 2], dtype=start.dtype)
        current = Round(
            self.rule,
            {tensor_name: start},
            clients,
            number=int(fl_round),
            cap=self.cap,
            claims=self.claims,
            state=self._memories.get(tensor_name),
            stream=self.stream.at(tensor_name),
        )
        for one in local_tensors:
            current.take(str(one.col_name), {tensor_name: np.asarray(one.tensor)}, one.weight)
        outcome = current.close()
        self.records += outcome.records
        if outcome.breach and not self.hold:
            raise ToleranceError(f"{tensor_name}: {outcome.breach}")
        self._memories[tensor_name] = outcome.state
        return outcome.model[tensor_name]


def _sent(history: Iterable[Any], name: str, number: int, clients: Sequence[str]) -> NDArray[Any] | None:
    """Return the newest tensor of the server's own, up to this round."""
    newest, found = -1, None
    for row in history:
        tags = set(row["tags"])
        own = "model" in tags and not tags & {"trained", "delta", "metric", *clients}
        if row["tensor_name"] == name and own and newest < int(row["round"]) <= number:
            newest, found = int(row["round"]), np.asarray(row["nparray"])
    return found


def _usual(tensors: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the first tensor of the shape and kind that most have."""
    kinds = [(tensor.shape, str(tensor.dtype)) for tensor in tensors]
    return tensors[kinds.index(max(kinds, key=kinds.count))]
