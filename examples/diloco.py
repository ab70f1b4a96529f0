"""DiLoCo with a robust outer step.

Run it by torchrun --nproc-per-node=4 examples/diloco.py
Ranks train alone for 20 steps; then their pseudo-gradients, old weights minus new ones, are aggregated.
"""

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy

import varangian as vg
from varangian.data import load_dataset
from varangian.torch import robust_all_reduce

dist.init_process_group("gloo")
rank, n = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
digits = load_dataset("digits")
x, y = digits.train_inputs[rank::n].flatten(1), digits.train_labels[rank::n]
if rank == n - 1:
    y = 9 - y  # one rank has learned something else

model = torch.nn.Linear(64, 10)
outer = [p.detach().clone().requires_grad_() for p in model.parameters()]
outer_step = torch.optim.SGD(outer, lr=0.7, momentum=0.9, nesterov=True)
generator = torch.Generator().manual_seed(rank)

for _ in range(10):
    inner_step = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(20):
        picked = torch.randint(len(x), (32,), generator=generator)
        inner_step.zero_grad()
        cross_entropy(model(x[picked]), y[picked]).backward()
        inner_step.step()
    moved = torch.cat([(a - b).detach().flatten() for a, b in zip(outer, model.parameters(), strict=True)])
    robust_all_reduce(moved, vg.GeometricMedian(f=1))  # judged as one vector
    for p, part in zip(outer, moved.split([p.numel() for p in outer]), strict=True):
        p.grad = part.view_as(p)
    outer_step.step()
    for p, new in zip(model.parameters(), outer, strict=True):
        p.data.copy_(new)

right = model(digits.test_inputs.flatten(1)).argmax(1) == digits.test_labels
if rank == 0:
    print(f"{right.float().mean():.1%} right")
dist.destroy_process_group()
