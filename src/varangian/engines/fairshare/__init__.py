"""Fair share: uplinks and hosts -> queues in the kernel that give every host as much as any other."""

from varangian.engines.fairshare.kernel import Kernel, Standing
from varangian.engines.fairshare.plan import Step, plan
from varangian.engines.fairshare.uplinks import MOST_HOSTS, Host, Uplink, dealt, hosts_of

__all__ = ["MOST_HOSTS", "Host", "Kernel", "Standing", "Step", "Uplink", "dealt", "hosts_of", "plan"]
