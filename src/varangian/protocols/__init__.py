"""Protocols: who says what to whom; state machines without input or output, the same for every engine."""

from varangian.protocols.averaging import Agreement, Averaging, ByDiameter, ByWitness
from varangian.protocols.broadcast import Broadcaster, ReliableBroadcast
from varangian.protocols.faults import FAULTS, Fault, Liar, fault_named
from varangian.protocols.group import Group
from varangian.protocols.mailbox import Mailbox, Refusal
from varangian.protocols.message import NOBODY, Alarm, Body, Form, Kind, Message, Output, Topic
from varangian.protocols.node import Node
from varangian.protocols.topology import (
    CrashTolerant,
    Decentralised,
    Replicated,
    Single,
    Synchronous,
    Task,
    Topology,
)
from varangian.protocols.work import Keeper, Learner, Reducer

__all__ = [
    "FAULTS",
    "NOBODY",
    "Agreement",
    "Alarm",
    "Averaging",
    "Body",
    "Broadcaster",
    "ByDiameter",
    "ByWitness",
    "CrashTolerant",
    "Decentralised",
    "Fault",
    "Form",
    "Group",
    "Keeper",
    "Kind",
    "Learner",
    "Liar",
    "Mailbox",
    "Message",
    "Node",
    "Output",
    "Reducer",
    "Refusal",
    "ReliableBroadcast",
    "Replicated",
    "Single",
    "Synchronous",
    "Task",
    "Topic",
    "Topology",
    "fault_named",
]
