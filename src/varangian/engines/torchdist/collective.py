"""A rule over the ranks of a process group: each rank aggregates its shard of everybody's vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import pad

from varangian.core.guard import admit
from varangian.core.needs import Pivot, Reads
from varangian.core.randomness import Stream, as_stream
from varangian.core.run import Aggregation
from varangian.core.shards import InShards
from varangian.core.stages import CoordinateRule, Stage
from varangian.engines.torchdist.lending import lent
from varangian.errors import ParameterError, RankError, VarangianError

Group = Any
"""A process group of PyTorch, or None for all ranks."""


def by_coordinate(rule: Stage) -> bool:
    """Tell whether a rule looks at one coordinate at a time, so that a vector may come in parts."""
    return all(stage.reads is Reads.NOTHING and not stage.pivots for stage in rule.stages())


class Ranks:
    """The ranks that aggregate together, with the bytes that this one has sent so far.

    ``holders`` are all that hold parts of the vectors, where these are more than the group. ``about`` is what
    the ranks have to agree on besides the rule.
    """

    def __init__(self, rule: Stage, group: Group = None, holders: Group = None, *, about: str = "") -> None:
        self.rule, self.group = rule, group
        self.holders = group if holders is None else holders
        self.n, self.rank = dist.get_world_size(group), dist.get_rank(group)
        self.sent = 0
        if any(Pivot.GIVEN in stage.pivots for stage in rule.stages()):
            raise ParameterError(f"{rule!r} measures against a vector that you trust; ranks have none.")
        if any(isinstance(stage, CoordinateRule) and stage.randomised for stage in rule.stages()):
            raise ParameterError(
                f"{rule!r} draws a number for every coordinate; ranks, which hold different ones, "
                "would all draw the same. Take Median, or another rule that draws none."
            )
        with heard(group):
            _agree(f"{rule!r}{about}", group)
        admit(rule, self.n)

    def scatter(self, flat: Tensor) -> tuple[Tensor, Any]:
        """Send every rank its shard of ``flat``; return room for the shards, and what to wait for."""
        whole = pad(flat, (0, -len(flat) % self.n))
        shards = torch.empty_like(whole).view(self.n, -1)
        work = dist.all_to_all_single(lent(shards.view(-1)), lent(whole), group=self.group, async_op=True)
        self.sent += _bytes(whole) * (self.n - 1) // self.n
        return shards, work

    def aggregate(self, shards: Sequence[Tensor], stream: Stream, state: Any = None) -> Aggregation:
        """Aggregate this rank's shards, each ``(n, width)``, as parts of one vector."""
        vectors = [[shard[rank] for shard in shards] for rank in range(self.n)]
        return self.rule.aggregate(InShards(vectors, self.summed), state=state, stream=stream)

    def gather(self, shard: Tensor, flat: Tensor) -> None:
        """Fill ``flat`` with the shards of all ranks."""
        whole = shard.new_empty(self.n * len(shard))
        _all_gather(lent(whole), lent(shard.contiguous()), group=self.group)
        self.sent += _bytes(shard) * (self.n - 1)
        flat.copy_(whole[: len(flat)])

    def summed(self, table: Tensor) -> Tensor:
        """Return the sum of a table over all that hold parts of the vectors."""
        dist.all_reduce(lent(table), group=self.holders)
        count = dist.get_world_size(self.holders)
        self.sent += 2 * _bytes(table) * (count - 1) // count
        return table


def robust_all_reduce(
    tensor: Tensor, rule: Stage, group: Group = None, *, stream: Stream | None = None
) -> Tensor:
    """Replace a tensor, on every rank, by what the rule makes of all ranks' tensors; return it.

    Shape       any, the same on every rank; float16, bfloat16, float32 or float64
    Cost        2 (n - 1) / n times the tensor's bytes are sent by each rank, as by an all-reduce
    Raises      ToleranceError for too few ranks, ParameterError where ranks call different rules; what
                PyTorch raises when a rank does not arrive within the group's timeout
    """
    all_together(Ranks(rule, group, about=f" of {_looks(tensor)}"), [tensor], stream)
    return tensor


@torch.no_grad()
def all_together(ranks: Ranks, tensors: Sequence[Tensor], stream: Stream | None = None) -> None:
    """Replace tensors, on every rank, by the aggregate of all ranks' tensors, taken as one vector each."""
    dtypes = list(dict.fromkeys(one.dtype for one in tensors))
    flats = [_flat([one for one in tensors if one.dtype == dtype]) for dtype in dtypes]
    with heard(ranks.group):
        arrived = [ranks.scatter(flat) for flat in flats]
        for _, work in arrived:
            work.wait()
        values = ranks.aggregate([shards for shards, _ in arrived], as_stream(stream)).value
        for flat, value in zip(flats, values, strict=True):
            ranks.gather(value, flat)
    for dtype, flat in zip(dtypes, flats, strict=True):
        same = [one for one in tensors if one.dtype == dtype]
        for one, part in zip(same, flat.split([one.numel() for one in same]), strict=True):
            one.copy_(part.view_as(one))


@contextmanager
def heard(group: Group) -> Iterator[None]:
    """Say what it means when others are not heard of. Raises RankError."""
    try:
        yield
    except VarangianError:
        raise
    except RuntimeError as error:
        limit = timeout_of(group)
        raise RankError(
            f"A rank has gone, did not arrive within {'the timeout' if limit is None else limit}, or made "
            "another call; see what it printed. A longer init_process_group(timeout=...) waits longer. "
            f"PyTorch said: {str(error).strip().splitlines()[0]}"
        ) from error


def timeout_of(group: Group) -> timedelta | None:
    """Return how long a group waits for a rank, where it says so."""
    whole: Any = group or dist.group.WORLD
    backend: Any = whole._get_backend(device_of(group))
    limit: timedelta | None = getattr(getattr(backend, "options", None), "_timeout", None)
    return limit


def everyones(own: Tensor, group: Group) -> Tensor:
    """Return what all ranks hand in, ``(n, *shape)``, on the processor."""
    sent = own.contiguous().view(-1).to(device_of(group))
    room = sent.new_empty(dist.get_world_size(group) * len(sent))
    _all_gather(lent(room), lent(sent), group=group)
    return room.cpu().view(-1, *own.shape)


def _agree(said: str, group: Group) -> None:
    """Refuse what differs between ranks. Raises ParameterError."""
    digest = hashlib.blake2b(said.encode(), digest_size=16).digest()
    own = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
    if (everyones(own, group) == own).all():
        return
    words = torch.zeros(SAID, dtype=torch.uint8)
    start = said.encode()[:SAID]
    words[: len(start)] = torch.frombuffer(bytearray(start), dtype=torch.uint8)
    came = [bytes(row.tolist()).rstrip(b"\0").decode(errors="replace") for row in everyones(words, group)]
    told = "; ".join(f"rank {rank} with {one}" for rank, one in enumerate(came))
    raise ParameterError(f"All ranks need the same rule on the same shapes; they came as: {told}.")


SAID = 1000
"""Bytes that a rank tells of its call where calls differ."""

# The older name is deprecated, and the newer one is not in every release.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([one.detach().reshape(-1) for one in tensors])


def device_of(group: Group) -> torch.device:
    """Return where what a group sends has to lie."""
    return torch.device("cuda" if dist.get_backend(group) == "nccl" else "cpu")


def _looks(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)}, {tensor.dtype}"


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
