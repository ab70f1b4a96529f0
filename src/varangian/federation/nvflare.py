"""For NVFlare: an aggregator of models by a rule, with no import of NVFlare's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varangian.accounting import Accountant
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.errors import InputError, ToleranceError
from varangian.federation.record import ClientRecord
from varangian.federation.round import Round
from varangian.federation.terms import check_rule

GLOBAL_MODEL, WEIGHTS = "global_model", "weights"
"""Where NVFlare's controller keeps the model that it sent."""


class NVFlareAggregator:
    """What NVFlare's ModelAggregator asks for: ``accept_model``, ``aggregate_model``, ``reset_stats``.

    Put it in front of NVFlare's own class, and hand it to the controller as its aggregator::

        from nvflare.app_common.aggregators.model_aggregator import ModelAggregator

        class RobustAggregator(NVFlareAggregator, ModelAggregator):
            pass

        aggregator = RobustAggregator(rule, clients=["site-1", "site-2", "site-3"])

    Clients may send differences (``DIFF``) or whole models (``FULL``); the rule sees differences: a whole
    model is taken against the one the controller holds, or else the last aggregate. What most clients agree
    upon is the model's shape. ``clients`` are those that are expected, without it those that come. A claim is
    what stands in the meta data under ``weight_key``. An ``accountant`` is told of every round. On a breach
    it raises, or with ``hold`` returns what changes nothing.

    Raises      ToleranceError on a breach; InputError where nothing tells what the clients started from
    """

    def __init__(
        self,
        rule: Stage,
        *,
        clients: Collection[str] | None = None,
        cap: float | None = None,
        claims: bool = True,
        hold: bool = False,
        seed: int = 0,
        weight_key: str = "NUM_STEPS_CURRENT_ROUND",
        accountant: Accountant | None = None,
    ) -> None:
        super().__init__()
        check_rule(rule, cap)
        self.rule, self.clients, self.cap, self.claims = rule, clients, cap, claims
        self.hold, self.stream, self.weight_key = hold, Stream(seed), weight_key
        self.accountant = accountant
        self.records: list[ClientRecord] = []
        self._models: dict[str, Any] = {}
        self._number = 0
        self._memory: Any = None
        self._last: dict[str, NDArray[Any]] | None = None

    def accept_model(self, model: Any) -> None:
        """Take one client's model, the first that it sends in a round."""
        self._models.setdefault(str(model.meta.get("client_name", len(self._models))), model)

    def reset_stats(self) -> None:
        """Forget the models of the round."""
        self._models = {}

    def aggregate_model(self) -> Any:
        """Return what the rule makes of the round's models, as differences if the clients sent those."""
        models, self._models = self._models, {}
        if not models:
            raise InputError("No client has sent a model.")
        self._number += 1
        whole = Counter(_kind(model) for model in models.values()).most_common(1)[0][0] == "FULL"
        start = self._start(models, whole)
        current = Round(
            self.rule,
            start,
            list(models if self.clients is None else self.clients),
            number=self._number,
            cap=self.cap,
            claims=self.claims,
            state=self._memory,
            stream=self.stream,
            accountant=self.accountant,
        )
        for client, model in models.items():
            if (_kind(model) == "FULL") != whole:
                current.refuse(client, f"it sent a model of type {_kind(model)}, and most did not")
            else:
                current.take(
                    client, model.params or {}, model.meta.get(self.weight_key), differences=not whole
                )
        outcome = current.close()
        self.records += outcome.records
        if outcome.breach and not self.hold:
            raise ToleranceError(outcome.breach)
        self._memory, self._last = outcome.state, dict(outcome.model) if whole else None
        first = next(iter(models.values()))
        return type(first)(params_type="FULL" if whole else "DIFF", params=dict(outcome.model))

    def _start(self, models: Mapping[str, Any], whole: bool) -> dict[str, NDArray[Any]]:
        """Return the model that clients started from; zeros of its shape where they send differences."""
        if whole:
            held = getattr(self, "fl_ctx", None)
            sent = held.get_prop(GLOBAL_MODEL) if held is not None else None
            start = sent[WEIGHTS] if sent else self._last
            if start is None:
                raise InputError(
                    "Whole models arrived, and nothing tells what the clients started from. "
                    "Have them send differences: params_type DIFF."
                )
            return {name: np.asarray(array) for name, array in start.items()}
        shapes = Counter(_shape(model) for model in models.values())
        ((usual, _),) = shapes.most_common(1)
        return {name: np.zeros(shape, kind) for name, shape, kind in usual}


def _kind(model: Any) -> str:
    kind = model.params_type
    return str(getattr(kind, "value", kind))


def _shape(model: Any) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    """Return the names, shapes and kinds of a model's arrays."""
    arrays = {str(name): np.asarray(array) for name, array in (model.params or {}).items()}
    return tuple((name, array.shape, str(array.dtype)) for name, array in sorted(arrays.items()))
