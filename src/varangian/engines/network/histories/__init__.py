"""Histories: a seed draws a protocol's sizes, links, faults and schedule; invariants judge what happens."""

from varangian.engines.network.histories.broken import Broken
from varangian.engines.network.histories.history import Outcome, history, play
from varangian.engines.network.histories.many import Tally, many, tally
from varangian.engines.network.histories.scenario import PROTOCOLS, Scenario, scenario

__all__ = [
    "PROTOCOLS",
    "Broken",
    "Outcome",
    "Scenario",
    "Tally",
    "history",
    "many",
    "play",
    "scenario",
    "tally",
]
