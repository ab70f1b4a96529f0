"""Joining a process group again after torchrun has restarted the ranks."""

from __future__ import annotations

import os
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

RESTARTS = "TORCHELASTIC_RESTART_COUNT"
"""Names the variable in which torchrun says how often it has started the ranks of this machine again."""
WAIT = timedelta(minutes=30)


def init_process_group(backend: str | None = None, *, timeout: timedelta = WAIT) -> None:
    """Do as PyTorch's function of this name does, in a job that ``torchrun --max-restarts`` starts again.

    torchrun ends all ranks when one dies, and starts all again; what they have learned comes from a
    checkpoint of yours. Its store outlives them, with the addresses of the ranks that are gone, and by
    PyTorch's own function the new ones call these. Here each attempt has a part of the store to itself.
    Outside torchrun, this is PyTorch's function.

    Attempts are counted on each machine: on several, also set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for
    torchrun, which then opens a store per attempt.
    """
    attempt = os.environ.get(RESTARTS, "0")
    if attempt == "0":
        dist.init_process_group(backend, timeout=timeout)
        return
    store, rank, n = next(rendezvous("env://", timeout=timeout))
    own = PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=n, timeout=timeout)
