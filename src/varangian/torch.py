"""For jobs of PyTorch's distributed package: ``varangian.torch.register(ddp_model, rule)``."""

from varangian.engines.torchdist import (
    FaultWatch,
    RobustHook,
    aggregate_gradients,
    init_process_group,
    register,
    register_fsdp,
    robust_all_reduce,
)

__all__ = [
    "FaultWatch",
    "RobustHook",
    "aggregate_gradients",
    "init_process_group",
    "register",
    "register_fsdp",
    "robust_all_reduce",
]
