"""A communication hook for DistributedDataParallel: gradients are aggregated by a rule, not averaged."""

import concurrent.futures as threads
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.distributed as dist
from torch import Tensor
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from varangian.accounting import Accountant, Geometry
from varangian.core.randomness import Stream, as_stream
from varangian.core.stages import Stage
from varangian.engines.torchdist.collective import Group, Ranks, by_coordinate, device_of, heard
from varangian.engines.torchdist.watch import FaultWatch
from varangian.errors import ParameterError


class Arrived(NamedTuple):
    """A bucket: its buffer and parameters, the shards of it that come, and the promise made to DDP."""

    flat: Tensor
    parameters: tuple[int, ...]
    shards: Tensor
    work: Any
    promise: Future[Tensor]


class RobustHook:
    """Aggregates what DDP would average, while the backward pass goes on.

    A rule that looks at one coordinate at a time does so bucket by bucket. Any other rule waits for the last
    bucket, so that it judges whole gradients: their distances, then, are summed over buckets and ranks.
    ``sent`` counts the bytes that this rank has sent.

    State       what a rule remembers (the centre of CenteredClipping) is kept, a shard per rank, as long as
                DDP keeps its buckets; it rebuilds them once, after the first backward pass, and memory
                then begins anew
    Raises      from ``backward()``: RankError where a rank is gone, late, or does something else
    """

    def __init__(
        self,
        rule: Stage,
        group: Group = None,
        *,
        stream: Stream | None = None,
        watch: FaultWatch | None = None,
        accountant: Accountant | None = None,
    ) -> None:
        self.ranks = Ranks(rule, group)
        self.stream = as_stream(stream)
        self.watch = watch
        self.accountant = accountant
        self.step = 0
        self._alone = by_coordinate(rule)
        self._waiting: list[Arrived] = []
        self._seen: list[Geometry] = []
        self._weights: Tensor | None = None
        self._memory: tuple[list[tuple[int, ...]], Any] = ([], None)
        self._after = threads.ThreadPoolExecutor(1, "varangian-hook")
        self._begun: list[threads.Future[None]] = []

    @property
    def sent(self) -> int:
        """Return how many bytes this rank has sent."""
        return self.ranks.sent

    def hook(self, state: object, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
        """Take a bucket from DDP; the promise is kept when its aggregate is in its buffer."""
        flat = bucket.buffer()
        promise: Future[Tensor] = Future(devices=[flat.device] if flat.is_cuda else None)
        if self.watch is not None:
            self.watch.look(flat, bucket.index())
        given = flat, tuple(map(id, bucket.parameters())), promise, bucket.is_last()
        if flat.is_cuda:
            self._take(*given)
        else:
            self._begun.append(self._after.submit(self._take, *given))
        if bucket.is_last():
            self._end()
        return promise

    def _end(self) -> None:
        """Wait for this pass's buckets, so that errors of the thread are raised where DDP hears of them."""
        begun, self._begun = self._begun, []
        for one in begun:
            one.result()
        if self.accountant is not None:
            self._account(self.accountant)
        if self.watch is not None:
            self.watch.conclude()

    def _account(self, accountant: Accountant) -> None:
        """Add up what was measured of every bucket and shard, and account for the whole, on all ranks."""
        seen, self._seen = self._seen, []
        with heard(self.ranks.group):
            whole = sum(seen[1:], seen[0]).summed(self._over)
        weights = None if self._alone else self._weights
        accountant.account(whole, weights=weights, quiet=self.ranks.rank > 0)

    def _over(self, own: Tensor) -> Tensor:
        """Sum what is told of this rank's shards over all ranks, and hand it back on the processor."""
        return self.ranks.summed(own.to(device_of(self.ranks.group))).cpu()

    def _take(self, flat: Tensor, parameters: tuple[int, ...], promise: Future[Tensor], last: bool) -> None:
        """Send the shards of a bucket on their way, and finish what can be: in one order on every rank."""
        with heard(self.ranks.group):
            self._waiting.append(Arrived(flat, parameters, *self.ranks.scatter(flat), promise))
            if self._alone:
                while self._waiting[0 if last else 1 :]:  # the shards of the newest come meanwhile
                    self._finish([self._waiting.pop(0)])
            elif last:
                arrived, self._waiting = self._waiting, []
                self._finish(arrived)
        self.step += last

    def _finish(self, arrived: Sequence[Arrived]) -> None:
        """Aggregate what some buckets have brought, and keep the promises."""
        for one in arrived:
            one.work.wait()
        for one, value in zip(arrived, self._aggregated(arrived), strict=True):
            self.ranks.gather(value, one.flat)
        for one in arrived:
            one.promise.set_result(one.flat)

    def _aggregated(self, arrived: Sequence[Arrived]) -> list[Tensor]:
        """Return the aggregate; a rule's memory begins anew when DDP has rebuilt its buckets."""
        names = [one.parameters for one in arrived]
        known, memory = self._memory
        outcome = self.ranks.aggregate(
            [one.shards for one in arrived],
            self.stream.at("rule", step=self.step),
            memory if known == names else None,
        )
        self._memory = (names, outcome.state)
        if self.accountant is not None:
            vectors = [[one.shards[rank] for one in arrived] for rank in range(self.ranks.n)]
            self._seen.append(Geometry.of(vectors, outcome.value))
            self._weights = outcome.weights
        return list(outcome.value)


def register(
    model: DistributedDataParallel,
    rule: Stage,
    *,
    stream: Stream | None = None,
    watch: FaultWatch | None = None,
    accountant: Accountant | None = None,
) -> RobustHook:
    """Have a DDP model aggregate its gradients by a rule, on every rank, and return the hook.

    Beside it, ``watch`` can name the ranks that compute wrong, and an ``accountant``, the same on every rank,
    keep what each step came to: exactly, since distances add up over buckets and shards. Ranks that have run
    out of data, under ``Join``, count as gradients of zeros, as they do for DDP: ``f`` has to cover them.

    Trust       every rank runs honest code: data, devices and gradients may be wrong on f of them
    Cost        each rank sends 2 (n - 1) / n of the gradient's bytes, as DDP does; with an accountant, it
                reads its shard of all gradients once more, and sends (n + 2)^2 numbers
    Raises      ToleranceError for too few ranks; ParameterError where the rules of ranks differ; RankError;
                from ``backward()``, what the watch and the accountant raise
    """
    if not isinstance(model, DistributedDataParallel):
        raise ParameterError(
            f"register takes a DistributedDataParallel model; a {type(model).__name__} arrived. "
            "For anything else there is robust_all_reduce."
        )
    if watch is not None and watch.policy == "drop":
        raise ParameterError(
            'FaultWatch(policy="drop") leaves a rank out of a mean; beside a rule, which bounds what a rank '
            'can do, take "log" or "raise".'
        )
    hook = RobustHook(rule, model.process_group, stream=stream, watch=watch, accountant=accountant)
    if watch is not None:
        watch.join(hook.ranks.group)
    model.register_comm_hook(None, hook.hook)
    return hook
