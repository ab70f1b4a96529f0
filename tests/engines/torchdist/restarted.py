"""Train under torchrun, as ``restarted.py FOLDER``; in the first attempt the last rank dies."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))

from engines.torchdist.jobs import backward, ddp, model

import varangian as vg
from varangian.torch import init_process_group, register

STEPS, DEATH = 6, 3


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, n, attempt = dist.get_rank(), dist.get_world_size(), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    checkpoint, net = folder / "checkpoint.pt", model()
    begun = 0
    if checkpoint.exists():
        begun, state = torch.load(checkpoint)
        net.load_state_dict(state)
    trained = ddp(net)
    register(trained, vg.Median(f=1))
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    for step in range(begun, STEPS):
        optimizer.zero_grad()
        backward(trained, rank, step)
        optimizer.step()
        if rank == 0:
            torch.save((step + 1, net.state_dict()), folder / "new.pt")
            (folder / "new.pt").rename(checkpoint)
        dist.barrier()
        if attempt == 0 and rank == n - 1 and step + 1 == DEATH:
            os.kill(os.getpid(), signal.SIGKILL)
    weights = torch.cat([p.detach().flatten() for p in net.parameters()])
    said = {"attempt": attempt, "begun": begun, "weights": weights.tolist()}
    (folder / f"{rank}.json").write_text(json.dumps(said), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
