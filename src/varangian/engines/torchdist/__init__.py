"""PyTorch's own processes: gradients of ranks -> one, by a rule; a rank per worker, one owner."""

from varangian.engines.torchdist.collective import robust_all_reduce
from varangian.engines.torchdist.hook import RobustHook, register

__all__ = ["RobustHook", "register", "robust_all_reduce"]
