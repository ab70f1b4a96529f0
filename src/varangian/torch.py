"""For jobs of PyTorch's distributed package: ``varangian.torch.register(ddp_model, rule)``."""

from varangian.engines.torchdist import RobustHook, register, robust_all_reduce

__all__ = ["RobustHook", "register", "robust_all_reduce"]
