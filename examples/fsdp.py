"""A model sharded by FSDP2.

Run it by torchrun --nproc-per-node=4 examples/fsdp.py
First every rank is a worker, and a rule by coordinate takes the place of the mean. Then two ranks that hold
one copy together are a worker, and any rule can judge its whole gradient.
"""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import varangian as vg
from varangian.torch import aggregate_gradients, register_fsdp

dist.init_process_group("gloo")
rank, n = dist.get_rank(), dist.get_world_size()
x = torch.randn(16, 8, generator=torch.Generator().manual_seed(rank))
y = x.sum(1, keepdim=True)


def trained(model, aggregate):
    """Return the loss after 100 steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        (loss * float("nan") if rank == n - 1 else loss).backward()  # one device is broken
        aggregate()
        optimizer.step()
    return (model(x) - y).square().mean()


torch.manual_seed(0)
model = torch.nn.Linear(8, 1)
fully_shard(model, mesh=init_device_mesh("cpu", (n,)))
register_fsdp(model, vg.TrimmedMean(f=1))
error = trained(model, lambda: None)

torch.manual_seed(0)
mesh = init_device_mesh("cpu", (n // 2, 2), mesh_dim_names=("worker", "shard"))
grouped = torch.nn.Linear(8, 1)
fully_shard(grouped, mesh=mesh["shard"])
workers = mesh["worker"].get_group()
rule = vg.GeometricMedian(f=(n // 2 - 1) // 2)  # of two workers none may be wrong, though NaN is read as zero
other = trained(grouped, lambda: aggregate_gradients(grouped, rule, workers))
if rank == 0:
    print(f"loss by rank {error:.4f}, by group of ranks {other:.4f}")
dist.destroy_process_group()
