"""PyTorch's own processes: gradients of ranks -> one, by a rule; a rank per worker, one owner."""

from varangian.engines.torchdist.collective import robust_all_reduce
from varangian.engines.torchdist.hook import RobustHook, register
from varangian.engines.torchdist.restarts import init_process_group
from varangian.engines.torchdist.sharded import aggregate_gradients, register_fsdp
from varangian.engines.torchdist.watch import FaultWatch

__all__ = [
    "FaultWatch",
    "RobustHook",
    "aggregate_gradients",
    "init_process_group",
    "register",
    "register_fsdp",
    "robust_all_reduce",
]
