"""What servers and workers have in common: whom they talk to, how far they go, what they wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from varangian.protocols.group import Group
from varangian.protocols.mailbox import WINDOW
from varangian.protocols.message import Kind
from varangian.protocols.node import Node


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all of them know alike. ``gather_every`` counts steps, 0 for never; ``patience`` is in seconds."""

    kinds: Mapping[str, Kind]
    servers: Group
    workers: Group
    steps: int
    gather_every: int = 0
    patience: float = 0.0
    window: int = WINDOW


class Member(Node):
    """A server or a worker of a setting."""

    def __init__(self, party: int, setting: Setting) -> None:
        super().__init__(party, setting.kinds, setting.window)
        self.servers, self.workers, self.steps = setting.servers, setting.workers, setting.steps
        self.gather_every, self.patience = setting.gather_every, setting.patience
