"""Momentum at the worker, at the server, or at the update: where the memory sits decides what it hides."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

PLACES = ("worker", "server", "update")


@dataclass(frozen=True)
class Momentum:
    """Heavy-ball momentum mu with dampening D, at one of three places.

    worker   m_i <- mu m_i + (1 - D) g_i     sent: m_i       theta <- theta - a F(m)
    server   g'_i = (1 - D) g_i + mu m       received: g_i   m <- F(g'), theta <- theta - a m
    update   m <- mu m + (1 - D) F(g)        received: g_i   theta <- theta - a m

    With Nesterov, gradients are taken at theta - a mu m (m_i at the worker). mu and D may be tensors that
    broadcast against the vectors, where many runs step at once.

    Reference   El-Mhamdi et al., ICLR 2021
    """

    mu: float | Tensor = 0.0
    place: str = "worker"
    dampening: float | Tensor = 0.0
    nesterov: bool = False

    def accumulate(
        self, memory: Float[Tensor, "... d"], new: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... d"]:
        """Return mu * memory + (1 - D) * new."""
        return self.mu * memory + (1 - self.dampening) * new

    def sent(
        self, memory: Float[Tensor, "... d"], gradient: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... d"]:
        """Return what a worker sends, given its own memory: also its memory from now on."""
        return self.accumulate(memory, gradient) if self.place == "worker" else gradient

    def received(
        self, memory: Float[Tensor, "... d"], sent: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... d"]:
        """Return what the server hands to its rule, given its memory."""
        return self.accumulate(memory, sent) if self.place == "server" else sent

    def unreceived(
        self, memory: Float[Tensor, "... d"], received: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... d"]:
        """Return what must be sent for the server to hand this to its rule; dampening below one."""
        return (received - self.mu * memory) / (1 - self.dampening) if self.place == "server" else received

    def applied(
        self, memory: Float[Tensor, "... d"], aggregated: Float[Tensor, "... d"]
    ) -> Float[Tensor, "... d"]:
        """Return the server's direction, given its memory: also its memory from now on."""
        return self.accumulate(memory, aggregated) if self.place == "update" else aggregated

    def lookahead(
        self, memory: Float[Tensor, "... d"], rate: float | Tensor
    ) -> Float[Tensor, "... d"] | float:
        """Return what to add to the parameters before a gradient is taken."""
        return -rate * self.mu * memory if self.nesterov else 0.0
