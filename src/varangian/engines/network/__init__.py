"""A simulated network in virtual time: seeds -> histories of a protocol."""

from varangian.engines.network.events import Crash, Event, Partition
from varangian.engines.network.links import Constant, Delay, Exponential, HeavyTailed, Link, Uniform
from varangian.engines.network.network import Delivery, Network
from varangian.engines.network.train import OnNetwork

__all__ = [
    "Constant",
    "Crash",
    "Delay",
    "Delivery",
    "Event",
    "Exponential",
    "HeavyTailed",
    "Link",
    "Network",
    "OnNetwork",
    "Partition",
    "Uniform",
]
