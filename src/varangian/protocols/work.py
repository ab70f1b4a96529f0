"""What a protocol asks of training: a worker's gradients, and a server's steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from varangian.protocols.message import Body

Reducer = Callable[[list[Body]], Body]
"""A rule, as a protocol uses it: some vectors become one."""


@runtime_checkable
class Learner(Protocol):
    """A worker's side: what it samples, and what it makes of that before it sends it."""

    def sampled(self, theta: Body, step: int) -> Body:
        """Return the gradient at ``theta``, ``(d,)``; asking again changes nothing."""

    def sent(self, sampled: Body, step: int) -> Body:
        """Return what goes out, momentum for instance; once a step."""

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""

    def state(self) -> dict[str, Any]:
        """Return what a restarted worker needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""


@runtime_checkable
class Keeper(Protocol):
    """A server's side: the parameters, and what a step makes of the gradients that came."""

    theta: Body

    def aggregate(self, gradients: Mapping[int, Body], step: int) -> Body:
        """Return one direction, ``(d,)``, of the gradients by worker."""

    def apply(self, direction: Body, step: int) -> None:
        """Replace ``theta`` by what a step in a direction makes of it."""

    def state(self) -> dict[str, Any]:
        """Return what a restarted server needs besides ``theta``."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
