"""Names the rank that computes wrong, beside plain averaging or beside a rule, at nearly no cost."""

import atexit
import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from weakref import ref

import torch.distributed as dist
from torch import Tensor
from torch.autograd import Variable
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from varangian.core.randomness import Stream
from varangian.engines.torchdist.collective import Group, everyones, heard
from varangian.engines.torchdist.detector import Detector, Fault
from varangian.engines.torchdist.leaves import Leaves
from varangian.engines.torchdist.lending import lent
from varangian.engines.torchdist.sketch import Sketch
from varangian.errors import FaultError, ParameterError, ToleranceError
from varangian.kernels.tallies import BROKEN

Policy = Literal["log", "drop", "raise"]
LATE = 8
"""Steps that are judged together where nobody waits for it: the second one's code is in the cache."""
logger = logging.getLogger("varangian")


class Begun(NamedTuple):
    """A bucket: its buffer, the sum that goes on, if it does, and the promise made to DDP."""

    flat: Tensor
    work: Any
    promise: Future[Tensor]


class FaultWatch:
    """Compares 160 bytes of every rank's gradient at every step, and names the ranks that compute wrong.

    What it can see: values that are not finite; gradients that repeat; a norm, a peak or a direction that is
    out of proportion to what the ranks have shown so far, in one step or slightly for many. ``rate`` is the
    expected number of false alarms per step; see the module ``detector`` for the model. It compares from step
    20 on, and needs three ranks.

    ``policy`` says what happens: "log" has the first rank warn through Python's logging, once where a fault
    lasts, at once where values are not finite, or else within 8 steps; "raise" raises FaultError from
    ``backward()``, on every rank; "drop" leaves the ranks out of this step's mean, which then has to wait for
    the last bucket. If half of the ranks or more seem wrong, nobody knows who is right: they are reported,
    and none is dropped. From the first ``Join`` on, where ranks run out of data, "log" and "raise" rest.

    Trust       every rank runs honest code, on processors of one kind: each judges for itself
    Cost        one read of each gradient, of a large one while the cache still holds it, and an all-gather of
                160 bytes; DDP sends and divides as ever, or as another communication hook says. To drop, to
                look at a model part of which may be unused, or at one on graphics processors, the watch is
                that hook itself: one pass through the buckets, which divides, too

    >>> from varangian.torch import FaultWatch
    >>> FaultWatch("raise", rate=1e-7)
    FaultWatch('raise', rate=1e-07)
    """

    def __init__(
        self, policy: Policy = "log", *, rate: float = 1e-6, seed: int = 0, keep: int = 1000
    ) -> None:
        if policy not in ("log", "drop", "raise"):
            raise ParameterError(f'FaultWatch({policy!r}): the policy is "log", "drop" or "raise".')
        if not 0 < rate < 1:
            raise ParameterError(f"FaultWatch(rate={rate!r}): alarms per step lie between 0 and 1.")
        self.policy, self.rate, self.keep = policy, rate, keep
        self.sent = 0
        self._faults: list[Fault] = []
        self._sketch = Sketch(Stream(seed))
        self._leaves: Leaves | None = None
        self._group: Group = None
        self._n = self._rank = 0
        self._detector: Detector | None = None
        self._lasting: set[int] = set()
        self._unjudged: list[Tensor] = []
        self._begun: list[Begun] = []

    def __repr__(self) -> str:
        return f"FaultWatch({self.policy!r}, rate={self.rate:g})"

    def register(self, model: DistributedDataParallel) -> "FaultWatch":
        """Watch a DDP model that averages; return the watch. Raises ParameterError, ToleranceError."""
        if not isinstance(model, DistributedDataParallel):
            raise ParameterError(
                f"FaultWatch watches a DistributedDataParallel model; a {type(model).__name__} arrived."
            )
        self.join(model.process_group)
        if self.policy != "drop" and Leaves.suit(model):
            self._leaves = Leaves(model, self._sketch, self._passed)
        else:
            model.register_comm_hook(None, self.hook)
        return self

    def join(self, group: Group) -> None:
        """Compare the ranks of a group from now on. Raises ToleranceError for fewer than three."""
        n = dist.get_world_size(group)
        if n < 3:
            raise ToleranceError(
                f"FaultWatch received n = {n} ranks; where two differ, nobody knows who is wrong. "
                "Run at least 3 ranks."
            )
        self._group, self._n, self._rank = group, n, dist.get_rank(group)
        self._detector = Detector(n, self.rate)
        atexit.register(_judge, ref(self))

    def look(self, flat: Tensor, place: int, factor: float = 1.0) -> None:
        """Sketch a bucket before anything is sent; then multiply it by the factor, in the same pass."""
        self._sketch.add(flat, place, factor)

    @property
    def faults(self) -> list[Fault]:
        """Return what was found so far, the last ``keep`` of it, the same on every rank."""
        self._judged()
        return self._faults

    def conclude(self) -> list[Fault]:
        """Exchange the sketches of a step, all buckets of which were looked at; return its faults.

        What is to be raised, a FaultError if that is the policy, waits until DDP has done its part: one that
        is stopped in the middle begins no further pass.

        Raises      RankError
        """
        self._exchange(self._sketch.taken())
        faults = self._judged()
        if faults and self.policy == "raise":
            _raise_last(faults)
        return faults

    def _passed(self) -> None:
        """Conclude a pass that DDP averages itself: what is to be raised waits until it has done so."""
        assert self._leaves is not None
        broken = self._exchange(self._leaves.taken())
        if self.policy == "log" and len(self._unjudged) < LATE and not broken:
            return
        faults = self._judged()
        if faults and self.policy == "raise":
            _raise_last(faults)

    def _exchange(self, own: Tensor) -> bool:
        """Hear the sketches of all ranks; tell whether one saw values that are not finite."""
        self.sent += own.numel() * own.element_size() * (self._n - 1)
        with heard(self._group):
            every = everyones(own, self._group)
        self._unjudged.append(every)
        return bool(every[:, BROKEN].any())

    def _judged(self) -> list[Fault]:
        """Judge the steps that were heard of; return their faults, and report them."""
        steps, self._unjudged = self._unjudged, []
        found: list[Fault] = []
        for every in steps:
            assert self._detector is not None
            faults = self._detector.judge(every.numpy())
            for fault in faults:
                if fault.rank not in self._lasting and self._rank == 0:
                    logger.warning("FaultWatch: %s", fault)
            self._lasting = {fault.rank for fault in faults}
            found += faults
        self._faults = [*self._faults, *found][-self.keep :]
        return found

    def hook(self, state: object, bucket: dist.GradBucket) -> Future[Tensor]:  # type: ignore[name-defined]
        """Average a bucket, as DDP does, and look at it before; all promises are kept with the last."""
        flat = bucket.buffer()
        promise: Future[Tensor] = Future(devices=[flat.device] if flat.is_cuda else None)
        if self.policy == "drop":
            self.look(flat, bucket.index())
            work = None
        else:
            self.look(flat, bucket.index(), 1 / self._n)  # as DDP does, to the same bits
            work = self._summed(flat)
        self._begun.append(Begun(flat, work, promise))
        if bucket.is_last():
            self._end()
        return promise

    def _end(self) -> None:
        """Conclude, and keep the promises here: a thread of gloo would have to wait for Python's lock."""
        begun, self._begun = self._begun, []
        wrong = [fault.rank for fault in self.conclude()]
        works = [one.work or self._among(one.flat, wrong) for one in begun]
        with heard(self._group):
            for work, one in zip(works, begun, strict=True):
                work.wait()
                one.promise.set_result(one.flat)

    def _among(self, flat: Tensor, wrong: Sequence[int]) -> Any:
        """Begin the mean over the ranks that are not wrong, if these are more than half."""
        left = self._n - len(wrong) if 2 * len(wrong) < self._n else self._n
        if left < self._n and self._rank in wrong:
            flat.zero_()
        else:
            flat.mul_(1 / left)
        return self._summed(flat)

    def _summed(self, flat: Tensor) -> Any:
        return dist.all_reduce(lent(flat), group=self._group, async_op=True)


def _judge(watch: ref[FaultWatch]) -> None:
    """Report what is left when a process ends."""
    there = watch()
    if there is not None:
        there._judged()


def _raise_last(faults: Sequence[Fault]) -> None:
    """Raise at the end of the backward pass, behind what DDP has to do there."""
    engine = Variable._execution_engine

    def fail() -> None:
        raise FaultError("; ".join(map(str, faults)))

    engine.queue_callback(lambda: engine.queue_callback(fail))
