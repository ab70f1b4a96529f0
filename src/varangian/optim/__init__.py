"""Optim: gradients -> what workers send, aggregates -> steps of the server."""

from varangian.optim.momentum import PLACES, Momentum
from varangian.optim.schedules import InverseDecay, Piecewise, Schedule, rate_at

__all__ = ["PLACES", "InverseDecay", "Momentum", "Piecewise", "Schedule", "rate_at"]
