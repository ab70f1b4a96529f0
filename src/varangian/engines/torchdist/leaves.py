"""Looks at every large gradient when autograd has just written it, while the cache still holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import ref

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Variable
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from varangian.engines.torchdist.sketch import BLOCK, Sketch
from varangian.kernels.glances import glancer, readable

LARGE = 1 << 18
"""Values of which a look in the cache saves more than a call from autograd costs."""


class Leaves:
    """Sketches the gradients of a DDP model, and calls ``ended`` once in each pass that DDP averages.

    That is at the end of the backward pass, when this rank has all its gradients and DDP has begun to send
    the last of them, and before DDP puts the mean in their place. All ranks come by there in the same order.
    Under ``Join``, which PyTorch never takes back, they do not, since some are out of data: then nothing is
    called.

    Small gradients, but for the last, wait for the end, too, once a pass has shown that one run of autograd
    brings all of them (a checkpoint that reenters has runs within the run; a forward may have several),
    unless they are views of what DDP sends by then. Where one is not there in a later pass, or others come in
    several runs, none waits any more. It is there if it is another, or has changed, since the forward pass:
    between that and the backward pass, gradients may be put away, but not changed in place. And the last
    gradient must stay the last.
    """

    def __init__(self, model: DistributedDataParallel, sketch: Sketch, ended: Callable[[], None]) -> None:
        self.sketch, self.ended = sketch, ended
        parameters = _learning(model)
        counts = [p.numel() // BLOCK + 1 for p in parameters]
        self._layout = tuple(enumerate(counts))
        self._norms, self._sums = torch.zeros(2, sum(counts))
        rooms = zip(self._norms.split(counts), self._sums.split(counts), strict=True)
        # Autograd owns a parameter's hooks, and these what is here: a reference back would never be found.
        self._looks = [
            (ref(p), glancer(p.detach(), sketch.signs, *room))
            for p, room in zip(parameters, rooms, strict=True)
        ]
        self._hooks: dict[int, RemovableHandle] = {}
        self._hook(range(len(parameters)))
        small = [place for place, p in enumerate(parameters) if p.numel() < LARGE]
        none_waits = model.gradient_as_bucket_view or len(small) == len(parameters)
        self._may_wait: list[int] = [] if none_waits else small
        self._late: list[int] = []
        self._before: list[tuple[Tensor | None, int]] = []
        self._last = 0
        self._waiting: set[int] = set()
        self._runs: set[int] = set()
        model.register_forward_hook(self._begin)

    @staticmethod
    def suit(model: DistributedDataParallel) -> bool:
        """Tell whether every backward pass of a model makes each gradient once, on the processor."""
        special = (
            model.find_unused_parameters
            or model.static_graph
            or model.parameters_to_ignore
            or model.mixed_precision is not None
            or getattr(model, "_delay_all_reduce_params", None)
            or any(
                isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse
                for module in model.modules()
            )
        )
        return not special and all(readable(p.detach()) for p in _learning(model))

    def taken(self) -> Float[Tensor, "20"]:
        """Return the sketch of the last pass."""
        return self.sketch.of(self._layout, self._norms, self._sums)

    def _begin(self, model: Any, given: object, made: object) -> None:
        """Expect a pass, where DDP does."""
        if torch.is_grad_enabled() and model.require_backward_grad_sync:
            self._waiting = set() if model._join_config.enable else set(self._hooks)
            self._runs.clear()
            gradients = (self._parameter(place).grad for place in self._late)
            self._before = [(one, 0 if one is None else one._version) for one in gradients]

    def _parameter(self, place: int) -> nn.Parameter:
        parameter = self._looks[place][0]()
        assert parameter is not None  # the model holds it while there are passes
        return parameter

    def _hook(self, places: Iterable[int]) -> None:
        for place in places:
            seen = partial(self._seen, place, self._looks[place][1])
            self._hooks[place] = self._parameter(place).register_post_accumulate_grad_hook(seen)

    def _seen(self, place: int, look: Callable[[Tensor], None], parameter: Tensor) -> None:
        if place in self._waiting:
            assert parameter.grad is not None
            look(parameter.grad)
            self._runs.add(torch._C._current_graph_task_id())
            self._waiting.remove(place)
            if not self._waiting:
                self._last = place
                Variable._execution_engine.queue_callback(self._end)

    def _end(self) -> None:
        """Look at what has waited, and settle what waits from now on; the pass ends when all are there."""
        for place, (before, version) in zip(self._late, self._before, strict=True):
            gradient = self._parameter(place).grad
            if gradient is None or (gradient is before and gradient._version == version):
                self._waiting.add(place)
            else:
                self._looks[place][1](gradient)
        self._before = []
        if self._waiting or len(self._runs) > 1:
            self._hook(self._late)
            self._may_wait, self._late = [], []
        elif self._may_wait:
            self._may_wait, self._late = [], [place for place in self._may_wait if place != self._last]
            for place in self._late:
                self._hooks.pop(place).remove()
        if not self._waiting:
            self.ended()


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]
