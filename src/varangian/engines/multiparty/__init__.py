"""Real parties that distrust each other: a node, its peers' certificates -> the node run to its end."""

from varangian.engines.multiparty.host import Host
from varangian.engines.multiparty.identity import Credentials
from varangian.engines.multiparty.limits import Limits
from varangian.engines.multiparty.link import Peer

__all__ = ["Credentials", "Host", "Limits", "Peer"]
