"""A robust rule in a torchrun job.

Run it by torchrun --nproc-per-node=4 examples/ddp.py
The last rank's labels are wrong. Plain averaging would follow it a quarter of the way.
"""

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import varangian as vg
from varangian.data import load_dataset
from varangian.torch import FaultWatch, register

dist.init_process_group("gloo")
rank, n = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
digits = load_dataset("digits")
x, y = digits.train_inputs[rank::n].flatten(1), digits.train_labels[rank::n]
if rank == n - 1:
    y = 9 - y

model = DistributedDataParallel(torch.nn.Linear(64, 10))
watch = FaultWatch()
register(model, vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1)), watch=watch)

optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
generator = torch.Generator().manual_seed(rank)
for _ in range(150):
    picked = torch.randint(len(x), (32,), generator=generator)
    optimizer.zero_grad()
    cross_entropy(model(x[picked]), y[picked]).backward()
    optimizer.step()

right = model(digits.test_inputs.flatten(1)).argmax(1) == digits.test_labels
if rank == 0:
    print(f"{right.float().mean():.1%} right; named as wrong: {sorted({f.rank for f in watch.faults})}")
dist.destroy_process_group()
