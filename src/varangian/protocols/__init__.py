"""Protocols: who says what to whom; state machines without input or output, the same for every engine."""

from varangian.protocols.agreement import Agreement
from varangian.protocols.averaging import Averaging
from varangian.protocols.broadcast import Broadcaster, ReliableBroadcast
from varangian.protocols.by_diameter import ByDiameter
from varangian.protocols.by_witness import ByWitness
from varangian.protocols.decentralised import Decentralised
from varangian.protocols.faults import (
    FAULTS,
    Equivocating,
    Fault,
    Flooding,
    Liar,
    Misdated,
    Misshapen,
    Noise,
    NotANumber,
    Replaying,
    Reversed,
    Silent,
)
from varangian.protocols.group import Group
from varangian.protocols.mailbox import Mailbox, Refusal
from varangian.protocols.message import NOBODY, Alarm, Body, Form, Kind, Message, Output, Topic
from varangian.protocols.node import Node, Stands
from varangian.protocols.served import CrashTolerant, Replicated, Single, Synchronous
from varangian.protocols.topology import Task, Topology
from varangian.protocols.work import Keeper, Learner, Reducer

TOPOLOGIES: tuple[type[Topology], ...] = (Single, CrashTolerant, Replicated, Synchronous, Decentralised)
"""All topologies."""

__all__ = [
    "FAULTS",
    "NOBODY",
    "TOPOLOGIES",
    "Agreement",
    "Alarm",
    "Averaging",
    "Body",
    "Broadcaster",
    "ByDiameter",
    "ByWitness",
    "CrashTolerant",
    "Decentralised",
    "Equivocating",
    "Fault",
    "Flooding",
    "Form",
    "Group",
    "Keeper",
    "Kind",
    "Learner",
    "Liar",
    "Mailbox",
    "Message",
    "Misdated",
    "Misshapen",
    "Node",
    "Noise",
    "NotANumber",
    "Output",
    "Reducer",
    "Refusal",
    "ReliableBroadcast",
    "Replaying",
    "Replicated",
    "Reversed",
    "Silent",
    "Single",
    "Stands",
    "Synchronous",
    "Task",
    "Topic",
    "Topology",
]
