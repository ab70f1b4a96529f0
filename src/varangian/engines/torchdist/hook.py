"""A communication hook for DistributedDataParallel: gradients are aggregated by a rule, not averaged."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.engines.torchdist.collective import Group, Ranks, by_coordinate
from varangian.errors import ParameterError

Arrived = tuple[Tensor, Tensor, Any, Future[Tensor]]
"""A bucket's buffer, the shards of it that come, what to wait for, and the promise made to DDP."""


class RobustHook:
    """Aggregates what DDP would average, while the backward pass goes on.

    A rule that looks at one coordinate at a time does so bucket by bucket. Any other rule waits for the last
    bucket, so that it judges whole gradients: their distances, then, are summed over buckets and ranks.
    ``sent`` counts the bytes that this rank has sent.
    """

    def __init__(self, rule: Stage, group: Group = None, *, stream: Stream | None = None) -> None:
        self.ranks = Ranks(rule, group)
        self.stream = stream or Stream()
        self.step = 0
        self._alone = by_coordinate(rule)
        self._waiting: list[Arrived] = []
        self._memory: tuple[tuple[int, ...], Any] = ((), None)
        self._after = ThreadPoolExecutor(1, "varangian-hook")

    @property
    def sent(self) -> int:
        """Return how many bytes this rank has sent."""
        return self.ranks.sent

    def hook(self, state: object, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
        """Take a bucket from DDP; the promise is kept when its aggregate is in its buffer."""
        flat = bucket.buffer()
        promise: Future[Tensor] = Future(devices=[flat.device] if flat.is_cuda else None)
        self._waiting.append((flat, *self.ranks.scatter(flat), promise))
        if self._alone or bucket.is_last():
            arrived, self._waiting = self._waiting, []
            step = self.step
            self.step += bucket.is_last()
            if flat.is_cuda:
                self._finish(arrived, step)
            else:
                self._after.submit(self._finish, arrived, step)
        return promise

    def _finish(self, arrived: Sequence[Arrived], step: int) -> None:
        """Aggregate what some buckets have brought, and keep the promises."""
        try:
            for _, _, work, _ in arrived:
                work.wait()
            shards = [shards for _, shards, _, _ in arrived]
            for (flat, _, _, _), value in zip(arrived, self._aggregated(shards, step), strict=True):
                self.ranks.gather(value, flat)
        except Exception as error:
            for *_, promise in arrived:
                promise.set_exception(error)  # type: ignore[arg-type]
            return
        for flat, _, _, promise in arrived:
            promise.set_result(flat)

    def _aggregated(self, shards: Sequence[Tensor], step: int) -> list[Tensor]:
        """Return the aggregate; a rule's memory begins anew when DDP has rebuilt its buckets."""
        widths = tuple(shard.shape[-1] for shard in shards)
        known, memory = self._memory
        outcome = self.ranks.aggregate(
            shards, self.stream.at("rule", step=step), memory if known == widths else None
        )
        self._memory = (widths, outcome.state)
        return list(outcome.value)


def register(model: DistributedDataParallel, rule: Stage, *, stream: Stream | None = None) -> RobustHook:
    """Have a DDP model aggregate its gradients by a rule, on every rank, and return the hook.

    Trust       every rank runs honest code: data, devices and gradients may be wrong on f of them
    Cost        each rank sends 2 (n - 1) / n of the gradient's bytes, as DDP does
    Raises      ToleranceError for too few ranks; ParameterError where the rules of ranks differ
    """
    if not isinstance(model, DistributedDataParallel):
        raise ParameterError(
            f"register takes a DistributedDataParallel model; a {type(model).__name__} arrived. "
            "For anything else there is robust_all_reduce."
        )
    hook = RobustHook(rule, model.process_group, stream=stream)
    model.register_comm_hook(None, hook.hook)
    return hook
