"""Clients of Flower that lie, for tests: mods that change what a ClientApp returns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from flwr.app import Array
from numpy.typing import NDArray

from varangian.core.randomness import Stream
from varangian.errors import UnknownNameError

Model = dict[str, NDArray[Any]]


def attack_mod(
    kind: str, *, factor: float = 1.0, seed: int = 0, clients: Collection[int] | None = None
) -> Callable[[Any, Any, Callable[[Any, Any], Any]], Any]:
    """Return a mod for ``ClientApp(mods=[...])`` with which a client lies when it is trained.

    ========================  ==========================================================================
    ``sign-flip``             the update, turned round, times ``factor``
    ``scale``                 the update times ``factor``
    ``noise``                 Gaussian noise with ``factor`` for its deviation, in place of an update
    ``nan``, ``infinity``     nothing else, in every entry
    ``claims``                the update, and ``factor`` for the number of examples
    ``other-entry``           one entry under another name
    ``other-shape``           one entry with one more value
    ``other-kind``            one entry as whole numbers
    ``float64``               every entry in 64 bits
    ``other-metric``          one more metric
    ``unreadable``            one entry of bytes that are no array
    ``empty``                 no arrays at all
    ``error``                 the client fails
    ========================  ==========================================================================

    ``clients`` lists the ``partition-id`` of those who lie; without it, everybody does.

    Randomness  of ``noise``, from ``seed``, the client and the round
    Raises      UnknownNameError
    """
    if kind not in KINDS:
        raise UnknownNameError("attack of a client", kind, KINDS)

    def mod(message: Any, context: Any, call_next: Callable[[Any, Any], Any]) -> Any:
        client = int(context.node_config.get("partition-id", 0))
        reply = call_next(message, context)
        if message.metadata.message_type != "train" or (clients is not None and client not in clients):
            return reply
        sent = _only(message.content.array_records)
        round_of = _only(message.content.config_records).get("server-round", 0)
        stream = Stream(seed).at("noise", client=client, round=int(round_of))
        return KINDS[kind](reply, sent, factor, stream)

    return mod


def _only(records: Any) -> Any:
    return next(iter(records.values()), {})


def _updates(change: Callable[[NDArray[Any], float, np.random.Generator], Any]) -> Callable[..., Any]:
    """Return an attack that changes the update of every floating point entry."""

    def attack(reply: Any, sent: Any, factor: float, stream: Stream) -> Any:
        random = stream.numpy()
        record = _only(reply.content.array_records)
        for name, array in list(record.items()):
            values, base = array.numpy(), sent[name].numpy()
            if values.dtype.kind == "f":
                with np.errstate(over="ignore", invalid="ignore"):
                    forged = base + np.asarray(change(values - base, factor, random))
                record[name] = Array(np.asarray(forged).astype(values.dtype))
        return reply

    return attack


def _first(change: Callable[[Any, str], None]) -> Callable[..., Any]:
    """Return an attack on the first entry of a reply."""

    def attack(reply: Any, sent: Any, factor: float, stream: Stream) -> Any:
        record = _only(reply.content.array_records)
        change(record, next(iter(record)))
        return reply

    return attack


def _claims(reply: Any, sent: Any, factor: float, stream: Stream) -> Any:
    _only(reply.content.metric_records)["num-examples"] = factor
    return reply


def _other_metric(reply: Any, sent: Any, factor: float, stream: Stream) -> Any:
    _only(reply.content.metric_records)["one-more"] = factor
    return reply


def _empty(reply: Any, sent: Any, factor: float, stream: Stream) -> Any:
    for name in list(reply.content.array_records):
        del reply.content[name]
    return reply


def _float64(reply: Any, sent: Any, factor: float, stream: Stream) -> Any:
    record = _only(reply.content.array_records)
    for name, array in list(record.items()):
        record[name] = Array(np.asarray(array.numpy(), dtype=np.float64))
    return reply


def _error(reply: Any, sent: Any, factor: float, stream: Stream) -> Any:
    raise RuntimeError("this client fails, as it was told to")


def _renamed(record: Any, name: str) -> None:
    record[f"{name}-other"] = record.pop(name)


def _longer(record: Any, name: str) -> None:
    values = record[name].numpy()
    record[name] = Array(np.append(values.ravel(), values.dtype.type(0)))


def _unreadable(record: Any, name: str) -> None:
    old = record[name]
    record[name] = Array(old.dtype, tuple(old.shape), old.stype, b"no array at all")


KINDS: dict[str, Callable[..., Any]] = {
    "sign-flip": _updates(lambda update, factor, random: -factor * update),
    "scale": _updates(lambda update, factor, random: factor * update),
    "noise": _updates(lambda update, factor, random: factor * random.standard_normal(update.shape)),
    "nan": _updates(lambda update, factor, random: np.full(update.shape, np.nan)),
    "infinity": _updates(lambda update, factor, random: np.full(update.shape, np.inf)),
    "claims": _claims,
    "other-entry": _first(_renamed),
    "other-shape": _first(_longer),
    "other-kind": _first(
        lambda record, name: record.update({name: Array(np.zeros(record[name].shape, np.int32))})
    ),
    "float64": _float64,
    "other-metric": _other_metric,
    "unreadable": _first(_unreadable),
    "empty": _empty,
    "error": _error,
}
"""What each kind does to a reply."""
